// Another site becomes the primary: planned, with deaths in the middle of it, and unplanned.
#include <algorithm>
#include <stdexcept>

#include "chaos-tests/faults.hpp"
#include "chaos-tests/promotion.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;

/// The longest time since then in which nothing was acknowledged of all behind the first `before`,
/// which may be of clocks that were set.
std::chrono::milliseconds longest_pause(const History& history, size_t before, int64_t since_us) {
    std::vector<int64_t> acknowledged{since_us};
    const std::vector<Operation> operations = history.operations();
    for (size_t place = before; place < operations.size(); ++place) {
        if (operations[place].outcome == Operation::Outcome::Ok) {
            acknowledged.push_back(operations[place].done_us);
        }
    }
    std::sort(acknowledged.begin(), acknowledged.end());
    int64_t longest = 0;
    for (size_t i = 1; i < acknowledged.size(); ++i) {
        longest = std::max(longest, acknowledged[i] - acknowledged[i - 1]);
    }
    return std::chrono::milliseconds(longest / 1000);
}

}  // namespace

void switch_over(Stage& stage, Site& to) {
    must_be_ready(to, "switchover");
    const size_t before = stage.history.operations().size();
    const int64_t begun_us = now_us();
    const test::CommandResult done = stage.sites.pair.switch_to(to);
    if (done.status != 0) {
        throw std::runtime_error("switchover: " + done.error + done.output);
    }
    stage.expect(done.output.find("\"lost\":0") != std::string::npos, Invariant::NothingLost,
                 "a switchover says that it lost something: " + done.output);
    const bool changed = test::eventually([&] { return stage.sites.pair.has_roles(to); }, 30s);
    stage.expect(changed, Invariant::Recovers,
                 "the roles are not changed: " + (changed ? "" : stage.describe()));
    for (const Site* site : stage.mirrors()) {
        stage.expect_refusal(*site);
    }
    stage.load(Stage::writers);
    stage.stopped.push_back(longest_pause(stage.history, before, begun_us));
    stage.expect(stage.stopped.back() < 15s, Invariant::Recovers,
                 "a planned change of the primary stopped writes for longer than 15 s");
}

void switch_over(Stage& stage) {
    switch_over(stage, stage.mirror());
}

namespace {

/// A daemon dies when so many steps are journaled; whether it goes back or forth then, one site
/// serves in the end and the other follows.
void switch_over_and_kill(Stage& stage) {
    Site& from = stage.primary();
    Site& to = stage.mirror();
    const bool of_old = stage.chance.one_in(2);
    Site& victim = of_old ? from : to;
    // As many as each of them writes.
    const size_t steps = 1 + stage.chance.below(of_old ? 7 : 5);
    must_be_ready(to, "switchover");
    const size_t begun = journal_lines(victim);
    test::Process command = to.begin({"switchover", "--to", to.name, "--yes"});
    test::eventually([&] { return journal_lines(victim) >= begun + steps || !command.running(); },
                     30s);
    if (journal_lines(victim) < begun + steps) {
        stage.miss(victim.name + " has not written line " + std::to_string(steps) +
                   " of its journal");
    }
    victim.kill();
    command.kill();
    victim.start();
    await_roles(stage);
}

/// The line is cut while it runs, and mended later.
void switch_over_and_cut(Stage& stage) {
    Site& from = stage.primary();
    Site& to = stage.mirror();
    const size_t steps = 1 + stage.chance.below(7);
    must_be_ready(to, "switchover");
    const size_t begun = journal_lines(from);
    test::Process command = from.begin({"switchover", "--to", to.name, "--yes"});
    test::eventually([&] { return journal_lines(from) >= begun + steps || !command.running(); },
                     30s);
    if (journal_lines(from) < begun + steps) {
        stage.miss(from.name + " has not written line " + std::to_string(steps) +
                   " of its journal");
    }
    stage.sites.cut();
    stage.hold(stage.some(4));
    stage.sites.heal();
    command.kill();
    await_roles(stage);
}

/// There, and back again.
void promote_and_return(Stage& stage) {
    Site& old = stage.primary();
    Site& to = stage.mirror();
    lose_primary(stage, old);
    return_old_primary(stage, promote(stage, old, to));
    switch_over(stage);
}

/// Behind the point of no return, before or behind its opening, the target is lost for good: the
/// old primary takes its own place again.
void lose_target(Stage& stage) {
    Site& from = stage.primary();
    Site& to = stage.mirror();
    must_be_ready(to, "switchover");
    const size_t begun = journal_lines(from);
    test::Process command = from.begin({"switchover", "--to", to.name, "--yes"});
    // Fencing, capturing, handed-off, confirming, committing.
    const bool committed = test::eventually([&] { return journal_lines(from) >= begun + 5; }, 60s);
    if (!committed) {
        throw std::runtime_error("the switchover does not commit: " + stage.describe());
    }
    if (stage.chance.one_in(2)) {
        stage.load(1);
    }
    lose_primary(stage, to);
    command.kill();
    return_lost_target(stage, promote(stage, to, from));
}

}  // namespace

std::vector<Fault> primary_faults() {
    return {
        {"switchover", "antipode switchover under load", Need::Nothing,
         [](Stage& stage) { switch_over(stage); }},
        {"switchover-kill", "the same; a daemon dies in the middle", Need::Nothing,
         switch_over_and_kill},
        {"switchover-cut", "the same; the line is cut in the middle", Need::Nothing,
         switch_over_and_cut},
        losing({"lost-target",
                "a switchover whose target is lost for good; its old primary is promoted",
                Need::Nothing, lose_target}),
        losing({"promotion", "the primary's machine is lost; promote, rejoin, switchover back",
                Need::Nothing, promote_and_return}),
    };
}

const std::vector<Fault>& all_faults() {
    static const std::vector<Fault> all = [] {
        std::vector<Fault> faults;
        for (const auto& group :
             {process_faults(), line_faults(), packet_faults(), content_faults(),
              primary_damage_faults(), machine_faults(), call_faults(), primary_faults(),
              third_site_faults(), witness_faults(), operator_faults(), interruption_faults()}) {
            faults.insert(faults.end(), group.begin(), group.end());
        }
        return faults;
    }();
    return all;
}

}  // namespace antipode::chaos
