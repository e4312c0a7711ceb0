#pragma once

#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "base/seams/bulk.hpp"
#include "protocol/message.hpp"

namespace antipode::secondary {

/// Pulls contents that are not large (v1::Content::together) of one store with one request. One for
/// each, in order: its bytes, hash checked; null: the primary does not have it like that (any
/// more), or, an older one, serves each alone. Throws what BulkSource::get throws, and Error{Retry}
/// when the answer is malformed.
std::vector<std::shared_ptr<const std::string>> pull_together(const StoreId& store,
                                                              std::span<const v1::Content> contents,
                                                              BulkSource& primary,
                                                              const std::stop_token& stop);

}  // namespace antipode::secondary
