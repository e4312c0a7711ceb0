// Another site becomes the primary: planned, with deaths in the middle of it, and unplanned.
#include <algorithm>
#include <stdexcept>

#include <nlohmann/json.hpp>

#include "chaos-tests/faults.hpp"
#include "chaos-tests/quarantine.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;

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

/// Each has a role, whichever.
bool has_settled(Stage& stage) {
    const auto all = stage.sites.all();
    return std::any_of(all.begin(), all.end(),
                       [&](Site* site) { return stage.sites.pair.has_roles(*site); });
}

}  // namespace

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

namespace {

/// A daemon dies when so many steps are journaled; whether it goes back or forth then, one site
/// serves in the end and the other follows.
void switch_over_and_kill(Stage& stage) {
    Site& from = stage.primary();
    Site& to = stage.mirror();
    Site& victim = stage.chance.one_in(2) ? from : to;
    const size_t steps = 1 + stage.chance.below(10);
    must_be_ready(stage, to, "switchover");
    const size_t begun = lines_of(journal_of(victim));
    test::Process command = to.begin({"switchover", "--to", to.name, "--yes"});
    test::eventually(
        [&] { return lines_of(journal_of(victim)) >= begun + steps || !command.running(); }, 30s);
    victim.kill();
    command.kill();
    victim.start();
    const bool settled = test::eventually([&] { return has_settled(stage); }, 60s);
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
    test::Process command = from.begin({"switchover", "--to", to.name, "--yes"});
    test::eventually(
        [&] { return lines_of(journal_of(from)) >= begun + steps || !command.running(); }, 30s);
    stage.sites.cut();
    stage.hold(stage.some(4));
    stage.sites.heal();
    command.kill();
    const bool settled = test::eventually([&] { return has_settled(stage); }, 60s);
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
    stage.sites.reset(site);
    stage.hold(stage.some(12));
    std::filesystem::remove(test::Pair::opened(site));
    site.kill();
    site.nats.kill();
    site.postgres.kill();
}

/// The end of one site's primaryship, and its return.
struct Promotion {
    Site& old;
    Site& to;
    std::string operation;
    size_t loss;                   ///< its place in the history
    View cut;                      ///< the new primary before anybody wrote there
    std::filesystem::path clones;  ///< of its repositories, then
};

/// Nobody writes yet.
void look_at_cut(Stage& stage, Promotion& promotion) {
    promotion.cut = look(promotion.to);
    promotion.clones = stage.sites.pair.temporary / ("cut-" + promotion.operation);
    for (int writer = 0; writer < Stage::writers; ++writer) {
        const std::string name = Sites::repository(writer);
        test::must_run({"git", "clone", "-q", "--mirror", (promotion.to.git_root / name).string(),
                        (promotion.clones / name).string()});
    }
}

Promotion promote(Stage& stage, Site& old, Site& to) {
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
    return {old, to, nlohmann::json::parse(done.output).at("operation"), stage.history.lose(loss),
            {},  {}};
}

void await_state(Stage& stage, Site& site, const std::string& state) {
    const bool reached =
        test::eventually([&] { return site.status(".failover.state") == state; }, 60s);
    if (!reached) {
        throw std::runtime_error(site.name + " is not " + state + ": " + stage.describe());
    }
}

/// As it was: it must not serve.
void bring_back(Stage& stage, Site& site) {
    site.nats.start();
    site.postgres.start();
    site.start();
    if (stage.chance.one_in(2)) {
        stage.hold(1);
        site.kill();
        site.start();
    }
    await_state(stage, site, "quarantined");
    const test::InNetwork inside(site.network);
    const test::CommandResult write =
        test::run({test::PostgresServer::program("psql"), "-Xc", "DELETE FROM accounts",
                   site.postgres.url("app", "app")});
    stage.expect(write.status != 0 && !std::filesystem::exists(test::Pair::opened(site)),
                 Invariant::OneWriter, "the old primary takes writes");
}

/// The new primary gets it from the old one.
std::string await_final_report(const Promotion& promotion) {
    std::string report;
    const bool final = test::eventually([&] {
        report = promotion.to.antipode({"loss", promotion.operation, "-o", "json"}).output;
        return report.find("\"state\":\"final\"") != std::string::npos;
    });
    if (!final) {
        throw std::runtime_error("the loss report does not become final: " + report);
    }
    return report;
}

/// What only the old primary has is kept, and counted. `before`: all that was tried before it was
/// lost.
void check_what_is_kept(Stage& stage, const Promotion& promotion,
                        const std::vector<Operation>& before) {
    const View there = look(promotion.old);
    const Quarantine kept =
        read_quarantine(promotion.old.directory / "state/quarantine" / promotion.operation,
                        promotion.clones, await_final_report(promotion));
    Loss loss = stage.history.losses().at(promotion.loss);
    stage.expect(check_quarantine(promotion.cut, there, kept));
    // With that, everything that it acknowledged is there or here.
    auto earlier = stage.history.losses();
    earlier.erase(earlier.begin() + static_cast<std::ptrdiff_t>(promotion.loss));
    stage.expect(Checker(before, Sites::total, earlier).check_kept(there));
    loss.exactly = names_in(kept);
    stage.lost += kept.stated.all;
    stage.history.learn(promotion.loss, loss);
}

/// It follows the new primary, with the operator's word.
void rejoin(Stage& stage, const Promotion& promotion) {
    Site& old = promotion.old;
    const auto place = old.directory / "state/quarantine" / promotion.operation;
    const std::string losses = test::read_file(place / "losses.jsonl");
    const test::CommandResult done =
        stage.any().antipode({"rejoin", old.name, "--yes", "-o", "json"});
    if (done.status != 0) {
        throw std::runtime_error("rejoin: " + done.error + done.output);
    }
    if (stage.chance.one_in(2)) {
        old.kill();
        old.start();
    }
    await_state(stage, old, "following");
    Loss loss = stage.history.losses().at(promotion.loss);
    loss.returned_us = now_us();
    stage.history.learn(promotion.loss, loss);
    const bool caught_up = stage.sites.caught_up(old, 60s);
    stage.expect(caught_up, Invariant::Recovers,
                 "the old primary does not catch up: " + (caught_up ? "" : stage.describe()));
    stage.expect(test::read_file(place / "losses.jsonl") == losses, Invariant::Kept,
                 "the quarantine has changed meanwhile");
}

/// There, and back again.
void promote_and_return(Stage& stage) {
    Site& old = stage.primary();
    Site& to = stage.mirror();
    lose_site(stage, old);
    // So that the new primary can be looked at before anybody writes.
    stage.workload.stop();
    const std::vector<Operation> before = stage.history.operations();
    Promotion promotion = promote(stage, old, to);
    look_at_cut(stage, promotion);
    stage.sites.heal();
    stage.workload.start();
    stage.load(Stage::writers * 3);
    bring_back(stage, old);
    check_what_is_kept(stage, promotion, before);
    stage.load(Stage::writers);
    rejoin(stage, promotion);
    switch_over(stage);
}

}  // namespace

std::vector<Fault> primary_faults() {
    return {
        {"switchover", "antipode switchover under load", Need::Nothing, switch_over},
        {"switchover-kill", "the same; a daemon dies in the middle", Need::Nothing,
         switch_over_and_kill},
        {"switchover-cut", "the same; the line is cut in the middle", Need::Nothing,
         switch_over_and_cut},
        {"promotion", "the primary's machine is lost; promote, rejoin, switchover back",
         Need::Nothing, promote_and_return},
    };
}

const std::vector<Fault>& all_faults() {
    static const std::vector<Fault> all = [] {
        std::vector<Fault> faults;
        for (const auto& group : {process_faults(), line_faults(), packet_faults(),
                                  content_faults(), machine_faults(), primary_faults()}) {
            faults.insert(faults.end(), group.begin(), group.end());
        }
        return faults;
    }();
    return all;
}

}  // namespace antipode::chaos
