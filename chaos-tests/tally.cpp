#include "chaos-tests/tally.hpp"

#include <algorithm>
#include <iomanip>
#include <set>
#include <sstream>

namespace antipode::chaos {
namespace {

using Json = nlohmann::json;

/// Faults of one kind have one of the marks in their name.
struct Kind {
    const char* name;
    std::vector<std::string> marks;
};

const std::vector<Kind>& kinds() {
    static const std::vector<Kind> all = {
        {"kills and stops", {"kill", "stop-", "interrupted", "quorum-lost"}},
        {"partitions and bad lines",
         {"partition", "flap", "reset", "cut-packets", "switchover-cut", "site-off-net", "thin-out",
          "delay-packets", "reorder-packets", "slow-line"}},
        {"messages lost, doubled, reordered", {"messages", "overrun-stream", "old-epoch"}},
        {"states lost or damaged", {"lose-broker", "-state", "lose-slot", "slot-overrun"}},
        {"power cuts", {"power-cut", "failed-sync"}},
        {"disks failing, slow, full", {"io-errors", "slow-disk", "disk-full"}},
        {"damages",
         {"damage-file", "damage-repository", "damage-row", "damage-primary", "rot-primary"}},
        {"clocks set", {"clock"}},
        {"mistakes of operators", {"operator-errors"}},
        {"isolated, witness or fencer away", {"isolated", "witness", "fencer"}},
    };
    return all;
}

bool has_hit(const Case& fault) {
    return fault.verdict != Case::Verdict::Skipped;
}

size_t count_of(const std::vector<Case>& faults, const Kind& kind) {
    return static_cast<size_t>(std::count_if(faults.begin(), faults.end(), [&](const Case& fault) {
        return has_hit(fault) &&
               std::any_of(kind.marks.begin(), kind.marks.end(), [&](const std::string& mark) {
                   return fault.name.find(mark) != std::string::npos;
               });
    }));
}

std::string not_in(const std::set<std::string>& hit) {
    std::string names;
    for (const Fault& fault : all_faults()) {
        if (fault.is_drawn && !hit.contains(fault.name)) {
            names += (names.empty() ? "" : ", ") + fault.name;
        }
    }
    return names;
}

void append(Times& to, const Times& more) {
    to.insert(to.end(), more.begin(), more.end());
}

/// Upper bounds of a histogram's columns, in seconds; what is longer comes last.
constexpr int bounds_s[] = {1, 2, 5, 10, 15, 30, 60};

std::vector<size_t> histogram_of(const Times& times) {
    std::vector<size_t> columns(std::size(bounds_s) + 1);
    for (const auto time : times) {
        const auto* const bound =
            std::find_if(std::begin(bounds_s), std::end(bounds_s),
                         [&](int bound_s) { return time <= std::chrono::seconds(bound_s); });
        ++columns[static_cast<size_t>(bound - std::begin(bounds_s))];
    }
    return columns;
}

/// Its columns that are not empty.
std::string text_of_histogram(const Times& times) {
    const std::vector<size_t> columns = histogram_of(times);
    std::string text;
    for (size_t column = 0; column < columns.size(); ++column) {
        if (columns[column] > 0) {
            const bool is_last = column == std::size(bounds_s);
            text += (text.empty() ? "" : ", ") + std::string(is_last ? "over " : "up to ") +
                    std::to_string(bounds_s[is_last ? column - 1 : column]) +
                    " s: " + std::to_string(columns[column]);
        }
    }
    return text;
}

Json json_of_times(const Times& times) {
    if (times.empty()) {
        return nullptr;
    }
    Times sorted = times;
    std::sort(sorted.begin(), sorted.end());
    return {{"count", sorted.size()},
            {"median_ms", sorted[sorted.size() / 2].count()},
            {"worst_ms", sorted.back().count()},
            {"bounds_s", bounds_s},
            {"histogram", histogram_of(sorted)}};
}

/// Empty when there are none.
std::string line_of(const std::string& what, Times times) {
    if (times.empty()) {
        return "";
    }
    std::sort(times.begin(), times.end());
    return std::to_string(times.size()) + " " + what + ": median " +
           seconds(times[times.size() / 2]) + ", worst " + seconds(times.back()) + "\n    " +
           text_of_histogram(times) + "\n";
}

}  // namespace

Tally tally_of(const std::vector<Outcome>& outcomes) {
    Tally tally;
    std::set<std::string> hit;
    for (const Kind& kind : kinds()) {
        tally.done.emplace_back(kind.name, 0);
    }
    for (const Outcome& outcome : outcomes) {
        tally.operations += outcome.operations;
        tally.acknowledged += outcome.acknowledged;
        tally.structures += outcome.structures;
        tally.large += outcome.large;
        tally.large_objects += outcome.large_objects;
        tally.lost += outcome.lost;
        tally.seen += outcome.seen;
        append(tally.equal, outcome.equal);
        append(tally.stopped, outcome.stopped);
        append(tally.opened, outcome.opened);
        append(tally.refused, outcome.refused);
        for (size_t place = 0; place < kinds().size(); ++place) {
            tally.done[place].second += count_of(outcome.faults, kinds()[place]);
        }
        for (const Case& fault : outcome.faults) {
            if (has_hit(fault)) {
                hit.insert(fault.name);
                tally.recoveries.push_back(fault.recovery);
            }
        }
        for (const auto& [invariant, violations] : outcome.violations) {
            tally.violations[invariant] += violations;
        }
    }
    tally.done.emplace_back("planned changes of the primary", tally.stopped.size());
    tally.done.emplace_back("promotions", tally.opened.size());
    tally.done.emplace_back("changes of the structure", tally.structures);
    tally.done.emplace_back("files of more than 8 MiB", tally.large);
    tally.done.emplace_back("changes of large objects", tally.large_objects);
    tally.not_tried = not_in(hit);
    return tally;
}

std::string text_of(const Tally& tally) {
    std::ostringstream text;
    text << "DONE\n";
    for (const auto& [what, count] : tally.done) {
        text << "  " << std::setw(36) << std::left << what << count << "\n";
    }
    const auto found = [&](Invariant invariant) {
        const auto count = tally.violations.find(invariant);
        return count == tally.violations.end() ? 0 : count->second;
    };
    text << tally.operations << " operations, " << tally.acknowledged << " acknowledged; "
         << found(Invariant::NothingLost) << " lost against the word, "
         << found(Invariant::NothingResurrected) << " resurrected, "
         << found(Invariant::NoFalseAlarm) << " false alarms; " << tally.lost
         << " lost by promotions, of which " << found(Invariant::Stated) + found(Invariant::Kept)
         << " times something was stated or kept wrongly\n"
         << "readers looked " << tally.seen.looks << " times (" << tally.seen.failed
         << " more failed), and compared " << tally.seen.points << " recovery points\n"
         << line_of("faults, until every site had everything", tally.recoveries)
         << line_of("comparisons at the end, from the last write until equal", tally.equal)
         << line_of("planned changes of the primary, without a write", tally.stopped)
         << line_of("promotions, from the word until it is open", tally.opened)
         << line_of("isolated primaries, from the cut until they refused", tally.refused)
         << line_of("recovery points, how old they were under load and faults", tally.seen.ages);
    if (tally.seen.while_comparing > 0) {
        text << "known: " << tally.seen.while_comparing
             << " times a row named what was not there while its database was compared "
             << "(TRACK_RECORD.md)\n";
    }
    if (tally.seen.never_read > 0) {
        text << "known: " << tally.seen.never_read
             << " times a row named what was removed before the primary had read it "
             << "(docs/GUARANTEES.md)\n";
    }
    // Of a few that were named it is no news.
    if (!tally.not_tried.empty() && tally.recoveries.size() > all_faults().size() / 2) {
        text << "not tried: " << tally.not_tried << "\n";
    }
    return text.str();
}

Json json_of(const Tally& tally) {
    Json done = Json::object();
    for (const auto& [what, count] : tally.done) {
        done[what] = count;
    }
    Json violations = Json::object();
    for (const auto& [invariant, count] : tally.violations) {
        violations[name_of(invariant)] = count;
    }
    return {{"operations", tally.operations},
            {"acknowledged", tally.acknowledged},
            {"done", done},
            {"lost_by_promotions", tally.lost},
            {"violations", violations},
            {"looks", tally.seen.looks},
            {"looks_failed", tally.seen.failed},
            {"recovery_points", tally.seen.points},
            {"recovery", json_of_times(tally.recoveries)},
            {"equal", json_of_times(tally.equal)},
            {"stopped", json_of_times(tally.stopped)},
            {"opened", json_of_times(tally.opened)},
            {"refused", json_of_times(tally.refused)},
            {"age_of_recovery_points", json_of_times(tally.seen.ages)},
            {"not_tried", tally.not_tried}};
}

std::string seconds(std::chrono::milliseconds time) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(1) << static_cast<double>(time.count()) / 1000 << "s";
    return text.str();
}

Json milliseconds_of(const Times& times) {
    Json all = Json::array();
    for (const auto time : times) {
        all.push_back(time.count());
    }
    return all;
}

}  // namespace antipode::chaos
