#include "chaos-tests/report.hpp"

#include <algorithm>
#include <functional>
#include <iomanip>
#include <sstream>

#include <nlohmann/json.hpp>

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

std::string seconds(std::chrono::milliseconds time) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(1) << static_cast<double>(time.count()) / 1000 << "s";
    return text.str();
}

using Times = std::vector<std::chrono::milliseconds>;

std::string summary_of(Times times) {
    std::sort(times.begin(), times.end());
    return "median " + seconds(times[times.size() / 2]) + ", worst " + seconds(times.back()) + "\n";
}

/// `taken` says which; empty when there are none.
std::string times_of(const std::vector<Outcome>& outcomes, const std::string& what,
                     const std::function<void(const Outcome&, Times&)>& taken) {
    Times all;
    for (const Outcome& outcome : outcomes) {
        taken(outcome, all);
    }
    return all.empty() ? "" : std::to_string(all.size()) + " " + what + ": " + summary_of(all);
}

std::string times_of(const std::vector<Outcome>& outcomes, const std::string& what,
                     Times Outcome::*of) {
    return times_of(outcomes, what, [of](const Outcome& outcome, Times& all) {
        all.insert(all.end(), (outcome.*of).begin(), (outcome.*of).end());
    });
}

Json milliseconds_of(const Times& times) {
    Json all = Json::array();
    for (const auto time : times) {
        all.push_back(time.count());
    }
    return all;
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
    size_t operations = 0;
    size_t acknowledged = 0;
    int looks = 0;
    int points = 0;
    int while_comparing = 0;
    size_t lost = 0;
    std::string failures;
    for (const Outcome& outcome : outcomes) {
        add(outcome.faults, faults);
        add(outcome.invariants, invariants);
        operations += outcome.operations;
        acknowledged += outcome.acknowledged;
        looks += outcome.looks;
        points += outcome.points;
        while_comparing += outcome.while_comparing;
        lost += outcome.lost;
        failures += outcome.failed() ? " " + std::to_string(outcome.seed) : "";
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
    text << operations << " operations, " << acknowledged << " acknowledged; readers looked "
         << looks << " times, and compared " << points << " recovery points\n";
    text << times_of(outcomes, "faults, until every site had everything",
                     [](const Outcome& outcome, Times& all) {
                         for (const Case& fault : outcome.faults) {
                             if (fault.verdict != Case::Verdict::Skipped) {
                                 all.push_back(fault.recovery);
                             }
                         }
                     })
         << times_of(outcomes, "planned changes of the primary, without a write", &Outcome::stopped)
         << times_of(outcomes, "promotions, from the word until it is open", &Outcome::opened);
    if (lost > 0) {
        text << lost << " items and transactions were lost by promotions, and kept\n";
    }
    if (while_comparing > 0) {
        text << "known: " << while_comparing << " times a row named what was not there while its "
             << "database was compared (TRACK_RECORD.md)\n";
    }
    for (const Outcome& outcome : outcomes) {
        for (const auto* cases : {&outcome.faults, &outcome.invariants}) {
            for (const Case& one : *cases) {
                if (one.verdict == Case::Verdict::Failed) {
                    text << "seed " << outcome.seed << ": " << one.name << ": "
                         << one.detail.substr(0, 2000) << "\n";
                }
            }
        }
    }
    if (!failures.empty()) {
        text << "failed seeds:" << failures << "\n";
    }
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
                          {"looks", outcome.looks},
                          {"while_comparing", outcome.while_comparing},
                          {"lost", outcome.lost},
                          {"stopped_ms", milliseconds_of(outcome.stopped)},
                          {"opened_ms", milliseconds_of(outcome.opened)},
                          {"recovery_points", outcome.points}});
    }
    const Json all = {
        {"schema", "antipode.chaos/1"}, {"machine", probe.tried()}, {"trials", trials},
        {"passed", sums.passed},        {"failed", sums.failed},    {"skipped", sums.skipped}};
    return all.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace antipode::chaos
