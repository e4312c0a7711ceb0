#include "secondary/database/check.hpp"

#include <spdlog/spdlog.h>

#include "base/error.hpp"

namespace antipode::secondary {
namespace {

const RowsDigest no_rows;

const RowsDigest& at(const ChunkDigests& digests, uint32_t chunk) {
    const auto found = digests.find(chunk);
    return found == digests.end() ? no_rows : found->second;
}

RowDifference::Kind kind_of(const KeyDigest* there, const KeyDigest* here) {
    return here == nullptr    ? RowDifference::Kind::Missing
           : there == nullptr ? RowDifference::Kind::Extra
                              : RowDifference::Kind::Changed;
}

}  // namespace

DatabaseCheck::DatabaseCheck(Options options, BulkSource& primary, ReplicaReader& reader,
                             Barriers& barriers)
    : options_(std::move(options)),
      primary_(options_.store, primary),
      reader_(reader),
      barriers_(barriers) {}

CheckReport DatabaseCheck::run(const std::set<TableName>& tables, const std::stop_token& stop) {
    CheckReport report;
    bool compared = false;
    pending_.clear();
    differences_.clear();
    while (report.rounds < options_.rounds && (!compared || !pending_.empty())) {
        ++report.rounds;
        if (!begin_round(report, stop)) {
            continue;
        }
        if (!std::exchange(compared, true)) {
            for (const TableName& table : tables_) {
                if (tables.empty() || tables.contains(table)) {
                    pending_[table];
                }
            }
            report.tables = pending_.size();
        }
        for (const auto& [table, chunks] : std::exchange(pending_, {})) {
            compare(table, chunks, report, stop);
        }
    }
    if (!compared) {
        throw Error(Reaction::Retry,
                    options_.store.to_string() + " could not be compared: " + problem_);
    }
    report.undecided = pending_;
    for (auto& [place, difference] : differences_) {
        report.differences.push_back(std::move(difference));
    }
    if (report.differences.empty()) {
        primary_.close(std::exchange(report.check, {}), stop);
    }
    return report;
}

bool DatabaseCheck::begin_round(CheckReport& report, const std::stop_token& stop) {
    const std::string check = new_check_id();
    reader_.connect();
    barriers_.expect(check, [this](const Touched& touched, ReplicaSession&) {
        reader_.take_snapshot();
        touched_ = touched;
    });
    bool reached = false;
    try {
        tables_ = primary_.open(check, report.check, stop).tables;
        reached = barriers_.wait(options_.wait, stop, problem_);
    } catch (...) {
        barriers_.forget();
        throw;
    }
    if (!reached) {
        spdlog::debug("{}: check {}: {}", options_.store.to_string(), check, problem_);
        primary_.close(check, stop);
        return false;
    }
    if (!report.check.empty()) {
        primary_.close(report.check, stop);
    }
    report.check = check;
    return true;
}

void DatabaseCheck::compare(const TableName& table, const std::set<uint32_t>& chunks,
                            CheckReport& report, const std::stop_token& stop) {
    const std::set<uint32_t> asked =
        chunks.size() <= chunks_per_request ? chunks : std::set<uint32_t>{};
    const auto there = primary_.digests(report.check, table, asked, stop);
    if (!there) {
        pending_[table] = chunks;
        return;
    }
    report.plans[table] = there->plan;
    const auto here = reader_.digests(there->plan, asked);
    if (!here) {
        const std::string problem = reader_.problem(there->plan);
        if (problem.empty()) {
            pending_[table] = chunks;
        } else {
            differences_[{table, 0}] = {table, 0, "the whole table", problem, {}, 0};
        }
        return;
    }
    std::set<uint32_t> differing;
    for (uint32_t chunk = 0; chunk < there->plan.chunks(); ++chunk) {
        if (!chunks.empty() && !chunks.contains(chunk)) {
            continue;
        }
        differences_.erase({table, chunk});
        const RowsDigest& own = at(*here, chunk);
        if (own != at(there->digests, chunk)) {
            differing.insert(chunk);
        }
        if (chunks.empty()) {
            ++report.chunks;
            report.rows += own.rows;
            ++report.compared[table].chunks;
            report.compared[table].rows += own.rows;
        }
    }
    if (!differing.empty()) {
        compare_rows(there->plan, differing, report.check, stop);
    }
}

void DatabaseCheck::compare_rows(const ChunkPlan& plan, const std::set<uint32_t>& differing,
                                 const std::string& check, const std::stop_token& stop) {
    const auto found = touched_.find(plan.table);
    const TouchedKeys touched =
        found == touched_.end() ? TouchedKeys{} : reader_.find(plan, found->second);
    if (touched.all) {
        pending_[plan.table] = differing;
        return;
    }
    auto left = differing;
    for (uint32_t done = 0; done < options_.chunks_by_row && !left.empty();) {
        const auto some = take_chunks(left);
        done += static_cast<uint32_t>(some.size());
        const auto there = primary_.keys(check, plan.table, some, stop);
        const auto here = reader_.keys(plan, some);
        if (there && here) {
            compare_keys(plan, *there, *here, touched);
        } else {
            pending_[plan.table].insert(some.begin(), some.end());
        }
    }
    for (const uint32_t chunk : left) {
        if (touched.chunks.contains(chunk)) {
            pending_[plan.table].insert(chunk);
        } else {
            difference(plan, chunk);
        }
    }
}

void DatabaseCheck::compare_keys(const ChunkPlan& plan, const KeyDigests& there,
                                 const KeyDigests& here, const TouchedKeys& touched) {
    const auto look = [&](int64_t key, const KeyDigest* theirs, const KeyDigest* ours) {
        const KeyDigest& named = theirs == nullptr ? *ours : *theirs;
        if (theirs != nullptr && ours != nullptr && theirs->digest == ours->digest) {
            return;
        }
        if (touched.keys.contains(key)) {
            pending_[plan.table].insert(named.chunk);
            return;
        }
        ChunkDifference& differs = difference(plan, named.chunk);
        ++differs.rows_differing;
        if (differs.rows.size() < options_.rows_named) {
            differs.rows.push_back({kind_of(theirs, ours), named.label});
        }
    };
    for (const auto& [key, theirs] : there) {
        const auto ours = here.find(key);
        look(key, &theirs, ours == here.end() ? nullptr : &ours->second);
    }
    for (const auto& [key, ours] : here) {
        if (!there.contains(key)) {
            look(key, nullptr, &ours);
        }
    }
}

ChunkDifference& DatabaseCheck::difference(const ChunkPlan& plan, uint32_t chunk) {
    ChunkDifference& differs = differences_[{plan.table, chunk}];
    if (differs.range.empty()) {
        differs.table = plan.table;
        differs.chunk = chunk;
        differs.range = plan.describe(chunk);
    }
    return differs;
}

}  // namespace antipode::secondary
