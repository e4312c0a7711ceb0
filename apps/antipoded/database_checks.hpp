#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "adapters/postgres/check_log.hpp"
#include "adapters/postgres/control.hpp"
#include "adapters/postgres/large_objects.hpp"
#include "adapters/postgres/replica_reader.hpp"
#include "apps/antipoded/database_watch.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"
#include "secondary/database/barriers.hpp"
#include "secondary/database/check.hpp"
#include "secondary/database/large_object_copy.hpp"
#include "secondary/database/mend.hpp"
#include "secondary/database/structure_check.hpp"
#include "secondary/database/structure_mend.hpp"

namespace antipode {

/// Compares one database with the primary's, as operators ask for it and by schedule. What is asked
/// for and what was found stand in the secondary's database (adapters/postgres/check_log.hpp). A
/// check goes through its tables in groups of a bounded size and records each: what the primary's
/// snapshot holds back is bounded, and a restart goes on where it was. Between groups of a
/// scheduled check requests have their turn, and it rests for as long as it worked.
///
/// One worker runs it; the barriers are the apply thread's, too; status is read from any thread.
class DatabaseChecks {
  public:
    struct Options {
        StoreId store;
        std::string url;
        std::string application_name;
        std::chrono::milliseconds every;  ///< 0: only when asked
    };
    DatabaseChecks(Options options, const Clock& clock);

    /// To be shown everything that is applied.
    secondary::ApplyObserver& observer() { return barriers_; }

    struct Surroundings {
        uint64_t epoch = 0;  ///< of the primary
        std::function<bool()>
            copied;  ///< the initial copy is done; before, nothing can be compared
        std::function<void(const std::string& text)> tell;  ///< that a check ended, for people
    };
    void run(BulkSource& primary, const Surroundings& around, const std::stop_token& stop,
             Worker::Progress progress);

    /// "check" of the store in /v1/status.
    nlohmann::json show() const;
    using Problem = DatabaseWatch::Problem;
    /// What differs stays in sight until it is mended.
    std::optional<Problem> problem() const;

  private:
    struct Plan {
        int64_t run = 0;
        bool structure = false;  ///< is to be compared yet
        bool large_objects = false;
        std::deque<std::vector<TableName>> groups;
        bool structure_again = false;  ///< behind all of these
        secondary::EditedStructure edited;
        std::set<std::string> may_drop;  ///< of what was listed before it
        bool is_done() const {
            return !structure && !large_objects && groups.empty() && !structure_again;
        }
    };
    std::optional<postgres::CheckRun> look(bool copied);
    void finish(const postgres::CheckRun& run);
    /// True: that was its last.
    bool step(const postgres::CheckRun& run, BulkSource& primary, const std::stop_token& stop);
    std::string result_of(const postgres::CheckRequest& request) const;
    Plan plan(const postgres::CheckRun& run, BulkSource& primary, const std::stop_token& stop);
    std::vector<postgres::CheckedPart> compare(const std::set<TableName>& tables,
                                               const postgres::CheckRequest& request,
                                               BulkSource& primary, const std::stop_token& stop);
    postgres::CheckedPart compare_structure(const postgres::CheckRequest& request,
                                            BulkSource& primary, const std::stop_token& stop);
    postgres::CheckedPart copy_large_objects(BulkSource& primary, const std::stop_token& stop);
    void record(const postgres::CheckRun& run, const std::vector<postgres::CheckedPart>& parts);
    void note_problem(int64_t run, const Error& error);

    const Options options_;
    const Clock& clock_;
    secondary::Barriers barriers_;
    postgres::SnapshotReader reader_;  ///< below: the worker's
    postgres::LargeObjectWriter large_objects_;
    postgres::Control log_;
    uint64_t epoch_ = 0;
    Plan plan_;
    SteadyTime rest_until_;
    Synchronized<std::optional<postgres::CheckSummary>> seen_;
};

}  // namespace antipode
