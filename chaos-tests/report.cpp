#include "chaos-tests/report.hpp"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "chaos-tests/tally.hpp"

namespace antipode::chaos {
namespace {

using Json = nlohmann::json;

/// All cases of one name.
struct Entry {
    std::string name;
    std::string how;
    Sums sums;
    std::chrono::milliseconds longest{0};
    std::string skipped_because;
};

void add(const Case& one, Sums& sums) {
    switch (one.verdict) {
        case Case::Verdict::Passed:
            ++sums.passed;
            break;
        case Case::Verdict::Failed:
            ++sums.failed;
            break;
        case Case::Verdict::Skipped:
            ++sums.skipped;
            break;
    }
}

void add(const std::vector<Case>& cases, std::vector<Entry>& lines) {
    for (const Case& one : cases) {
        auto line = std::find_if(lines.begin(), lines.end(),
                                 [&](const Entry& known) { return known.name == one.name; });
        if (line == lines.end()) {
            line = lines.insert(line, Entry{one.name, one.how, {}, {}, ""});
        }
        add(one, line->sums);
        line->longest = std::max(line->longest, one.recovery);
        if (one.verdict == Case::Verdict::Skipped) {
            line->skipped_because = one.detail;
        }
    }
}

std::string result_of(const Entry& line) {
    if (line.sums.failed > 0) {
        return std::to_string(line.sums.failed) + " of " +
               std::to_string(line.sums.failed + line.sums.passed) + " FAILED";
    }
    if (line.sums.passed == 0) {
        return "skipped: " + line.skipped_because;
    }
    return std::to_string(line.sums.passed) + " passed";
}

int width_of(const std::vector<Entry>& lines, std::string Entry::*column) {
    size_t width = 18;
    for (const Entry& line : lines) {
        width = std::max(width, (line.*column).size());
    }
    return static_cast<int>(width) + 2;
}

Json json_of_cases(const std::vector<Case>& cases) {
    Json all = Json::array();
    for (const Case& one : cases) {
        all.push_back({{"name", one.name},
                       {"how", one.how},
                       {"verdict", name_of(one.verdict)},
                       {"detail", one.detail},
                       {"recovery_ms", one.recovery.count()}});
    }
    return all;
}

std::string failures_of(const std::vector<Outcome>& outcomes) {
    std::ostringstream text;
    std::string seeds;
    for (const Outcome& outcome : outcomes) {
        for (const auto* cases : {&outcome.faults, &outcome.invariants}) {
            for (const Case& one : *cases) {
                if (one.verdict == Case::Verdict::Failed) {
                    text << "seed " << outcome.seed << ": " << one.name << ": "
                         << one.detail.substr(0, 2000) << "\n";
                }
            }
        }
        seeds += outcome.failed() ? " " + std::to_string(outcome.seed) : "";
    }
    return text.str() + (seeds.empty() ? "" : "failed seeds:" + seeds + "\n");
}

}  // namespace

Sums sums_of(const std::vector<Outcome>& outcomes) {
    Sums sums;
    for (const Outcome& outcome : outcomes) {
        for (const auto* cases : {&outcome.faults, &outcome.invariants}) {
            for (const Case& one : *cases) {
                add(one, sums);
            }
        }
    }
    return sums;
}

std::string table_of(const std::vector<Outcome>& outcomes, const Probe& probe) {
    std::ostringstream text;
    text << std::left << "MACHINE\n";
    for (const auto& [what, outcome] : probe.tried()) {
        text << "  " << std::setw(28) << what << outcome << "\n";
    }
    std::vector<Entry> faults;
    std::vector<Entry> invariants;
    for (const Outcome& outcome : outcomes) {
        add(outcome.faults, faults);
        add(outcome.invariants, invariants);
    }
    const int name = width_of(faults, &Entry::name);
    const int how = width_of(faults, &Entry::how);
    text << std::setw(name) << "FAULT" << std::setw(how) << "HOW" << std::setw(12) << "RECOVERY"
         << "RESULT\n";
    for (const Entry& line : faults) {
        text << std::setw(name) << line.name << std::setw(how) << line.how << std::setw(12)
             << seconds(line.longest) << result_of(line) << "\n";
    }
    text << std::setw(40) << "INVARIANT"
         << "RESULT\n";
    for (const Entry& line : invariants) {
        text << std::setw(40) << line.name << result_of(line) << "\n";
    }
    text << text_of(tally_of(outcomes)) << failures_of(outcomes);
    const Sums sums = sums_of(outcomes);
    text << sums.passed << " passed, " << sums.failed << " failed, " << sums.skipped
         << " skipped\n";
    return text.str();
}

std::string json_of(const std::vector<Outcome>& outcomes, const Probe& probe) {
    const Sums sums = sums_of(outcomes);
    Json trials = Json::array();
    for (const Outcome& outcome : outcomes) {
        trials.push_back({{"seed", outcome.seed},
                          {"faults", json_of_cases(outcome.faults)},
                          {"invariants", json_of_cases(outcome.invariants)},
                          {"operations", outcome.operations},
                          {"acknowledged", outcome.acknowledged},
                          {"looks", outcome.seen.looks},
                          {"looks_failed", outcome.seen.failed},
                          {"while_comparing", outcome.seen.while_comparing},
                          {"never_read", outcome.seen.never_read},
                          {"lost", outcome.lost},
                          {"stopped_ms", milliseconds_of(outcome.stopped)},
                          {"opened_ms", milliseconds_of(outcome.opened)},
                          {"refused_ms", milliseconds_of(outcome.refused)},
                          {"equal_ms", milliseconds_of(outcome.equal)},
                          {"recovery_points", outcome.seen.points}});
    }
    const Json all = {{"schema", "antipode.chaos/1"},
                      {"machine", probe.tried()},
                      {"trials", trials},
                      {"tally", json_of(tally_of(outcomes))},
                      {"passed", sums.passed},
                      {"failed", sums.failed},
                      {"skipped", sums.skipped}};
    return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace antipode::chaos
