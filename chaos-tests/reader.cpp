#include "chaos-tests/reader.hpp"

#include <algorithm>
#include <condition_variable>
#include <sstream>

#include "base/clock.hpp"
#include "tests/support/jq.hpp"

namespace antipode::chaos {
namespace {

/// Looking costs processes: the machine is for the sites.
constexpr std::chrono::milliseconds between_looks(150);
constexpr size_t new_rows_at_once = 40;
constexpr size_t old_rows_at_once = 12;

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
                    count(&Seen::failed);
                }
            }
            std::unique_lock lock(mutex);
            stopped.wait_for(lock, stop, between_looks, [] { return false; });
        }
    });
}

void Reader::look_once() {
    excuses_ = excuses().value_or(std::move(excuses_));
    const auto point = site_.status("select(.role == \"secondary\") | .recovery_point_us");
    View rows = look_at_rows(site_);
    if (point && !sites_.clocks_change) {
        note_age(std::stoll(*point));
        look_at_latest(site_, rows);
        check_point(std::stoll(*point), rows);
    }
    add(references_that_stay(some_of(rows)));
    add(open_twice());
    View sums;
    sums.sum = std::stoll(site_.sql("SELECT coalesce(sum(balance), 0) FROM accounts"));
    // Before the tables are copied there is nothing to sum.
    if (sums.sum != 0) {
        add(Checker({}, Sites::total).check_transactions(sums));
    }
    count(&Seen::looks);
}

View Reader::some_of(const View& rows) {
    View some;
    std::map<int, int> last;
    for (const auto& [key, row] : rows.rows) {
        last[key.first] = key.second;
    }
    for (const auto& [key, row] : rows.rows) {
        const bool is_new =
            key.second + static_cast<int>(new_rows_at_once / last.size()) > last[key.first];
        if (is_new || chance_.below(rows.rows.size()) < old_rows_at_once) {
            some.rows[key] = row;
        }
    }
    return some;
}

Violations Reader::open_twice() const {
    std::string open;
    for (const Site* site : sites_.all()) {
        if (std::filesystem::exists(test::Pair::opened(*site))) {
            open += (open.empty() ? "" : " and ") + site->name;
        }
    }
    if (open.find(' ') == std::string::npos) {
        return {};
    }
    return {{Invariant::OneWriter, open + " are open for writes" + circumstances()}};
}

/// A row may have gone, with what it names, between looking at it and at that: rows that are gone
/// do not come back.
Violations Reader::references_that_stay(View rows) {
    // An exception begins before its row is visible, and ends once what that names is here: what is
    // found missing below is one now, also if it is over before this look is.
    excuses_.merge(excuses().value_or(std::set<std::string>()));
    look_at_references(site_, rows);
    const Violations suspects = Checker::check_references(rows);
    if (suspects.empty()) {
        return {};
    }
    const View now = look_at_rows(site_);
    std::erase_if(rows.rows, [&](const auto& row) { return !now.rows.contains(row.first); });
    // An exception may end, or begin, while it is looked at.
    std::set<std::string> told = excuses().value_or(std::set<std::string>());
    told.insert(excuses_.begin(), excuses_.end());
    const std::string seen = circumstances();
    Violations sure;
    for (const Violation& violation : Checker::check_references(rows)) {
        if (is_excused(violation, told)) {
            continue;
        }
        if (is_excused(violation, never_read()) || is_excused(violation, came_and_went())) {
            count(&Seen::never_read);
            continue;
        }
        sure.push_back({violation.invariant, "on " + site_.name + ": " + violation.text + seen});
    }
    return sure;
}

std::string Reader::circumstances() const {
    return " (" + to_iso8601(SystemClock().now()) + ", its stores are " +
           site_.status("[.stores[].state] | join(\", \")").value_or("not known") + ")";
}

/// The items that the site names as exceptions (they failed, or were waited for too long), and
/// "copying" while it compares a database that lost transactions: what is told is not hidden.
std::optional<std::set<std::string>> Reader::excuses() const {
    const auto told = site_.status(
        "select(.stores != []) | "
        "[.exceptions[].item, (.stores[] | select(.state == \"copying\" and "
        "(.store | startswith(\"database/\"))) | .state)] | "
        "join(\"\\n\")");
    if (!told) {
        return std::nullopt;
    }
    std::set<std::string> all;
    std::istringstream lines(*told);
    for (std::string line; std::getline(lines, line);) {
        all.insert(line);
    }
    return all;
}

/// Of the site's newest events what `filter` makes of each.
std::set<std::string> Reader::of_events(const std::string& filter) const {
    std::set<std::string> all;
    std::istringstream lines(site_.get("/v1/events?after=0").value_or(""));
    for (std::string line; std::getline(lines, line);) {
        const auto one = test::jq(filter, line);
        if (one && !one->empty()) {  // an empty one would excuse everything
            all.insert(*one);
        }
    }
    return all;
}

/// What was made, named by rows and removed again while the primary did not come to read it: with
/// what came and went the only rows without their files of which no exception tells
/// (docs/GUARANTEES.md).
std::set<std::string> Reader::never_read() const {
    return of_events("select(.text == \"it was removed before the primary had read it\") | .item");
}

/// What was made and removed again, by the writers' own times, while the primary did not look, by
/// the times that the site tells, and of which there is no event.
std::set<std::string> Reader::came_and_went() const {
    const auto time = [](int64_t us) { return to_iso8601(from_microseconds(us)); };
    std::set<std::string> items;
    const std::set<std::string> named = of_events(".item");
    const std::vector<Operation> operations = history_.operations();
    for (const std::string& times :
         of_events("select(.kind == \"unnoticed\" and (.store | startswith(\"blobs/\"))) | .text | "
                   "capture(\"between (?<from>\\\\S+) and (?<until>\\\\S+)\") | .from + \" \" + "
                   ".until")) {
        const std::string from = times.substr(0, times.find(' '));
        const std::string until = times.substr(times.find(' ') + 1);
        std::set<std::string> made;
        for (const Operation& operation : operations) {
            if (operation.kind == Operation::Kind::Put && time(operation.invoked_us) >= from) {
                made.insert(operation.path);
            } else if (operation.kind == Operation::Kind::Remove &&
                       operation.outcome == Operation::Outcome::Ok &&
                       time(operation.done_us) <= until && made.contains(operation.path) &&
                       !named.contains(operation.path)) {
                items.insert(operation.path);
            }
        }
    }
    return items;
}

bool Reader::is_excused(const Violation& violation, const std::set<std::string>& excuses) {
    if (excuses.contains("copying")) {
        count(&Seen::while_comparing);
        return true;
    }
    return std::any_of(excuses.begin(), excuses.end(), [&](const std::string& item) {
        return violation.text.find(item) != std::string::npos;
    });
}

void Reader::check_point(int64_t point_us, View view) {
    count(&Seen::points);
    // Only these were looked at.
    view.commits.clear();
    const Violations found = Checker(history_.operations(), Sites::total, history_.losses())
                                 .check_recovery_point(view, point_us);
    std::set<std::string> told;
    if (!found.empty()) {
        told = excuses().value_or(std::set<std::string>());
        told.insert(excuses_.begin(), excuses_.end());
        told.erase("copying");
    }
    for (const Violation& violation : found) {
        if (!is_excused(violation, told)) {
            add({{violation.invariant,
                  "on " + site_.name + ": " + violation.text + circumstances()}});
        }
    }
}

void Reader::note_age(int64_t point_us) {
    const Site* const open = sites_.primary();
    if (open != nullptr) {
        const std::chrono::microseconds age(sites_.clock_us(open->name) - point_us);
        const std::lock_guard lock(mutex_);
        seen_.ages.push_back(std::chrono::duration_cast<std::chrono::milliseconds>(age));
    }
}

void Reader::count(int Seen::*what) {
    const std::lock_guard lock(mutex_);
    ++(seen_.*what);
}

Reader::Seen Reader::seen() const {
    const std::lock_guard lock(mutex_);
    return seen_;
}

Reader::Seen& Reader::Seen::operator+=(const Seen& more) {
    looks += more.looks;
    failed += more.failed;
    points += more.points;
    while_comparing += more.while_comparing;
    never_read += more.never_read;
    ages.insert(ages.end(), more.ages.begin(), more.ages.end());
    return *this;
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
