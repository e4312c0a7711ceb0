#pragma once

#include <atomic>
#include <map>
#include <string>
#include <vector>

#include "base/seams/repositories.hpp"
#include "base/synchronized.hpp"
#include "primary/capture.hpp"
#include "primary/inventory.hpp"

namespace antipode::primary {

/// Published.state of a repository: the refs as they were published, and the fingerprint that the
/// repository had before they were read (empty: unknown).
struct RepositoryState {
    std::string fingerprint;
    RepositoryRefs refs;
};
std::string encode_state(const RepositoryState& state);
/// Throws Error{Resync} when `bytes` is no state of ours.
RepositoryState decode_state(const std::string& bytes);

/// Captures the repositories below one root. Hooks name what changed; a reading compares the refs
/// with those that were published last, and packs the objects that are new. What no hook told is
/// found by reconcile(). Owner: whoever wires the primary; threads as in ItemCapture. A repository
/// that cannot be read is an Error that names it, and in nobody's way.
class RepositoryCapture final : public ItemCapture {
  public:
    RepositoryCapture(StoreId store, Repositories& repositories, RepositoryChanges& changes,
                      const Inventory& inventory);

    const StoreId& store() const override { return store_; }
    Noticed drain() override;
    Noticed reconcile(const std::stop_token& stop) override;
    std::optional<Reading> read(const std::string& item, bool whole,
                                const std::stop_token& stop) override;
    bool notices_everything() const override { return notices_everything_; }

  private:
    /// What a repository was seen to hold, so that a reconcile need not read its refs again.
    struct Seen {
        std::string fingerprint;
        Digest digest;
    };

    Presence look_at(const std::string& name);
    void compare(const std::string& item, const Published& published, const Discovery& discovery,
                 Noticed& noticed);
    bool as_published(const std::string& item, const Published& published);
    std::optional<Reading> read_absent(const std::string& item,
                                       const std::optional<Published>& published, bool whole);
    Reading read_refs(const std::string& item, const RepositoryState& now,
                      const std::optional<RepositoryState>& before, const Digest& digest_before,
                      const std::stop_token& stop);
    [[noreturn]] void refuse_empty_root() const;

    const StoreId store_;
    Repositories& repositories_;
    RepositoryChanges& changes_;
    const Inventory& inventory_;
    Synchronized<std::map<std::string, Seen>> seen_;
    std::atomic<bool> notices_everything_ = false;
};

/// Serves kept packs: "content" with ref = the hexadecimal Content.pull, which is the pack's
/// SHA-256. A pack that is not kept any more is answered 404; the item is then asked for again.
class PackService final : public BulkHandler {
  public:
    explicit PackService(Repositories& repositories) : repositories_(repositories) {}
    std::unique_ptr<BulkBody> open(const BulkRequest& request) override;

  private:
    Repositories& repositories_;
};

}  // namespace antipode::primary
