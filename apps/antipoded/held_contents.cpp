#include "apps/antipoded/held_contents.hpp"

#include "apps/antipoded/pull_places.hpp"
#include "base/error.hpp"
#include "verify/blob_digest.hpp"

namespace antipode {
namespace {

/// Files with one content: others are looked at when the first are not what they should be.
constexpr size_t most_looked_at = 4;

}  // namespace

HeldContents::HeldContents(const Config::Blobs& store,
                           std::shared_ptr<const secondary::Registry> registry)
    : store_{StoreKind::Blobs, store.name},
      registry_(std::move(registry)),
      tree_(store.root),
      files_(tree_, {store.exclude, store.include}) {}

std::unique_ptr<BulkBody> HeldContents::open(const BulkRequest& request) {
    const std::string content = store_.to_string() + "/content";
    if (request.path != content || !request.parameter(of_secondary)) {
        throw Error(Reaction::Retry, "this site is a secondary", "antipode status");
    }
    const auto hash = from_hex(request.parameter("sha256").value_or(""));
    const auto bytes = from_hex(request.parameter("ref").value_or(""));
    const auto reference = bytes ? primary::BlobReference::decode(*bytes) : std::nullopt;
    if (!hash || !reference) {
        return nullptr;
    }
    for (const std::string& file : files_with(*hash, *reference)) {
        // Inodes are the primary's: a file that grew is another one here.
        const primary::BlobReference here{file, reference->size, 0};
        if (auto body = files_.open({content, {{"ref", to_hex(here.encode())}}})) {
            return body;
        }
    }
    return nullptr;
}

/// Were applied with this content, as the registry says. Small ones it finds by their names only.
std::vector<std::string> HeldContents::files_with(const std::string& hash,
                                                  const primary::BlobReference& reference) const {
    const auto content = sha256_from_bytes(hash);
    if (!content) {
        return {};
    }
    const Digest digest = verify::blob_digest(*content, reference.size);
    std::vector<std::string> files;
    const auto known = registry_->find(store_, reference.path);
    if (known && known->digest == digest) {
        files.push_back(reference.path);
    }
    for (const std::string& file : registry_->with_content(store_, digest, most_looked_at)) {
        if (file != reference.path) {
            files.push_back(file);
        }
    }
    return files;
}

}  // namespace antipode
