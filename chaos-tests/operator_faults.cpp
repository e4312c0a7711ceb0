// What operators get wrong: it is refused, the reason and the next step are told, and nothing is
// changed.
#include <sstream>
#include <stdexcept>

#include "chaos-tests/faults.hpp"
#include "chaos-tests/promotion.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;

using Words = std::vector<std::string>;

/// A command that must not work.
struct Mistake {
    const Site& where;
    Words command;
    int status;        ///< as docs/CLI.md says
    std::string says;  ///< a part of the reason
};

std::string text_of(const Words& command) {
    std::string text = "antipode";
    for (const std::string& word : command) {
        text += " " + word;
    }
    return text;
}

/// But for what comes by itself behind a change of the primary: who has applied something of it.
std::string steps_of(const Site& site) {
    std::istringstream lines(test::read_file(test::journal_of(site)));
    std::string kept;
    for (std::string line; std::getline(lines, line);) {
        if (line.find("\"event\":\"seen\"") == std::string::npos) {
            kept += line + "\n";
        }
    }
    return kept;
}

/// What a command could have changed: roles and epochs, the journals, what is paused, the settings.
std::string standing_of(Stage& stage) {
    std::string all;
    for (const Site* site : stage.sites.all()) {
        all += site->name + ": " +
               site->status(
                       "[.role, .epoch, .failover.state, .failover.operation, "
                       "[.stores[] | .state == \"paused\"]] | tostring")
                   .value_or("does not answer") +
               (std::filesystem::exists(test::Pair::opened(*site)) ? ", open" : ", closed") + "\n";
        all += steps_of(*site);
        for (const auto& file :
             {site->directory / "antipode.toml", site->directory / "state/limits.json"}) {
            all += std::filesystem::exists(file) ? test::read_file(file) : "";
        }
    }
    return all;
}

/// Changes of the primary, which is there.
std::vector<Mistake> about_primaries(const Site& primary, const Site& mirror) {
    const std::string& to = mirror.name;
    const std::string& from = primary.name;
    const std::string lives = from + " answers, and is the primary";
    return {
        {mirror, {"promote", to}, 4, lives},
        {mirror, {"promote", to, "--yes", "--fenced-by", "I think so"}, 4, lives},
        {primary, {"promote", to, "--confirm", to, "--fenced-by", "I think so"}, 4, lives},
        {primary,
         {"promote", from, "--confirm", from, "--fenced-by", "x"},
         4,
         from + " is the primary already"},
        {primary, {"promote", "atlantis", "--fenced-by", "x"}, 2, "there is no site \"atlantis\""},
        {primary, {"switchover", "--to", "atlantis", "--yes"}, 2, "there is no site \"atlantis\""},
        {mirror, {"switchover", "--to", from, "--yes"}, 4, from + " is the primary already"},
        {mirror, {"switchover", "--to", to}, 2, "not confirmed; nothing was changed"},
        {primary, {"switchover", "--to", to, "--abort"}, 1, "no change of the primary runs"},
        {primary, {"op", "abort"}, 1, "no change of the primary runs"},
        {mirror, {"op", "abort"}, 1, "no change of the primary runs"},
        {mirror, {"op", "abort", "promote-nothing"}, 1, "no change of the primary runs"},
        {mirror, {"rejoin", from, "--yes"}, 1, from + " is not fenced: it is serving"},
        {primary, {"rejoin", to, "--yes"}, 1, to + " is not fenced: it is following"},
        {mirror, {"sites", "init", "--primary", to}, 9, from},
        {mirror, {"sites", "remove", from, "--yes"}, 9, from + " is the primary"},
        {mirror,
         {"quarantine", "drop", "promote-nothing", "--yes"},
         2,
         "there is no quarantine of promote-nothing"},
    };
}

/// Stores and items.
std::vector<Mistake> about_stores(const Site& primary, const Site& mirror) {
    return {
        {mirror, {"resync", "--store", "blobs/downloads", "a"}, 2, "there is no store"},
        {mirror, {"resync", "a"}, 2, "of which store? There are several"},
        {mirror, {"resync"}, 2, "what is to be sent again?"},
        {mirror, {"verify", "blobs/uploads", "no/such"}, 6, "knows 0 of 1 item"},
        {primary, {"verify"}, 2, "content is checked on secondaries"},
        {mirror, {"database", "new-slot"}, 2, mirror.name + " is not the primary"},
        {primary, {"database", "new-slot"}, 1, "is there, and nothing of it is lost"},
        {mirror,
         {"database", "skip", "--lsn", "0/1", "--yes"},
         6,
         "stands at no transaction that failed"},
        {primary, {"pause", "--reason", "x"}, 1, "does not know what \"pause\" means"},
        {mirror, {"pause"}, 2, "--reason"},
        {mirror, {"limits", "set", "pull_workers=none"}, 1, "pull_workers must be from 1 to 64"},
    };
}

void expect_refused(Stage& stage, const Mistake& mistake) {
    const test::CommandResult said = mistake.where.antipode(mistake.command);
    const bool is_clear = said.error.find(mistake.says) != std::string::npos &&
                          said.error.find("Try: ") != std::string::npos;
    stage.expect(said.status == mistake.status && is_clear, Invariant::Refused,
                 text_of(mistake.command) + " on " + mistake.where.name + " ended with " +
                     std::to_string(said.status) + ": " + said.error + said.output);
}

/// One after the other; then everything stands as before.
void expect_refused(Stage& stage, const std::vector<Mistake>& mistakes) {
    const std::string before = standing_of(stage);
    std::string made;
    for (const Mistake& mistake : mistakes) {
        expect_refused(stage, mistake);
        made += text_of(mistake.command) + "; ";
    }
    const std::string after = standing_of(stage);
    stage.expect(
        after == before, Invariant::Refused,
        "one of these has changed something: " + made + "before: " + before + "behind: " + after);
}

/// Nobody knows whether the primary has something of that name: it is asked, and then forgotten.
void ask_for_nothing(Stage& stage, const Site& mirror) {
    const std::string name = "no/such";
    mirror.antipode({"resync", "--store", "blobs/uploads", name});
    const bool forgotten = test::eventually(
        [&] { return mirror.antipode({"failures"}).output.find(name) == std::string::npos; }, 60s);
    stage.expect(forgotten && !std::filesystem::exists(mirror.files_root / name),
                 Invariant::Refused, mirror.name + " has got, or waits for, " + name);
}

/// What was received meanwhile waits for the word.
void switch_to_paused(Stage& stage, const Site& mirror) {
    const auto tell = [&](const Words& command) {
        const test::CommandResult done = mirror.antipode(command);
        if (done.status != 0) {
            throw std::runtime_error(text_of(command) + ": " + done.error);
        }
    };
    tell({"pause", "--reason", "somebody works here"});
    expect_refused(stage,
                   {Mistake{mirror, {"switchover", "--to", mirror.name, "--yes"}, 4, "paused"}});
    tell({"resume"});
}

/// A setting that is wrong.
struct Wrong {
    const char* right;
    const char* wrong;
    const char* says;
};

/// The daemon does not start with it; with the right one it does.
void start_with(Stage& stage, Site& site, const Wrong& setting) {
    const auto place = std::filesystem::file_size(site.directory / "antipoded.log");
    site.daemon().stop();
    {
        const OtherSettings settings(site, setting.right, setting.wrong);
        expect_refused(stage, Mistake{site, {"config", "check"}, 1, setting.says});
        site.launch({});
        const std::optional<int> ended = site.daemon().wait(20s);
        const std::string log = test::read_file(site.directory / "antipoded.log").substr(place);
        stage.expect(
            ended.value_or(0) != 0 && log.find(setting.says) != std::string::npos,
            Invariant::Refused,
            site.name + " starts with " + setting.wrong + ", or does not say why not: " + log);
    }
    site.kill();
    site.start();
}

void make_mistakes(Stage& stage) {
    Site& primary = stage.primary();
    Site& mirror = stage.mirror();
    // Nothing but the mistake is in the way.
    must_be_ready(mirror, "switchover");
    expect_refused(stage, about_primaries(primary, mirror));
    expect_refused(stage, about_stores(primary, mirror));
    ask_for_nothing(stage, mirror);
    switch_to_paused(stage, mirror);
    constexpr Wrong wrong[] = {
        {"listen = ", "listn = ", "listn"},
        {"[http]\n", "[http\n", "antipode.toml:"},
        {"stream_max_bytes = 1000000000", "stream_max_bytes = \"much\"", "stream_max_bytes"},
        {"switchover_timeout = \"20s\"", "switchover_timeout = \"soon\"", "switchover_timeout"},
    };
    start_with(stage, stage.any(), wrong[stage.chance.below(std::size(wrong))]);
}

}  // namespace

std::vector<Fault> operator_faults() {
    return {
        {"operator-errors", "commands and settings that must be refused, and change nothing",
         Need::Nothing, make_mistakes},
    };
}

}  // namespace antipode::chaos
