#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/seams/bulk.hpp"
#include "base/seams/files.hpp"
#include "primary/blobs/filter.hpp"

namespace antipode::primary {

/// Serves the content of blobs: "blobs/<store>/content?ref=<BlobReference in hex>", many small
/// ones at once: "blobs/<store>/contents" (protocol/contents.hpp), and the SHA-256 of each `bytes`
/// of one, one after the other: "blobs/<store>/hashes?ref=...&bytes=8388608". A file
/// that got shorter, or is another one of another size, is a 404: it was superseded, and a later
/// event brings what came after. One that grew is served up to the size in the reference. Whether
/// it is the announced version is decided by the receiver, by the hash. Thread-safe.
class BlobBulk final : public BulkHandler {
  public:
    /// `filter` as in BlobCapture; `tree` must outlive the object.
    BlobBulk(FileTree& tree, PathFilter filter) : tree_(tree), filter_(std::move(filter)) {}

    std::unique_ptr<BulkBody> open(const BulkRequest& request) override;

  private:
    struct Found {
        std::unique_ptr<FileReader> file;
        uint64_t size = 0;  ///< as the reference says
    };
    std::optional<Found> find(const std::string& reference);
    std::unique_ptr<BulkBody> small_content(const std::string& reference);

    FileTree& tree_;
    const PathFilter filter_;
};

}  // namespace antipode::primary
