// Another site becomes the primary: planned, with deaths in the middle of it, and unplanned.
#include <algorithm>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "chaos-tests/faults.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;

std::filesystem::path journal_of(const Site& site) {
    return site.directory / "state/failover.journal";
}

size_t lines_of(const std::filesystem::path& file) {
    if (!std::filesystem::exists(file)) {
        return 0;
    }
    const std::string text = test::read_file(file);
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

void must_be_ready(Stage& stage, Site& to, const std::string& mode) {
    test::CommandResult answer;
    const bool ready = test::eventually(
        [&] {
            answer = to.antipode({"preflight", "--to", to.name, "--mode", mode});
            return answer.status == 0;
        },
        60s);
    if (!ready) {
        throw std::runtime_error("preflight refuses: " + answer.output + answer.error);
    }
    (void)stage;
}

/// Each has a role of the two, whichever.
bool has_settled(Stage& stage, Site& one, Site& other) {
    return stage.sites.pair.has_roles(one) || stage.sites.pair.has_roles(other);
}

void switch_over(Stage& stage) {
    Site& to = stage.mirror();
    must_be_ready(stage, to, "switchover");
    const test::CommandResult done = stage.sites.pair.switch_to(to);
    if (done.status != 0) {
        throw std::runtime_error("switchover: " + done.error + done.output);
    }
    stage.expect(done.output.find("\"lost\":0") != std::string::npos, Invariant::NothingLost,
                 "a switchover says that it lost something: " + done.output);
    const bool changed = test::eventually([&] { return stage.sites.pair.has_roles(to); }, 30s);
    stage.expect(changed, Invariant::Recovers,
                 "the roles are not changed: " + (changed ? "" : stage.describe()));
}

/// A daemon dies when so many steps are journaled; whether it goes back or forth then, one site
/// serves in the end and the other follows.
void switch_over_and_kill(Stage& stage) {
    Site& from = stage.primary();
    Site& to = stage.mirror();
    Site& victim = stage.chance.one_in(2) ? from : to;
    const size_t steps = 1 + stage.chance.below(10);
    must_be_ready(stage, to, "switchover");
    const size_t begun = lines_of(journal_of(victim));
    test::Process command({ANTIPODE, "--config", (to.directory / "antipode.toml").string(),
                           "switchover", "--to", to.name, "--yes"},
                          {});
    test::eventually(
        [&] { return lines_of(journal_of(victim)) >= begun + steps || !command.running(); }, 30s);
    victim.kill();
    command.kill();
    victim.start();
    const bool settled = test::eventually([&] { return has_settled(stage, from, to); }, 60s);
    stage.expect(settled, Invariant::Recovers,
                 "no site serves after " + victim.name + " died behind step " +
                     std::to_string(steps) + ": " + (settled ? "" : stage.describe()));
}

/// The line is cut while it runs, and mended later.
void switch_over_and_cut(Stage& stage) {
    Site& from = stage.primary();
    Site& to = stage.mirror();
    const size_t steps = 1 + stage.chance.below(8);
    must_be_ready(stage, to, "switchover");
    const size_t begun = lines_of(journal_of(from));
    test::Process command({ANTIPODE, "--config", (from.directory / "antipode.toml").string(),
                           "switchover", "--to", to.name, "--yes"},
                          {});
    test::eventually(
        [&] { return lines_of(journal_of(from)) >= begun + steps || !command.running(); }, 30s);
    stage.sites.line.forth = false;
    stage.sites.line.back = false;
    stage.hold(stage.some(4));
    stage.sites.heal();
    command.kill();
    const bool settled = test::eventually([&] { return has_settled(stage, from, to); }, 60s);
    stage.expect(settled, Invariant::Recovers,
                 "no site serves after the line was cut behind step " + std::to_string(steps) +
                     ": " + (settled ? "" : stage.describe()));
}

Loss read_loss(const std::string& text) {
    const auto report = nlohmann::json::parse(text).at("loss");
    Loss loss;
    loss.old_primary = report.at("old_primary");
    loss.unknown_since_us = report.at("unknown_since_us");
    for (const auto& item : report.at("losses")) {
        if (item.at("item").is_string()) {
            loss.named.insert(item.at("item").get<std::string>());
        }
    }
    return loss;
}

/// All that ran there is gone, with what the other site has not got.
void lose_site(Stage& stage, Site& site) {
    stage.sites.line.reset = true;
    stage.hold(stage.some(12));
    std::filesystem::remove(test::Pair::opened(site));
    site.kill();
    site.nats.kill();
    site.postgres.kill();
}

void promote(Stage& stage) {
    Site& old = stage.primary();
    Site& to = stage.mirror();
    lose_site(stage, old);
    must_be_ready(stage, to, "failover");
    const int64_t word_us = now_us();
    const test::CommandResult done = to.antipode(
        {"promote", to.name, "--yes", "-o", "json", "--fenced-by", "its machine is off"});
    if (done.status != 0) {
        throw std::runtime_error("promote: " + done.error + done.output);
    }
    const bool soon = now_us() - word_us < 30'000'000;
    stage.expect(soon, Invariant::Recovers, "open for writes later than 30 s after the word");
    Loss loss = read_loss(done.output);
    loss.promoted_us = word_us;
    stage.losses.push_back(loss);
    stage.sites.heal();
    stage.load(Stage::writers * 3);
    // The old one returns as it was: it must not serve.
    old.nats.start();
    old.postgres.start();
    old.start();
    const bool fenced = test::eventually(
        [&] {
            const auto role = old.status(".role");
            return (role == "fenced" || role == "secondary") && stage.sites.primary() == &to;
        },
        60s);
    stage.expect(
        fenced, Invariant::OneWriter,
        "the old primary is not fenced: " + (fenced ? "" : old.antipode({"status"}).output));
    const test::CommandResult write =
        test::run({test::PostgresServer::program("psql"), "-Xc", "DELETE FROM accounts",
                   old.postgres.url("app", "app")});
    stage.expect(write.status != 0, Invariant::OneWriter, "the old primary takes writes");
    stage.load(Stage::writers);
}

}  // namespace

std::vector<Fault> primary_faults() {
    return {
        {"switchover", "antipode switchover under load", Need::Nothing, false, switch_over},
        {"switchover-kill", "the same; a daemon dies in the middle", Need::Nothing, false,
         switch_over_and_kill},
        {"switchover-cut", "the same; the line is cut in the middle", Need::Nothing, false,
         switch_over_and_cut},
        {"promotion", "the primary's machine is lost with unsent writes; antipode promote",
         Need::Nothing, true, promote},
    };
}

const std::vector<Fault>& all_faults() {
    static const std::vector<Fault> all = [] {
        std::vector<Fault> faults;
        for (const auto& group :
             {process_faults(), line_faults(), content_faults(), primary_faults()}) {
            faults.insert(faults.end(), group.begin(), group.end());
        }
        return faults;
    }();
    return all;
}

}  // namespace antipode::chaos
