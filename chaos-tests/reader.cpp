#include "chaos-tests/reader.hpp"

#include <algorithm>
#include <condition_variable>
#include <sstream>

#include "base/clock.hpp"

namespace antipode::chaos {
namespace {

/// Looking costs processes: the machine is for the sites.
constexpr std::chrono::milliseconds between_looks(150);
constexpr size_t rows_at_once = 40;

/// The newest of each writer, which are what can be missing.
View newest(const View& rows) {
    View few;
    std::map<int, int> last;
    for (const auto& [key, row] : rows.rows) {
        last[key.first] = key.second;
    }
    for (const auto& [key, row] : rows.rows) {
        if (key.second + static_cast<int>(rows_at_once / last.size()) > last[key.first]) {
            few.rows[key] = row;
        }
    }
    return few;
}

}  // namespace

void Reader::start() {
    thread_ = std::jthread([this](const std::stop_token& stop) {
        std::mutex mutex;
        std::condition_variable_any stopped;
        while (!stop.stop_requested()) {
            if (sites_.primary() != &site_) {
                try {
                    look_once();
                } catch (const std::exception&) {
                    // Its server was killed: there are no readers then.
                }
            }
            std::unique_lock lock(mutex);
            stopped.wait_for(lock, stop, between_looks, [] { return false; });
        }
    });
}

void Reader::look_once() {
    excuses_ = excuses();
    const auto point = site_.status("select(.role == \"secondary\") | .recovery_point_us");
    const View rows = look_at_rows(site_);
    if (point && !sites_.clocks_change) {
        check_point(std::stoll(*point), rows);
    }
    add(references_that_stay(newest(rows)));
    View sums;
    sums.sum = std::stoll(site_.sql("SELECT coalesce(sum(balance), 0) FROM accounts"));
    // Before the tables are copied there is nothing to sum.
    if (sums.sum != 0) {
        add(Checker({}, Sites::total).check_transactions(sums));
    }
    ++looks_;
}

/// A row may have gone, with what it names, between looking at it and at that: rows that are gone
/// do not come back.
Violations Reader::references_that_stay(View rows) {
    look_at_references(site_, rows);
    const Violations suspects = Checker::check_references(rows);
    if (suspects.empty()) {
        return {};
    }
    const View now = look_at_rows(site_);
    std::erase_if(rows.rows, [&](const auto& row) { return !now.rows.contains(row.first); });
    // An exception may end, or begin, while it is looked at.
    std::set<std::string> told = excuses();
    told.insert(excuses_.begin(), excuses_.end());
    const std::string seen =
        " (" + to_iso8601(SystemClock().now()) + ", its stores are " +
        site_.status("[.stores[].state] | join(\", \")").value_or("not known") + ")";
    Violations sure;
    for (const Violation& violation : Checker::check_references(rows)) {
        if (!is_excused(violation, told)) {
            sure.push_back(
                {violation.invariant, "on " + site_.name + ": " + violation.text + seen});
        }
    }
    return sure;
}

/// The items that the site names as exceptions (they failed, or were waited for too long), and
/// "copying" while it compares a database that lost transactions: what is told is not hidden.
std::set<std::string> Reader::excuses() const {
    const auto told = site_.status(
        "[.exceptions[].item, (.stores[] | select(.state == \"copying\") | .state)] | "
        "join(\"\\n\")");
    std::set<std::string> all;
    std::istringstream lines(told.value_or(""));
    for (std::string line; std::getline(lines, line);) {
        all.insert(line);
    }
    return all;
}

bool Reader::is_excused(const Violation& violation, const std::set<std::string>& excuses) {
    if (excuses.contains("copying")) {
        ++while_comparing_;
        return true;
    }
    return std::any_of(excuses.begin(), excuses.end(), [&](const std::string& item) {
        return violation.text.find(item) != std::string::npos;
    });
}

void Reader::check_point(int64_t point_us, const View& rows) {
    ++points_;
    Violations found = Checker(history_.operations(), Sites::total, history_.losses())
                           .check_recovery_point(rows, point_us);
    for (Violation& violation : found) {
        violation.text = "on " + site_.name + ": " + violation.text;
    }
    add(found);
}

void Reader::add(const Violations& more) {
    const std::lock_guard lock(mutex_);
    constexpr size_t most = 50;
    for (const Violation& violation : more) {
        if (found_.size() < most) {
            found_.push_back(violation);
        }
    }
}

Violations Reader::take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(found_, {});
}

}  // namespace antipode::chaos
