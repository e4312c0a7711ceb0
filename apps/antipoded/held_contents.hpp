#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapters/files/posix_tree.hpp"
#include "base/config.hpp"
#include "base/seams/bulk.hpp"
#include "primary/blobs/bulk.hpp"
#include "primary/blobs/state.hpp"
#include "secondary/registry.hpp"

namespace antipode {

/// What a secondary has of a store of files on disk, for a site that is promoted without the
/// primary: "blobs/<store>/content?held=1&sha256=<hex>&ref=<BlobReference in hex>", the content
/// with this hash, whatever file here was applied with it. Who does not ask for that takes this
/// site for the primary: he is refused, as a 404 would mean to him that the content is gone for
/// good. Thread-safe; needs nothing of the half that made it.
class HeldContents final : public BulkHandler {
  public:
    HeldContents(const Config::Blobs& store, std::shared_ptr<const secondary::Registry> registry);

    std::unique_ptr<BulkBody> open(const BulkRequest& request) override;

  private:
    std::vector<std::string> files_with(const std::string& hash,
                                        const primary::BlobReference& reference) const;

    const StoreId store_;
    const std::shared_ptr<const secondary::Registry> registry_;
    files::PosixTree tree_;
    primary::BlobBulk files_;
};

}  // namespace antipode
