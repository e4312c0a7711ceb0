#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "adapters/postgres/connection.hpp"
#include "base/seams/database.hpp"

/// Comparisons of a database with the primary's, asked for by operators or by the schedule, and
/// what they found: in the secondary's database, so that neither a restart of the daemon nor one of
/// the server loses a request or a result.
namespace antipode::postgres {

struct CheckRequest {
    std::vector<TableName> tables;  ///< empty: everything
    bool mend = false;
    /// With it: what holds data and is only here is dropped if it stands so in this result of an
    /// earlier check (last_detail()), which somebody was shown. Empty: nothing is.
    std::string listed{};
    std::string asked_by;  ///< empty: the schedule
    uint64_t epoch = 0;    ///< of the primary that is meant; 0: of the one that was applied last
};

/// A request, and how far it is.
struct CheckRun {
    int64_t id = 0;
    CheckRequest request;
    enum class State { Waiting, Running, Done, GivenUp } state = State::Waiting;
    std::string problem;  ///< of the last try, or why it was given up; empty: none
    uint64_t tables = 0;  ///< that are to be compared, once it runs
    uint64_t tables_done = 0;
    uint64_t chunks = 0;
    uint64_t rows = 0;
    std::string findings;  ///< JSON, of one that is done: a list of what is not equal
};

/// What a check looks at and records on its own: a table, or all that is not in tables.
struct CheckedPart {
    std::string part;     ///< "table", "structure"
    TableName table;      ///< of a table
    std::string verdict;  ///< "equal", "differs", "undecided"
    uint64_t chunks = 0;
    uint64_t rows = 0;
    std::string detail;  ///< JSON: an object
};

/// The state of the whole database's comparison.
struct CheckSummary {
    std::optional<int64_t> finished_us;  ///< the last check of everything
    std::optional<int64_t> due_us;       ///< the next one by schedule
    uint64_t tables = 0;                 ///< that a result is known of
    uint64_t rows = 0;
    uint64_t differing = 0;  ///< parts that differ
    uint64_t undecided = 0;
    std::optional<int64_t> differs_since_us;
    std::string first_differing;  ///< "public.items", "structure"
    std::optional<CheckRun> running;
};

/// Makes the tables of the schema "antipode" that hold all this, if that schema is there.
void create_check_tables(Connection& connection);
bool are_check_tables_there(Connection& connection);

// The daemon's side.
/// Sees to it that the next check by schedule stands in the log; nullopt: there is none.
void schedule_check(Connection& connection, const std::string& store,
                    std::optional<std::chrono::milliseconds> every);
/// What is to be done now; requests of operators come before the schedule's.
std::optional<CheckRun> next_check(Connection& connection, const std::string& store,
                                   bool scheduled_too);
void begin_check(Connection& connection, int64_t id, uint64_t epoch, uint64_t tables);
/// Those that were meant for a primary of another epoch: what a mend would copy might be older.
void give_up_checks_of_other_epochs(Connection& connection, const std::string& store,
                                    uint64_t epoch);
/// The parts of which a run that began earlier has results.
std::set<std::pair<std::string, TableName>> parts_done(Connection& connection, int64_t id);
void record_parts(Connection& connection, const std::string& store, int64_t id,
                  const std::vector<CheckedPart>& parts);
void note_check_problem(Connection& connection, int64_t id, const std::string& problem);
/// What the last check found of "structure" or another part that is no table: its JSON, "{}" when
/// there was none. Both sides.
std::string last_detail(Connection& connection, const std::string& store, const std::string& part);
/// A check of everything forgets results of tables that are not there any more.
void finish_check(Connection& connection, const std::string& store, const CheckRun& run);
CheckSummary summarize_checks(Connection& connection, const std::string& store);
/// Bytes of each table here, as the last VACUUM or ANALYZE saw them.
std::vector<std::pair<TableName, uint64_t>> sizes_of_tables(Connection& connection);

// The operator's side.
int64_t request_check(Connection& connection, const std::string& store,
                      const CheckRequest& request);
/// Takes back what operators asked for and is not done. What is being compared just now still is.
std::vector<int64_t> take_back_checks(Connection& connection, const std::string& store,
                                      const std::string& by);
/// nullopt: nobody knows it (any more).
std::optional<CheckRun> look_at_check(Connection& connection, int64_t id);

}  // namespace antipode::postgres
