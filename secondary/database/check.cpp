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
    : options_(std::move(options)), bulk_(primary), reader_(reader), barriers_(barriers) {}

CheckReport DatabaseCheck::run(const std::set<TableName>& tables, const std::stop_token& stop) {
    CheckReport report;
    bool compared = false;
    pending_.clear();
    differences_.clear();
    primary_.reset();
    while (report.rounds < options_.rounds && (!compared || !pending_.empty())) {
        ++report.rounds;
        if (!begin_round(stop)) {
            continue;
        }
        if (!std::exchange(compared, true)) {
            for (const TableName& table : primary_->tables()) {
                if (tables.empty() || tables.contains(table)) {
                    pending_[table];
                }
            }
            report.tables = pending_.size();
        }
        for (const auto& [table, chunks] : std::exchange(pending_, {})) {
            compare(table, chunks, report);
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
        primary_.reset();
    } else {
        report.check = primary_->id();
    }
    return report;
}

bool DatabaseCheck::begin_round(const std::stop_token& stop) {
    auto next = std::make_unique<PrimaryCheck>(options_.store, bulk_, stop);
    reader_.connect(stop);
    barriers_.expect(next->id(), [this](const Touched& touched, ReplicaSession&) {
        reader_.take_snapshot();
        touched_ = touched;
    });
    try {
        next->open(PrimaryCheck::Of::Rows, primary_ ? primary_->id() : "");
        if (!barriers_.wait(options_.wait, stop, problem_)) {
            spdlog::debug("{}: check {}: {}", options_.store.to_string(), next->id(), problem_);
            return false;
        }
    } catch (...) {
        barriers_.forget();
        throw;
    }
    primary_ = std::move(next);
    return true;
}

/// What cannot be read may be in the next round.
void DatabaseCheck::compare(const TableName& table, const std::set<uint32_t>& chunks,
                            CheckReport& report) {
    report.unreadable.erase(table);
    try {
        compare_digests(table, chunks, report);
    } catch (const Unreadable& error) {
        spdlog::debug("{}: check {}: {}", options_.store.to_string(), primary_->id(), error.what());
        report.unreadable[table] = error.what();
        if (!pending_.contains(table)) {
            pending_[table] = chunks;
        }
    }
}

void DatabaseCheck::compare_digests(const TableName& table, const std::set<uint32_t>& chunks,
                                    CheckReport& report) {
    const std::set<uint32_t> asked =
        chunks.size() <= chunks_per_request ? chunks : std::set<uint32_t>{};
    const auto there = primary_->digests(table, asked);
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
        compare_rows(there->plan, differing);
    }
}

void DatabaseCheck::compare_rows(const ChunkPlan& plan, const std::set<uint32_t>& differing) {
    std::set<uint32_t>& pending = pending_[plan.table];
    pending = differing;  // until more is known
    const auto found = touched_.find(plan.table);
    const TouchedKeys touched =
        found == touched_.end() ? TouchedKeys{} : reader_.find(plan, found->second);
    if (touched.all) {
        return;
    }
    auto left = differing;
    for (uint32_t done = 0; done < options_.chunks_by_row && !left.empty();) {
        const auto some = take_chunks(left);
        done += static_cast<uint32_t>(some.size());
        const auto there = primary_->keys(plan.table, some);
        const auto here = reader_.keys(plan, some);
        if (there && here) {
            std::erase_if(pending, [&](uint32_t chunk) { return some.contains(chunk); });
            compare_keys(plan, *there, *here, touched);
        }
    }
    for (const uint32_t chunk : left) {
        if (!touched.chunks.contains(chunk)) {
            pending.erase(chunk);
            difference(plan, chunk);
        }
    }
    if (pending.empty()) {
        pending_.erase(plan.table);
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
