#include "adapters/postgres/row_bag.hpp"

#include <algorithm>
#include <iterator>

namespace antipode::postgres {
namespace {

bool is_unchanged(const Field& field) {
    return field.kind == Field::Kind::Unchanged;
}

bool is_whole(const RowBag::Row& row) {
    return std::none_of(row.begin(), row.end(), is_unchanged);
}

}  // namespace

bool RowBag::add(const RowOperation& operation) {
    using Kind = RowOperation::Kind;
    if (operation.kind == Kind::Insert) {
        return insert(operation.new_row);
    }
    if (operation.kind == Kind::Truncate || !operation.has_old || !remove(operation.old_row)) {
        return false;
    }
    if (operation.kind == Kind::Delete || is_whole(operation.new_row)) {
        return operation.kind == Kind::Delete || insert(operation.new_row);
    }
    // What is stored out of line and stays is sent with the old row only.
    Row& row = filled_.emplace_back(operation.new_row);
    for (size_t i = 0; i < row.size(); ++i) {
        if (is_unchanged(row[i])) {
            row[i] = operation.old_row[i];
        }
    }
    return insert(row);
}

bool RowBag::insert(const Row& row) {
    inserted_.push_back(&row);
    return is_whole(row);
}

bool RowBag::remove(const Row& row) {
    if (!is_whole(row)) {
        return false;
    }
    for (; indexed_ < inserted_.size(); ++indexed_) {
        places_[text_of(*inserted_[indexed_])].push_back(indexed_);
    }
    const auto found = places_.find(text_of(row));
    if (found == places_.end() || found->second.empty()) {
        removed_.push_back(&row);
        return true;
    }
    inserted_[found->second.back()] = nullptr;
    found->second.pop_back();
    return true;
}

std::string RowBag::text_of(const Row& row) {
    std::string text;
    for (const Field& field : row) {
        if (field.kind == Field::Kind::Null) {
            text += '-';
            continue;
        }
        text += std::to_string(field.text.size());
        text += ':';
        text += field.text;
    }
    return text;
}

NetChanges::Result RowBag::result() const {
    NetChanges::Result result;
    result.removed = removed_;
    std::copy_if(inserted_.begin(), inserted_.end(), std::back_inserter(result.inserted),
                 [](const Row* row) { return row != nullptr; });
    return result;
}

}  // namespace antipode::postgres
