#include "secondary/database/mend.hpp"

#include <exception>

#include <spdlog/spdlog.h>

#include "base/error.hpp"

namespace antipode::secondary {
namespace {

void open(PrimaryCheck& check, const std::string& cut_as, std::promise<void>& opened) {
    try {
        check.open(PrimaryCheck::Of::Rows, cut_as);
        opened.set_value();
    } catch (...) {
        opened.set_exception(std::make_exception_ptr(
            Error(Reaction::Retry, "the primary did not say that the check is open")));
        throw;
    }
}

MendedRows replace(const PrimaryCheck& check, const ChunkPlan& plan,
                   const std::set<uint32_t>& chunks, const Touched& touched,
                   ReplicaSession& session) {
    const auto rows = touched.find(plan.table);
    try {
        session.begin();
        const MendedRows mended = replace_chunks(
            check, plan, chunks, rows == touched.end() ? TouchedRows{} : rows->second, session);
        session.commit();
        return mended;
    } catch (...) {
        session.rollback();
        throw;
    }
}

}  // namespace

DatabaseMend::DatabaseMend(Options options, BulkSource& primary, Barriers& barriers)
    : options_(std::move(options)), primary_(primary), barriers_(barriers) {}

MendReport DatabaseMend::run(const CheckReport& found, const std::stop_token& stop) {
    MendReport report;
    std::map<TableName, std::set<uint32_t>> chunks;
    for (const ChunkDifference& difference : found.differences) {
        if (difference.problem.empty()) {
            chunks[difference.table].insert(difference.chunk);
        } else {
            report.unmended[difference.table] = difference.problem;
        }
    }
    for (const auto& [table, differing] : chunks) {
        std::string problem;
        for (unsigned i = 0; i < options_.tries; ++i) {
            problem = mend(found.plans.at(table), differing, found.check, report, stop);
            if (problem.empty()) {
                break;
            }
            spdlog::debug("{}: {}: {}", options_.store.to_string(), table.to_string(), problem);
        }
        if (!problem.empty()) {
            report.unmended[table] = problem;
        }
    }
    return report;
}

std::string DatabaseMend::mend(const ChunkPlan& plan, const std::set<uint32_t>& chunks,
                               const std::string& cut_as, MendReport& report,
                               const std::stop_token& stop) {
    PrimaryCheck check(options_.store, primary_, stop);
    MendedRows rows;
    // The barrier may be here before the primary's answer is.
    std::promise<void> opened;
    auto is_open = opened.get_future();
    barriers_.expect(
        check.id(),
        [&](const Touched& touched, ReplicaSession& session) {
            is_open.get();
            rows = replace(check, plan, chunks, touched, session);
        },
        Barriers::Session::Written);
    std::string problem;
    try {
        open(check, cut_as, opened);
        if (!barriers_.wait(options_.wait, stop, problem)) {
            return problem;
        }
    } catch (...) {
        barriers_.forget();
        throw;
    }
    spdlog::warn("{}: {} differed from the primary's in {} chunks: {} rows removed, {} written",
                 options_.store.to_string(), plan.table.to_string(), chunks.size(), rows.removed,
                 rows.added);
    report.chunks += chunks.size();
    report.rows.removed += rows.removed;
    report.rows.added += rows.added;
    return {};
}

MendedRows replace_chunks(const PrimaryCheck& check, const ChunkPlan& plan,
                          const std::set<uint32_t>& chunks, const TouchedRows& touched,
                          ReplicaSession& session, const std::function<void(size_t)>& came) {
    session.begin_mend(plan);
    auto left = chunks;
    while (!left.empty()) {
        const bool readable = check.copy(plan.table, take_chunks(left), [&](std::string_view rows) {
            session.mend_bytes(rows);
            if (came) {
                came(rows.size());
            }
        });
        if (!readable) {
            throw Error(Reaction::Retry,
                        plan.table.to_string() + " was rewritten on the primary meanwhile");
        }
    }
    return session.end_mend(chunks, touched);
}

}  // namespace antipode::secondary
