#include "adapters/postgres/net_changes.hpp"

#include <algorithm>

namespace antipode::postgres {
namespace {

bool is_unchanged(const Field& field) {
    return field.kind == Field::Kind::Unchanged;
}

bool is_whole(const NetChanges::Row& row) {
    return std::none_of(row.begin(), row.end(), is_unchanged);
}

}  // namespace

bool NetChanges::add(const RowOperation& operation) {
    switch (operation.kind) {
        case RowOperation::Kind::Insert:
            return insert(operation.new_row);
        case RowOperation::Kind::Update:
            return operation.has_old && !same_key(operation.old_row, operation.new_row)
                       ? move(operation.old_row, operation.new_row)
                       : update(operation.new_row);
        case RowOperation::Kind::Delete:
            return remove(operation.old_row);
        case RowOperation::Kind::Truncate:
            return false;
    }
    return false;
}

bool NetChanges::insert(const Row& row) {
    if (!is_whole(row)) {
        return false;
    }
    if (key_.empty()) {
        entries_.push_back({nullptr, nullptr, &row, false});
        return true;
    }
    Entry* entry = find(row);
    if (entry == nullptr || entry->updated != nullptr || entry->inserted != nullptr) {
        return false;
    }
    entry->inserted = &row;
    entry->fresh = false;
    return true;
}

bool NetChanges::update(const Row& row) {
    Entry* entry = find(row);
    if (entry == nullptr) {
        return false;
    }
    if (entry->inserted != nullptr) {
        entry->inserted = merged(*entry->inserted, row);
        return true;
    }
    if (entry->updated != nullptr) {
        entry->updated = merged(*entry->updated, row);
        return true;
    }
    if (!entry->fresh) {
        return false;
    }
    entry->updated = &row;
    entry->fresh = false;
    return true;
}

bool NetChanges::remove(const Row& key_row) {
    Entry* entry = find(key_row);
    if (entry == nullptr) {
        return false;
    }
    if (entry->inserted != nullptr) {
        entry->inserted = nullptr;
        return true;
    }
    if (entry->updated == nullptr && !entry->fresh) {
        return false;
    }
    entry->updated = nullptr;
    entry->removed = &key_row;
    entry->fresh = false;
    return true;
}

bool NetChanges::move(const Row& old_row, const Row& new_row) {
    const Entry* entry = find(old_row);
    if (entry == nullptr) {
        return false;
    }
    const Row* before = entry->inserted != nullptr ? entry->inserted : entry->updated;
    const Row* after = before == nullptr ? &new_row : merged(*before, new_row);
    return remove(old_row) && insert(*after);
}

NetChanges::Entry* NetChanges::find(const Row& row) {
    if (key_.empty()) {
        return nullptr;
    }
    key_text_.clear();
    for (const size_t column : key_) {
        const Field& field = row[column];
        if (field.kind != Field::Kind::Text) {
            return nullptr;
        }
        if (key_.size() > 1) {
            key_text_ += std::to_string(field.text.size());
            key_text_ += ':';
        }
        key_text_ += field.text;
    }
    const auto [place, added] = places_.try_emplace(key_text_, entries_.size());
    if (added) {
        entries_.emplace_back();
    }
    return &entries_[place->second];
}

bool NetChanges::same_key(const Row& one, const Row& other) const {
    return std::all_of(key_.begin(), key_.end(), [&](size_t column) {
        return one[column].kind == other[column].kind && one[column].text == other[column].text;
    });
}

const NetChanges::Row* NetChanges::merged(const Row& before, const Row& after) {
    if (is_whole(after)) {
        return &after;
    }
    Row& row = merged_.emplace_back(after);
    for (size_t i = 0; i < row.size(); ++i) {
        if (is_unchanged(row[i])) {
            row[i] = before[i];
        }
    }
    return &row;
}

NetChanges::Result NetChanges::result() const {
    Result result;
    std::string mask;
    for (const Entry& entry : entries_) {
        if (entry.removed != nullptr) {
            result.removed.push_back(entry.removed);
        }
        if (entry.updated != nullptr) {
            mask.clear();
            for (const Field& field : *entry.updated) {
                mask += is_unchanged(field) ? 'u' : '.';
            }
            result.updated[mask].push_back(entry.updated);
        }
        if (entry.inserted != nullptr) {
            result.inserted.push_back(entry.inserted);
        }
    }
    sort(result.removed);
    for (auto& [unchanged, rows] : result.updated) {
        sort(rows);
    }
    return result;
}

/// Neighbours in an index are looked for one after the other, while its pages are in the
/// processor's cache. Shorter texts first: so numbers stand in their order, too.
void NetChanges::sort(std::vector<const Row*>& rows) const {
    const auto place = [&](const Row* row, size_t column) {
        const std::string_view text = (*row)[column].text;
        return std::pair(text.size(), text);
    };
    const auto before = [&](const Row* one, const Row* other) {
        for (const size_t column : key_) {
            const auto first = place(one, column);
            const auto second = place(other, column);
            if (first != second) {
                return first < second;
            }
        }
        return false;
    };
    // Statements over a whole table mostly come in order.
    if (!std::is_sorted(rows.begin(), rows.end(), before)) {
        std::sort(rows.begin(), rows.end(), before);
    }
}

}  // namespace antipode::postgres
