#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/seams/bulk.hpp"

namespace antipode::primary {

/// What a reference refers to, of a known size of at most limits::content_in_memory_bytes; nullptr:
/// it is not there (any more), or not to be read: one content must not keep the others. (One that
/// cannot be read to its end does: after a failure each is asked for on its own.)
using OpenContent = std::function<std::unique_ptr<BulkBody>(const std::string& reference)>;

/// Answers "<store>/contents" (protocol/contents.hpp): opens one content after the other, when the
/// one before was sent. nullptr: the request is malformed.
std::unique_ptr<BulkBody> open_contents(const BulkRequest& request, OpenContent open);

/// An answer that is in memory.
std::unique_ptr<BulkBody> body_of(std::string bytes);

}  // namespace antipode::primary
