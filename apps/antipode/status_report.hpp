#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"

/// What a daemon answers to GET /v1/status ("antipode.status/1"), as far as it is shown. Unknown
/// values (null, or absent in an older daemon's answer) are nullopt.
namespace antipode::cli {

/// What a site's checks know of one of its stores; nullopt: not known, or it does not apply.
struct CheckRow {
    std::string store;
    std::optional<TimePoint> checked{};   ///< content: everything was, since then
    std::optional<TimePoint> equal{};     ///< the inventory, as a whole, last
    std::optional<uint64_t> differing{};  ///< parts of a database, or items by inventories
    std::optional<uint64_t> differed{};   ///< items that were ever read and found to differ
    std::string last_differing{};         ///< of these, since the daemon's start: what was wrong
    std::string what;                     ///< is not as it should be; empty: nothing
    std::string next_step;                ///< on that site
};

struct SiteRow {
    std::string site;
    std::string role;
    std::string state;
    std::optional<TimePoint> recovery_point;
    std::optional<double> lag_seconds;
    std::optional<uint64_t> verified;
    std::optional<uint64_t> parked;
    std::optional<TimePoint> report_at;
    std::string reason;
    std::string next_step;
    std::vector<CheckRow> checks{};
    std::optional<double> retention_seconds{};  ///< of its stream or slot, the one that ends first
};

/// The newest rehearsal of a promotion of the site.
struct DrillRow {
    TimePoint began{};
    std::string words;  ///< what it found
};

struct CopyRow {
    uint64_t tables_done = 0;
    uint64_t tables = 0;
    uint64_t rows = 0;
    uint64_t bytes = 0;
    std::optional<double> bytes_per_second{};
    std::optional<double> remaining_seconds{};  ///< by what the tables take on the primary's disk
    std::string table;
};

/// Of a secondary's files and repositories.
struct ContentCheckRow {
    uint64_t asked = 0;    ///< items that an operator wants looked at and that were not yet
    uint64_t failing = 0;  ///< asked for too, and failed
    std::optional<TimePoint> failing_since{};  ///< what is wrong with them for the longest
    uint64_t unproven = 0;              ///< that are here and count as verified once they were read
    std::optional<TimePoint> oldest{};  ///< when the one was looked at that waits the longest
    bool names_asked = false;           ///< it is still to be looked for extras
    uint64_t differed = 0;              ///< items that were ever found not to be as applied
    uint64_t extras = 0;                ///< what is there and was never applied
    std::string first_extra{};
};

/// On a primary: deletions that were so many that an operator decides about them.
struct DeletionsRow {
    uint64_t held = 0;
    uint64_t discarded = 0;
    std::optional<TimePoint> since{};
    std::vector<std::string> examples{};
};

/// How long changes took from the primary until they were applied, of the last hour.
struct PercentilesRow {
    std::optional<double> p50_seconds;
    std::optional<double> p95_seconds;
    std::optional<double> p99_seconds;
    std::optional<uint64_t> changes;
};

/// What a stream or a slot keeps, and how long that lasts, as fast as it grows now.
struct RetentionRow {
    std::optional<double> seconds;
    std::optional<double> bytes_per_second;
};

struct StoreRow {
    std::string store;
    std::string state;
    std::string reason;
    std::string next_step;
    std::optional<TimePoint> captured_through{};
    std::optional<double> capture_lag_seconds;
    std::optional<double> delivery_lag_seconds;
    std::optional<double> apply_lag_seconds;
    std::optional<double> total_lag_seconds;
    std::optional<double> catches_up_seconds{};  ///< at the rate of the last minute
    std::optional<double> apply_rate{};          ///< seconds of the primary's time applied in one
    std::optional<PercentilesRow> percentiles{};
    std::optional<RetentionRow> slot{};  ///< of a primary's database
    std::optional<uint64_t> backlog_events;
    std::optional<uint64_t> backlog_bytes;
    std::optional<uint64_t> applied;
    std::optional<uint64_t> verified;
    std::optional<uint64_t> mismatches;
    std::optional<uint64_t> parked;
    std::optional<uint64_t> waiting;
    std::optional<Lsn> lsn;        ///< of a secondary's database: applied through
    std::string server_version{};  ///< of a database's server: "15.4"
    std::optional<CopyRow> copy;
    std::optional<ContentCheckRow> content_check{};
    std::optional<DeletionsRow> deletions{};
};

struct ExceptionRow {
    std::string store;
    std::string item;
    std::string kind;
    std::string failure_class;
    std::string reason;
    std::string next_step;
    std::optional<TimePoint> since;
    std::optional<uint64_t> tries;
    std::optional<TimePoint> next_try;
};

struct WorkerRow {
    std::string name;
    bool healthy = false;
    std::string problem;
    std::string next_step;
    std::optional<TimePoint> since;
};

/// A file system that is full, or nearly.
struct DiskRow {
    std::string problem;
    std::string next_step;
};

/// Where there is a witness: what a daemon says of the lease.
struct LeaseRow {
    std::optional<bool> holds;  ///< nullopt: it is no primary
    std::optional<double> remaining_seconds;
    bool at_witness = false;
    bool at_sites = false;
    std::optional<double> wait_seconds;  ///< of a secondary
    std::string obstacle;                ///< of a secondary: why a promotion needs a word
};

/// Events of the primary's stream that a secondary did not take.
struct RefusedRow {
    uint64_t events = 0;
    std::string reason;  ///< of the newest
    std::string next_step;
};

struct StatusReport {
    std::string cluster;
    std::string site;
    std::string role;
    std::optional<uint64_t> epoch;
    std::string version;
    TimePoint now;  ///< the daemon's clock when it answered: ages are counted from here
    std::optional<TimePoint> started;
    std::optional<uint64_t> open_files;  ///< of the daemon
    std::optional<uint64_t> open_files_limit;
    std::optional<TimePoint> recovery_point;
    std::string recovery_point_reason;
    RefusedRow refused;
    std::optional<RetentionRow> stream{};
    std::optional<DrillRow> drill;
    std::optional<LeaseRow> lease{};
    std::vector<std::string> limits;  ///< names of those that were changed while it runs
    std::vector<SiteRow> sites;
    std::vector<StoreRow> stores;
    std::vector<ExceptionRow> exceptions;
    std::vector<WorkerRow> workers;
    std::vector<DiskRow> disks{};  ///< those with a problem

    std::string json;  ///< the answer itself

    /// `source` names the daemon in errors. Throws CommandError{Failed} when it is no status.
    static StatusReport parse(const std::string& text, const std::string& source);
};

}  // namespace antipode::cli
