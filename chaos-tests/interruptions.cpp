// Changes of the primary that are interrupted before and behind each line of each site's journal.
#include <future>
#include <stdexcept>

#include "chaos-tests/faults.hpp"
#include "chaos-tests/promotion.hpp"

namespace antipode::chaos {
namespace {

using namespace std::chrono_literals;

enum class Change { Switchover, Promotion };
enum class Who { Old, New, Third };

/// A daemon dies when it writes the `line`-th line of its journal since the change began. Before:
/// the line is not there; else it is, and is not synced.
struct Interruption {
    Change change;
    Who who;
    int line;
    bool before;
};

const char* name_of(Change change) {
    return change == Change::Switchover ? "switchover" : "promotion";
}

const char* name_of(Who who) {
    switch (who) {
        case Who::Old:
            return "old";
        case Who::New:
            return "new";
        case Who::Third:
            break;
    }
    return "third";
}

/// How many lines it writes when nothing goes wrong: see failover/machine.hpp.
int lines_of(Change change, Who who) {
    switch (who) {
        case Who::Old:
            // Fencing, capturing, handed-off, confirming, committing, yielding, following; or
            // fenced, quarantining, quarantined, rewinding, following.
            return change == Change::Switchover ? 7 : 5;
        case Who::New:
            // Catching-up, ready, or cutting, claiming; then preparing, opening, serving. Behind a
            // switchover it says, too, who has seen it; with the old primary lost, only in a while.
            return change == Change::Switchover ? 6 : 5;
        case Who::Third:
            break;
    }
    return 3;  // finishing, crossing, following
}

std::vector<Interruption> all_interruptions() {
    std::vector<Interruption> all;
    for (const Change change : {Change::Switchover, Change::Promotion}) {
        for (const Who who : {Who::Old, Who::New, Who::Third}) {
            for (int line = 1; line <= lines_of(change, who); ++line) {
                all.push_back({change, who, line, true});
                all.push_back({change, who, line, false});
            }
        }
    }
    return all;
}

std::vector<std::string> tracer(const Interruption& interruption, const Site& site) {
    const std::string call = interruption.before ? "pwrite64" : "fsync";
    return {
        "strace",
        "-D",  // the daemon is our child, strace is not, so that it dies with us
        "-f",     "-qq",
        "-o",     "/dev/null",
        "-P",     journal_of(site),
        "-e",     "trace=" + call,
        "-e",     "inject=" + call + ":signal=SIGKILL:when=" + std::to_string(interruption.line)};
}

void start_to_be_killed(const Interruption& interruption, Site& site) {
    site.kill();
    site.start(tracer(interruption, site));
}

/// As a service manager would.
void await_death_and_start(Site& site) {
    if (!test::eventually([&] { return !site.daemon().running(); }, 60s)) {
        throw std::runtime_error(site.name + " has not written that line of its journal");
    }
    site.kill();
    site.start();
}

Site& third_of(Stage& stage, const Site& from, const Site& to) {
    for (Site* site : stage.sites.all()) {
        if (site != &from && site != &to) {
            return *site;
        }
    }
    throw std::logic_error("there is no third site");
}

/// What stands in its way for a moment, as a report that is late, makes the command end: it is told
/// again.
test::Process begin_switchover(const Site& from, Site& to, Site& victim) {
    const size_t lines = journal_lines(from);
    test::Process command;
    const auto has_begun = [&] {
        return journal_lines(from) > lines || !victim.daemon().running();
    };
    const bool begun = test::eventually(
        [&] {
            must_be_ready(to, "switchover");
            command = to.begin({"switchover", "--to", to.name, "--yes"});
            test::eventually([&] { return has_begun() || !command.running(); }, 60s);
            return has_begun();
        },
        60s);
    if (!begun) {
        throw std::runtime_error("the switchover to " + to.name + " does not begin");
    }
    return command;
}

void interrupt_switchover(Stage& stage, const Interruption& interruption) {
    Site& from = stage.primary();
    Site& to = stage.mirror();
    Site& victim = interruption.who == Who::Old   ? from
                   : interruption.who == Who::New ? to
                                                  : third_of(stage, from, to);
    start_to_be_killed(interruption, victim);
    test::Process command = begin_switchover(from, to, victim);
    await_death_and_start(victim);
    const bool ended = test::eventually([&] { return !command.running(); }, 60s);
    stage.expect(ended, Invariant::Recovers,
                 "the switchover goes neither on nor back: " + (ended ? "" : stage.describe()));
    command.kill();
    await_roles(stage);
}

void interrupt_promotion(Stage& stage, const Interruption& interruption) {
    Site& old = stage.primary();
    Site& to = stage.mirror();
    const bool of_old = interruption.who == Who::Old;
    Site* const victim = of_old                         ? nullptr
                         : interruption.who == Who::New ? &to
                                                        : &third_of(stage, old, to);
    lose_primary(stage, old);
    if (victim != nullptr) {
        start_to_be_killed(interruption, *victim);
    }
    must_be_ready(to, "failover");
    const int64_t word_us = now_us();
    auto answer = std::async(std::launch::async, [&] { return tell_to_promote(to); });
    if (victim == &to) {
        await_death_and_start(to);
    }
    const test::CommandResult done = answer.get();
    if (done.status != 0) {
        throw std::runtime_error("promote: " + done.error + done.output);
    }
    const Promotion promotion = go_on_after(stage, old, to, word_us, done.output);
    if (interruption.who == Who::Third) {
        await_death_and_start(*victim);
        await_following(stage, *victim);
    }
    return_old_primary(stage, promotion,
                       of_old ? tracer(interruption, old) : std::vector<std::string>{});
}

void interrupt(Stage& stage, const Interruption& interruption) {
    if (interruption.change == Change::Switchover) {
        interrupt_switchover(stage, interruption);
    } else {
        interrupt_promotion(stage, interruption);
    }
}

/// One of those that want as many sites.
void interrupt_any(Stage& stage, bool third) {
    std::vector<Interruption> possible = all_interruptions();
    std::erase_if(possible,
                  [&](const Interruption& one) { return (one.who == Who::Third) != third; });
    interrupt(stage, possible[stage.chance.below(possible.size())]);
}

Fault fault_of(const Interruption& interruption) {
    const std::string line = std::to_string(interruption.line);
    const char* const when = interruption.before ? "before" : "behind";
    Fault fault{std::string("interrupted-") + name_of(interruption.change) + "-" +
                    name_of(interruption.who) + "-" + line + "-" + when,
                std::string("a ") + name_of(interruption.change) + "; the daemon of the " +
                    name_of(interruption.who) + " site dies " + when + " line " + line +
                    " of its journal",
                Need::Trace, [interruption](Stage& stage) { interrupt(stage, interruption); }};
    fault.sites = interruption.who == Who::Third ? 3 : 2;
    fault.is_drawn = false;
    fault.loses_transactions = interruption.change == Change::Promotion;
    return fault;
}

}  // namespace

std::vector<Fault> interruption_faults() {
    std::vector<Fault> faults = {
        losing({"interrupted", "one of the interrupted-... below, by the seed", Need::Trace,
                [](Stage& stage) { interrupt_any(stage, false); }}),
        losing({"interrupted-three", "the same of a third site", Need::Trace,
                [](Stage& stage) { interrupt_any(stage, true); }, 3}),
    };
    for (const Interruption& interruption : all_interruptions()) {
        faults.push_back(fault_of(interruption));
    }
    return faults;
}

}  // namespace antipode::chaos
