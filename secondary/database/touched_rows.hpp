#pragma once

#include <map>
#include <string_view>

#include "base/seams/chunks.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::secondary {

using Touched = std::map<TableName, TouchedRows>;
using Relations = google::protobuf::RepeatedPtrField<v1::Relation>;

/// Adds the rows that a transaction's changes name, before and after, by the columns of their
/// identity. More than a limit, and what cannot be told (a truncation), becomes the whole table.
/// Throws Error{Stop} when the changes break their layout.
void add_touched_rows(const Relations& relations, std::string_view changes, Touched& touched);

}  // namespace antipode::secondary
