#include "secondary/database/snapshot.hpp"

#include <algorithm>
#include <charconv>

#include "base/error.hpp"

namespace antipode::secondary {
namespace {

std::optional<uint64_t> take_number(std::string_view& text) {
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc()) {
        return std::nullopt;
    }
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    return value;
}

bool take(std::string_view& text, char expected) {
    if (text.empty() || text.front() != expected) {
        return false;
    }
    text.remove_prefix(1);
    return true;
}

}  // namespace

std::optional<Snapshot> Snapshot::parse(std::string_view text) {
    Snapshot snapshot;
    const auto xmin = take_number(text);
    if (!xmin || !take(text, ':')) {
        return std::nullopt;
    }
    const auto xmax = take_number(text);
    if (!xmax || !take(text, ':') || *xmin > *xmax) {
        return std::nullopt;
    }
    snapshot.xmin_ = *xmin;
    snapshot.xmax_ = *xmax;
    while (!text.empty()) {
        const auto xid = take_number(text);
        if (!xid || (!text.empty() && (!take(text, ',') || text.empty()))) {
            return std::nullopt;
        }
        snapshot.in_progress_.push_back(*xid);
    }
    std::sort(snapshot.in_progress_.begin(), snapshot.in_progress_.end());
    return snapshot;
}

bool Snapshot::sees(uint32_t xid) const {
    // The 64-bit id with these low bits that is nearest to xmax; it cannot lie before the first.
    const auto distance = static_cast<int32_t>(xid - static_cast<uint32_t>(xmax_));
    const uint64_t full = distance < 0 && xmax_ < static_cast<uint64_t>(-int64_t{distance})
                              ? xid
                              : xmax_ + static_cast<uint64_t>(int64_t{distance});
    if (full < xmin_) {
        return true;
    }
    return full < xmax_ && !std::binary_search(in_progress_.begin(), in_progress_.end(), full);
}

CopiedTables::CopiedTables(const std::vector<CopiedTable>& tables,
                           const std::vector<AwaitedTable>& awaited) {
    for (const AwaitedTable& table : awaited) {
        if (!table.copied) {
            awaited_.insert(table.name);
        }
    }
    for (const CopiedTable& table : tables) {
        const auto snapshot = Snapshot::parse(table.snapshot);
        if (!snapshot) {
            throw Error(
                Reaction::Stop,
                "the snapshot of the copied table " + table.name.to_string() + " is malformed",
                "copy the database again into an empty one");
        }
        copies_[table.name].push_back({*snapshot, table.wal_end, table.range});
        needed_below_ = std::max(needed_below_, table.wal_end);
    }
}

bool CopiedTables::Coverage::contains(int64_t key) const {
    return std::any_of(ranges.begin(), ranges.end(),
                       [&](const KeyRange& range) { return range.contains(key); });
}

CopiedTables::Coverage CopiedTables::coverage(const TableName& table, uint32_t xid,
                                              Lsn commit_lsn) const {
    if (awaited_.contains(table)) {
        return {.all = true};
    }
    if (commit_lsn >= needed_below_) {
        return {};
    }
    const auto found = copies_.find(table);
    if (found == copies_.end()) {
        return {};
    }
    Coverage coverage;
    for (const Copy& copy : found->second) {
        if (commit_lsn < copy.wal_end && copy.snapshot.sees(xid)) {
            coverage.ranges.push_back(copy.range);
        }
    }
    coverage.all = coverage.ranges.size() == found->second.size();
    if (coverage.all) {
        coverage.ranges.clear();
    }
    return coverage;
}

}  // namespace antipode::secondary
