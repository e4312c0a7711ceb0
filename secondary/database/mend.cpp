#include "secondary/database/mend.hpp"

#include <exception>

#include <spdlog/spdlog.h>

#include "base/error.hpp"

namespace antipode::secondary {

DatabaseMend::DatabaseMend(Options options, BulkSource& primary, Barriers& barriers)
    : options_(std::move(options)), primary_(options_.store, primary), barriers_(barriers) {}

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
    primary_.close(found.check, stop);
    return report;
}

std::string DatabaseMend::mend(const ChunkPlan& plan, const std::set<uint32_t>& chunks,
                               const std::string& cut_as, MendReport& report,
                               const std::stop_token& stop) {
    const std::string check = new_check_id();
    MendedRows rows;
    // The barrier may be here before the primary's answer is.
    std::promise<void> opened;
    auto is_open = opened.get_future();
    barriers_.expect(
        check,
        [&](const Touched& touched, ReplicaSession& session) {
            is_open.get();
            rows = replace(check, plan, chunks, touched, session, stop);
        },
        Barriers::Session::Written);
    std::string problem;
    bool done = false;
    try {
        open(check, cut_as, opened, stop);
        done = barriers_.wait(options_.wait, stop, problem);
    } catch (...) {
        barriers_.forget();
        throw;
    }
    primary_.close(check, stop);
    if (!done) {
        return problem;
    }
    spdlog::warn("{}: {} differed from the primary's in {} chunks: {} rows removed, {} written",
                 options_.store.to_string(), plan.table.to_string(), chunks.size(), rows.removed,
                 rows.added);
    report.chunks += chunks.size();
    report.rows.removed += rows.removed;
    report.rows.added += rows.added;
    return {};
}

void DatabaseMend::open(const std::string& check, const std::string& cut_as,
                        std::promise<void>& opened, const std::stop_token& stop) {
    try {
        primary_.open(check, cut_as, stop);
        opened.set_value();
    } catch (...) {
        opened.set_exception(std::make_exception_ptr(
            Error(Reaction::Retry, "the primary did not say that the check is open")));
        throw;
    }
}

MendedRows DatabaseMend::replace(const std::string& check, const ChunkPlan& plan,
                                 const std::set<uint32_t>& chunks, const Touched& touched,
                                 ReplicaSession& session, const std::stop_token& stop) {
    const auto rows = touched.find(plan.table);
    try {
        session.begin();
        const MendedRows mended =
            replace_chunks(primary_, check, plan, chunks,
                           rows == touched.end() ? TouchedRows{} : rows->second, session, stop);
        session.commit();
        return mended;
    } catch (...) {
        session.rollback();
        throw;
    }
}

MendedRows replace_chunks(CheckRequests& primary, const std::string& check, const ChunkPlan& plan,
                          const std::set<uint32_t>& chunks, const TouchedRows& touched,
                          ReplicaSession& session, const std::stop_token& stop,
                          const std::function<void(size_t)>& came) {
    session.begin_mend(plan);
    auto left = chunks;
    while (!left.empty()) {
        const bool readable = primary.copy(
            check, plan.table, take_chunks(left),
            [&](std::string_view rows) {
                session.mend_bytes(rows);
                if (came) {
                    came(rows.size());
                }
            },
            stop);
        if (!readable) {
            throw Error(Reaction::Retry,
                        plan.table.to_string() + " was rewritten on the primary meanwhile");
        }
    }
    return session.end_mend(chunks, touched);
}

}  // namespace antipode::secondary
