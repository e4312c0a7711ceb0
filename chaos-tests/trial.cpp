#include "chaos-tests/trial.hpp"

#include <algorithm>
#include <fstream>
#include <optional>

namespace antipode::chaos {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// In which large content is pulled.
constexpr size_t range_bytes = 8 << 20;

constexpr Invariant all_invariants[] = {
    Invariant::NothingLost,
    Invariant::WholePrefix,
    Invariant::NothingResurrected,
    Invariant::NothingInvented,
    Invariant::References,
    Invariant::Transactions,
    Invariant::RecoveryPoint,
    Invariant::Equal,
    Invariant::OneWriter,
    Invariant::Recovers,
    Invariant::Named,
    Invariant::NoFalseAlarm,
    Invariant::Kept,
    Invariant::Stated,
    Invariant::NumbersOnce,
    Invariant::Clean,
    Invariant::Refused,
    Invariant::RefusesAlone,
};

std::string text_of(const Violations& violations) {
    std::string text;
    for (const Violation& violation : violations) {
        text += std::string(text.empty() ? "" : "; ") + name_of(violation.invariant) + ": " +
                violation.text;
    }
    return text;
}

/// Everything that helps to understand a failure, and that the seed does not repeat exactly.
void keep(const Plan& plan, Stage& stage, const Outcome& outcome) {
    if (plan.failures.empty()) {
        return;
    }
    const auto directory = plan.failures / ("seed-" + std::to_string(plan.seed));
    std::filesystem::create_directories(directory);
    test::write_file(directory / "history.jsonl", to_json_lines(stage.history.operations()));
    std::string schedule;
    for (const auto* cases : {&outcome.faults, &outcome.invariants}) {
        for (const Case& one : *cases) {
            schedule += one.name + ": " + name_of(one.verdict) +
                        (one.detail.empty() ? "" : ": " + one.detail) + "\n";
        }
    }
    test::write_file(directory / "schedule", schedule);
    test::write_file(directory / "status", stage.describe());
    for (Site* site : stage.sites.all()) {
        for (const char* log : {"antipoded.log", "nats/nats-server.log", "pg/postgres.log",
                                "fencer.log", "state/failover.journal"}) {
            const auto source = site->directory / log;
            // A disk that was cut off cannot be read: what else there is is kept all the same.
            std::error_code ignored;
            std::filesystem::copy_file(source,
                                       directory / (site->name + "-" + source.filename().string()),
                                       std::filesystem::copy_options::overwrite_existing, ignored);
        }
    }
}

Case run_fault(Stage& stage, const Fault& fault) {
    Case result{fault.name, fault.how, Case::Verdict::Passed, "", milliseconds(0)};
    try {
        std::unique_lock<std::mutex> structure;
        if (fault.loses_transactions) {
            structure = stage.hold_structure();
        }
        fault.inject(stage);
        result.recovery = stage.recover();
        stage.ask(Invariant::Recovers);
    } catch (const std::exception& error) {
        stage.expect(false, Invariant::Recovers, error.what());
    }
    if (const auto why = stage.take_miss()) {
        result.verdict = Case::Verdict::Skipped;
        result.detail = "it hit nothing: " + *why;
    }
    return result;
}

void count(Stage& stage, Outcome& outcome) {
    for (const Operation& operation : stage.history.operations()) {
        ++outcome.operations;
        if (operation.outcome == Operation::Outcome::Ok) {
            ++outcome.acknowledged;
            outcome.structures += operation.kind == Operation::Kind::Structure ? 1 : 0;
            outcome.large += operation.bytes > range_bytes ? 1 : 0;
            outcome.large_objects += operation.kind == Operation::Kind::LargeObject ? 1 : 0;
        }
    }
    outcome.seen = stage.seen();
    outcome.lost = stage.lost;
    outcome.stopped = stage.stopped;
    outcome.opened = stage.opened;
    outcome.refused = stage.refused;
    outcome.equal = stage.equal;
}

/// One case for each invariant: failed when anything contradicted it, skipped when nothing could.
void judge(const Stage& stage, const Violations& all, Outcome& outcome) {
    for (const Invariant invariant : all_invariants) {
        Violations against;
        std::copy_if(all.begin(), all.end(), std::back_inserter(against),
                     [&](const Violation& one) { return one.invariant == invariant; });
        outcome.violations[invariant] += against.size();
        Case one{name_of(invariant), "", Case::Verdict::Passed, text_of(against), milliseconds(0)};
        if (!against.empty()) {
            one.verdict = Case::Verdict::Failed;
        } else if (!stage.was_asked(invariant)) {
            one.verdict = Case::Verdict::Skipped;
            one.detail = "nothing happened that could have contradicted it";
        }
        outcome.invariants.push_back(one);
    }
}

void run_on(Stage& stage, const std::vector<const Fault*>& schedule, const Plan& plan,
            const Probe& probe, Outcome& outcome) {
    Violations all;
    bool goes_on = true;
    for (const Fault* fault : schedule) {
        if (const auto why = probe.missing(fault->need)) {
            outcome.faults.push_back(
                {fault->name, fault->how, Case::Verdict::Skipped, *why, milliseconds(0)});
            continue;
        }
        if (!goes_on || Clock::now() >= plan.until) {
            break;
        }
        plan.say("seed " + std::to_string(plan.seed) + ": " + fault->name);
        Case result = run_fault(stage, *fault);
        const Violations found = stage.take();
        if (!found.empty()) {
            result.verdict = Case::Verdict::Failed;
            result.detail = text_of(found);
            all.insert(all.end(), found.begin(), found.end());
            plan.say("seed " + std::to_string(plan.seed) + ": FAILED " + result.detail);
        }
        outcome.faults.push_back(result);
        // What did not recover would fail everything behind it.
        goes_on = found.empty();
    }
    const Violations at_the_end = stage.compare_at_the_end();
    all.insert(all.end(), at_the_end.begin(), at_the_end.end());
    judge(stage, all, outcome);
    count(stage, outcome);
}

/// What its faults need.
Ground ground_for(const std::vector<const Fault*>& schedule, const Probe& probe) {
    const auto wants = [&](Need need) {
        return !probe.missing(need) &&
               std::any_of(schedule.begin(), schedule.end(),
                           [&](const Fault* fault) { return fault->need == need; });
    };
    Ground ground;
    if (wants(Need::Power) || wants(Need::FailingSync)) {
        ground.disks = Disk::Kind::Loop;
    } else if (!probe.missing(Need::Mounts)) {
        ground.disks = Disk::Kind::Memory;
    }
    if (wants(Need::Clock)) {
        ground.clocks = Probe::clock_library();
    }
    ground.networks = !probe.missing(Need::Networks);
    if (std::any_of(schedule.begin(), schedule.end(),
                    [](const Fault* fault) { return fault->sites > 2; })) {
        ground.third = "tokyo";
    }
    ground.witness = std::any_of(schedule.begin(), schedule.end(),
                                 [](const Fault* fault) { return fault->witness; });
    return ground;
}

}  // namespace

const char* name_of(Case::Verdict verdict) {
    switch (verdict) {
        case Case::Verdict::Passed:
            return "passed";
        case Case::Verdict::Failed:
            return "failed";
        case Case::Verdict::Skipped:
            return "skipped";
    }
    return "";
}

bool Outcome::failed() const {
    const auto is_failed = [](const Case& one) { return one.verdict == Case::Verdict::Failed; };
    return std::any_of(faults.begin(), faults.end(), is_failed) ||
           std::any_of(invariants.begin(), invariants.end(), is_failed);
}

std::vector<const Fault*> schedule_of(const Plan& plan, const Probe& probe) {
    std::vector<const Fault*> schedule;
    if (!plan.only.empty()) {
        for (const std::string& name : plan.only) {
            schedule.push_back(find_fault(name));
        }
        return schedule;
    }
    simulation::Chance chance(plan.seed ^ 0xFA017);
    std::vector<const Fault*> possible;
    for (const Fault& fault : all_faults()) {
        if (fault.is_drawn) {
            possible.push_back(&fault);
        }
    }
    // Those that are skipped do not take a place, so that others have their turn.
    for (int taken = 0; taken < plan.faults && !possible.empty();) {
        const size_t at = chance.below(possible.size());
        schedule.push_back(possible[at]);
        taken += probe.missing(possible[at]->need) ? 0 : 1;
        possible.erase(possible.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return schedule;
}

const Fault* find_fault(const std::string& name) {
    const auto& all = all_faults();
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const Fault& fault) { return name == fault.name; });
    return found == all.end() ? nullptr : &*found;
}

Outcome run_trial(const Plan& plan, const Probe& probe) {
    Outcome outcome;
    outcome.seed = plan.seed;
    std::optional<Stage> stage;
    try {
        const auto schedule = schedule_of(plan, probe);
        stage.emplace(plan.seed, ground_for(schedule, probe));
        run_on(*stage, schedule, plan, probe, outcome);
    } catch (const std::exception& error) {
        outcome.invariants.push_back({name_of(Invariant::Recovers), "", Case::Verdict::Failed,
                                      error.what(), milliseconds(0)});
    }
    if (outcome.failed() && stage) {
        keep(plan, *stage, outcome);
    }
    return outcome;
}

}  // namespace antipode::chaos
