#include "apps/antipoded/database_checks.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "apps/antipoded/json.hpp"
#include "base/digest.hpp"
#include "base/limits.hpp"
#include "base/words.hpp"
#include "secondary/database/primary_check.hpp"

namespace antipode {
namespace {

constexpr std::chrono::seconds look_interval(1);
/// The primary holds a snapshot while a group is compared.
constexpr uint64_t group_bytes = 1024 * limits::mib;
constexpr size_t group_tables = 200;
constexpr size_t ranges_named = 50;  ///< of a table; and objects of the structure
constexpr size_t most_definition = 4000;
/// What one mend makes may be what the next one needs: rows are copied between them.
constexpr unsigned structure_rounds = 3;

using postgres::CheckedPart;
using postgres::CheckRun;
using secondary::CheckReport;
using secondary::ChunkDifference;
using secondary::RowDifference;

template <typename Kind>
const char* to_string(Kind kind) {
    switch (kind) {
        case Kind::Missing:
            return "missing";
        case Kind::Extra:
            return "extra";
        case Kind::Changed:
            return "changed";
    }
    return "changed";
}

nlohmann::json show(const ChunkDifference& difference) {
    nlohmann::json row = {{"range", printable(difference.range)},
                          {"rows_differing", difference.rows_differing},
                          {"rows", nlohmann::json::array()}};
    for (const RowDifference& one : difference.rows) {
        row["rows"].push_back({{"kind", to_string(one.kind)}, {"key", printable(one.key)}});
    }
    return row;
}

/// What a report says of one table.
CheckedPart part_of(const TableName& table, const CheckReport& report) {
    CheckedPart part{"table", table, "equal", 0, 0, {}};
    if (const auto found = report.compared.find(table); found != report.compared.end()) {
        part.chunks = found->second.chunks;
        part.rows = found->second.rows;
    }
    nlohmann::json detail = nlohmann::json::object();
    if (const auto busy = report.undecided.find(table); busy != report.undecided.end()) {
        part.verdict = "undecided";
        detail["undecided_ranges"] = busy->second.size();
        const auto why = report.unreadable.find(table);
        detail["problem"] = why != report.unreadable.end() ? "it could not be read: " + why->second
                            : busy->second.empty()
                                ? "it could not be read: it was rewritten every time"
                                : "rows in which it differed were written to every time";
    }
    size_t ranges = 0;
    for (const ChunkDifference& difference : report.differences) {
        if (difference.table != table) {
            continue;
        }
        part.verdict = "differs";
        if (!difference.problem.empty()) {
            detail["problem"] = difference.problem;
        } else if (++ranges <= ranges_named) {
            detail["ranges"].push_back(show(difference));
        }
    }
    detail["ranges_differing"] = ranges;
    part.detail = dump(detail);
    return part;
}

CheckedPart missing_on_primary(const TableName& table) {
    return {"table",
            table,
            "undecided",
            0,
            0,
            dump({{"problem", "the primary has no such table, or does not replicate it"}})};
}

/// Of tables that were not there any more when they were compared only what was asked by name.
std::vector<CheckedPart> parts_of(const std::set<TableName>& tables, const CheckReport& report,
                                  bool by_name) {
    std::vector<CheckedPart> parts;
    for (const TableName& table : tables) {
        const bool seen = report.compared.contains(table) || report.undecided.contains(table) ||
                          std::any_of(report.differences.begin(), report.differences.end(),
                                      [&](const auto& one) { return one.table == table; });
        if (seen) {
            parts.push_back(part_of(table, report));
        } else if (by_name) {
            parts.push_back(missing_on_primary(table));
        }
    }
    return parts;
}

/// Adds to the results of what was mended what was done.
void add_mended(std::vector<CheckedPart>& parts, const std::set<TableName>& differed,
                const secondary::MendReport& report) {
    for (CheckedPart& part : parts) {
        if (!differed.contains(part.table)) {
            continue;
        }
        nlohmann::json detail = nlohmann::json::parse(part.detail);
        const auto unmended = report.unmended.find(part.table);
        detail["mended"] = unmended == report.unmended.end();
        if (unmended != report.unmended.end()) {
            detail["not_mended_because"] = unmended->second;
        }
        part.detail = dump(detail);
    }
}

std::string cut(const std::string& text) {
    return text.size() > most_definition ? text.substr(0, most_definition) + "..." : text;
}

/// `edited`: what became of what differed before, where it was to be mended; `mend_problem`: why
/// nothing did.
std::string show_structure(const secondary::StructureReport& report,
                           const secondary::EditedStructure* edited,
                           const std::string& mend_problem) {
    nlohmann::json detail = {{"objects", report.objects},
                             {"objects_differing", report.differences.size()},
                             {"differences", nlohmann::json::array()}};
    if (!report.undecided.empty()) {
        detail["problem"] = report.undecided;
    }
    for (size_t i = 0; i < std::min(report.differences.size(), ranges_named); ++i) {
        const secondary::StructureDifference& one = report.differences[i];
        detail["differences"].push_back({{"kind", to_string(one.kind)},
                                         {"object", cut(one.object)},
                                         {"there", cut(one.there)},
                                         {"here", cut(one.here)}});
        if (one.here.size() > most_definition) {
            detail["differences"].back()["here_sha256"] = to_hex(sha256(one.here));
        }
        if (edited != nullptr && edited->left.contains(one.object)) {
            const auto& left = edited->left.at(one.object);
            detail["differences"].back().update({{"not_mended_because", cut(left.reason)},
                                                 {"by_hand", cut(left.by_hand)},
                                                 {"holds_data", left.holds_data}});
        }
    }
    if (edited != nullptr && !mend_problem.empty() && !report.differences.empty()) {
        detail["problem"] = mend_problem;
    }
    if (edited != nullptr && !edited->done.empty()) {
        detail["mended"] = report.differences.empty();
        for (const std::string& object : edited->done) {
            detail["mended_objects"].push_back(cut(object));
        }
    }
    return dump(detail);
}

/// What holds data may go when an earlier check named it as it is.
std::set<std::string> may_drop(const std::string& listed,
                               const secondary::StructureReport& report) {
    const auto detail = nlohmann::json::parse(listed, nullptr, false);
    if (!detail.is_object()) {
        return {};
    }
    std::set<std::string> objects;
    for (const secondary::StructureDifference& one : report.differences) {
        for (const auto& known : detail.value("differences", nlohmann::json::array())) {
            if (known.value("object", "") == cut(one.object) &&
                known.value("kind", "") == to_string(one.kind) &&
                known.value("here", "") == cut(one.here) &&
                (one.here.size() <= most_definition ||
                 known.value("here_sha256", "") == to_hex(sha256(one.here)))) {
                objects.insert(one.object);
            }
        }
    }
    return objects;
}

std::set<TableName> tables_of(BulkSource& primary, const StoreId& store,
                              const std::stop_token& stop) {
    secondary::PrimaryCheck check(store, primary, stop);
    check.open();
    return {check.tables().begin(), check.tables().end()};
}

/// A snapshot that nobody reads any more would hold up vacuum, and apply where it needs a table for
/// itself.
class Reading {
  public:
    explicit Reading(postgres::SnapshotReader& reader) : reader_(reader) {}
    ~Reading() { reader_.disconnect(); }
    Reading(const Reading&) = delete;
    Reading& operator=(const Reading&) = delete;

  private:
    postgres::SnapshotReader& reader_;
};

nlohmann::json or_null(const std::optional<int64_t>& number) {
    return number ? nlohmann::json(*number) : nlohmann::json();
}

}  // namespace

DatabaseChecks::DatabaseChecks(Options options, const Clock& clock)
    : options_(std::move(options)),
      clock_(clock),
      reader_({options_.url, options_.application_name}),
      large_objects_(options_.url, options_.application_name + " large objects"),
      log_(options_.url, options_.application_name + " log") {}

void DatabaseChecks::run(BulkSource& primary, const Surroundings& around,
                         const std::stop_token& stop, Worker::Progress progress) {
    epoch_ = around.epoch;
    while (!stop.stop_requested()) {
        const auto next = look(around.copied());
        if (!next) {
            progress.healthy();
            sleep_unless_stopped(look_interval, stop);
            continue;
        }
        const SteadyTime began = clock_.steady_now();
        try {
            if (step(*next, primary, stop)) {
                around.tell(result_of(next->request));
            }
        } catch (const Error& error) {
            note_problem(next->id, error);
            throw;
        }
        progress.healthy();
        if (next->request.asked_by.empty()) {
            const SteadyTime now = clock_.steady_now();
            rest_until_ = now + (now - began);
        }
    }
}

/// What is to be done now, after a look at how things stand.
std::optional<CheckRun> DatabaseChecks::look(bool copied) {
    const bool rested = clock_.steady_now() >= rest_until_;
    const std::string store = options_.store.to_string();
    return log_.transaction([&](postgres::Connection& connection) -> std::optional<CheckRun> {
        postgres::create_check_tables(connection);
        if (!copied || !postgres::are_check_tables_there(connection)) {
            return std::nullopt;
        }
        postgres::give_up_checks_of_other_epochs(connection, store, epoch_);
        postgres::schedule_check(
            connection, store,
            options_.every.count() == 0 ? std::nullopt : std::optional(options_.every));
        const auto summary = postgres::summarize_checks(connection, store);
        seen_.with([&](auto& seen) { seen = summary; });
        return postgres::next_check(connection, store, rested);
    });
}

bool DatabaseChecks::step(const CheckRun& run, BulkSource& primary, const std::stop_token& stop) {
    const Reading reading(reader_);
    if (plan_.run != run.id) {
        plan_ = plan(run, primary, stop);
    }
    if (plan_.structure) {
        const CheckedPart part = compare_structure(run.request, primary, stop);
        record(run, {part});
        plan_.structure = false;
        plan_.structure_again = run.request.mend && part.verdict == "differs";
    } else if (plan_.large_objects) {
        record(run, {copy_large_objects(primary, stop)});
        plan_.large_objects = false;
    } else if (!plan_.groups.empty()) {
        const auto& group = plan_.groups.front();
        record(run, compare({group.begin(), group.end()}, run.request, primary, stop));
        plan_.groups.pop_front();
    } else if (plan_.structure_again) {
        // What rows were in the way of can be made once they are equal.
        record(run, {compare_structure(run.request, primary, stop)});
        plan_.structure_again = false;
    }
    if (!plan_.is_done()) {
        return false;
    }
    finish(run);
    return true;
}

/// A check that has just ended, for people.
std::string DatabaseChecks::result_of(const postgres::CheckRequest& request) const {
    const auto seen = seen_.copy();
    const auto differs = problem();
    return (request.tables.empty() ? std::string("everything was")
                                   : counted(request.tables.size(), "table was", "tables were")) +
           " compared" +
           (request.asked_by.empty() ? " by schedule" : " for " + printable(request.asked_by)) +
           ": " +
           (differs ? differs->reason
            : seen && seen->undecided > 0
                ? counted(seen->undecided, "table is", "tables are") + " undecided"
                : "equal to the primary's");
}

void DatabaseChecks::finish(const CheckRun& run) {
    log_.transaction([&](postgres::Connection& connection) {
        postgres::finish_check(connection, options_.store.to_string(), run);
        return true;
    });
    plan_ = {};
    look(true);
}

/// What is left to do of a check, in groups.
DatabaseChecks::Plan DatabaseChecks::plan(const CheckRun& run, BulkSource& primary,
                                          const std::stop_token& stop) {
    const std::set<TableName> known = tables_of(primary, options_.store, stop);
    const auto& asked = run.request.tables;
    std::set<TableName> tables = asked.empty() ? known : std::set(asked.begin(), asked.end());
    std::map<TableName, uint64_t> sizes;
    std::set<std::pair<std::string, TableName>> done;
    log_.transaction([&](postgres::Connection& connection) {
        postgres::begin_check(connection, run.id, epoch_, tables.size());
        done = postgres::parts_done(connection, run.id);
        const auto listed = postgres::sizes_of_tables(connection);
        sizes.insert(listed.begin(), listed.end());
        return true;
    });
    Plan plan{run.id,
              asked.empty() && !done.contains({"structure", {}}),
              asked.empty() && !done.contains({"large objects", {}}),
              {},
              // It may have been another daemon, which was killed meanwhile, that looked first.
              run.request.mend && done.contains({"structure", {}}),
              {},
              {}};
    uint64_t bytes = group_bytes;
    for (const TableName& table : tables) {
        if (done.contains({"table", table})) {
            continue;
        }
        const uint64_t size = sizes.contains(table) ? sizes.at(table) : 0;
        if (plan.groups.empty() || bytes + size > group_bytes ||
            plan.groups.back().size() >= group_tables) {
            plan.groups.emplace_back();
            bytes = 0;
        }
        plan.groups.back().push_back(table);
        bytes += size;
    }
    return plan;
}

std::vector<CheckedPart> DatabaseChecks::compare(const std::set<TableName>& tables,
                                                 const postgres::CheckRequest& request,
                                                 BulkSource& primary, const std::stop_token& stop) {
    const bool by_name = !request.tables.empty();
    secondary::DatabaseCheck check({.store = options_.store}, primary, reader_, barriers_);
    const CheckReport report = check.run(tables, stop);
    std::set<TableName> differing;
    for (const ChunkDifference& difference : report.differences) {
        differing.insert(difference.table);
    }
    if (differing.empty() || !request.mend) {
        return parts_of(tables, report, by_name);
    }
    secondary::DatabaseMend mending({.store = options_.store}, primary, barriers_);
    const secondary::MendReport mended = mending.run(report, stop);
    const CheckReport after = check.run(differing, stop);
    std::set<TableName> equal = tables;
    for (const TableName& table : differing) {
        equal.erase(table);
    }
    auto parts = parts_of(equal, report, by_name);
    auto again = parts_of(differing, after, by_name);
    add_mended(again, differing, mended);
    parts.insert(parts.end(), again.begin(), again.end());
    return parts;
}

CheckedPart DatabaseChecks::compare_structure(const postgres::CheckRequest& request,
                                              BulkSource& primary, const std::stop_token& stop) {
    secondary::StructureCheck check({.store = options_.store}, primary, reader_, barriers_);
    secondary::StructureReport report = check.run(stop);
    secondary::EditedStructure& edited = plan_.edited;
    std::string problem;
    plan_.may_drop.merge(may_drop(request.listed, report));
    for (unsigned round = 0; request.mend && round < structure_rounds; ++round) {
        if (!report.undecided.empty() || report.differences.empty()) {
            break;
        }
        // What it read is locked no more.
        reader_.disconnect();
        secondary::StructureMend mending({.store = options_.store, .may_drop = plan_.may_drop},
                                         primary, barriers_);
        secondary::StructureMended mended = mending.run(report.differences, stop);
        problem = mended.problem;
        const bool changed = mended.edited.changed();
        edited.done.merge(mended.edited.done);
        edited.left = std::move(mended.edited.left);
        report = check.run(stop);
        if (!changed) {
            break;
        }
    }
    return {"structure",
            {},
            !report.undecided.empty()     ? "undecided"
            : !report.differences.empty() ? "differs"
                                          : "equal",
            0,
            0,
            show_structure(report, request.mend ? &edited : nullptr, problem)};
}

/// What differs is no defect: nothing but this brings them.
CheckedPart DatabaseChecks::copy_large_objects(BulkSource& primary, const std::stop_token& stop) {
    secondary::LargeObjectCopy copy(options_.store, primary, large_objects_);
    const secondary::LargeObjectReport report = copy.run(stop);
    nlohmann::json detail = {
        {"objects", report.objects}, {"copied", report.copied}, {"removed", report.removed}};
    if (!report.problem.empty()) {
        detail["problem"] = report.problem;
    }
    if (report.failed > 0) {
        detail["failed"] = report.failed;
    }
    return {"large objects",
            {},
            !report.known ? "undecided" : report.failed > 0 ? "differs" : "equal",
            0,
            0,
            dump(detail)};
}

void DatabaseChecks::record(const CheckRun& run, const std::vector<CheckedPart>& parts) {
    log_.transaction([&](postgres::Connection& connection) {
        postgres::record_parts(connection, options_.store.to_string(), run.id, parts);
        return true;
    });
    for (const CheckedPart& part : parts) {
        if (part.verdict == "differs") {
            spdlog::error("{}: {} differs from the primary's: {}", options_.store.to_string(),
                          part.part == "table" ? part.table.to_string() : part.part, part.detail);
        }
    }
}

void DatabaseChecks::note_problem(int64_t run, const Error& error) {
    try {
        log_.transaction([&](postgres::Connection& connection) {
            postgres::note_check_problem(connection, run, error.describe());
            return true;
        });
    } catch (const Error&) {
        // The worker tells the first one.
    }
}

nlohmann::json DatabaseChecks::show() const {
    const auto seen = seen_.copy();
    if (!seen) {
        return nullptr;
    }
    const auto differs = problem();
    nlohmann::json row = {{"finished_us", or_null(seen->finished_us)},
                          {"due_us", or_null(seen->due_us)},
                          {"tables", seen->tables},
                          {"rows", seen->rows},
                          {"differing", seen->differing},
                          {"undecided", seen->undecided},
                          {"differs_since_us", or_null(seen->differs_since_us)},
                          {"first_differing", printable(seen->first_differing)},
                          {"reason", differs ? differs->reason : ""},
                          {"next_step", differs ? differs->next_step : ""},
                          {"running", nullptr}};
    if (const auto& run = seen->running) {
        row["running"] = {{"id", run->id},
                          {"tables", run->tables},
                          {"tables_done", run->tables_done},
                          {"rows", run->rows},
                          {"asked_by", printable(run->request.asked_by)},
                          {"problem", printable(run->problem)}};
    }
    return row;
}

std::optional<DatabaseChecks::Problem> DatabaseChecks::problem() const {
    const auto seen = seen_.copy();
    if (!seen || seen->differing == 0) {
        return std::nullopt;
    }
    const uint64_t others = seen->differing - 1;
    return Problem{(seen->first_differing == "structure" ? "the structure"
                                                         : printable(seen->first_differing)) +
                       (others == 0 ? "" : " and " + counted(others, "more part", "more parts")) +
                       (others == 0 ? " differs" : " differ") + " from the primary's",
                   "antipode database check --mend"};
}

}  // namespace antipode
