#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <set>
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

/// Captures the repositories below one root. RepositoryChanges name what changed; a reading
/// compares the refs with those that were published last, and packs the objects that are new. What
/// nobody told is found by reconcile(). Owner: whoever wires the primary; threads as in
/// ItemCapture. A repository that cannot be read is an Error that names it, and in nobody's way.
class RepositoryCapture final : public ItemCapture {
  public:
    RepositoryCapture(StoreId store, Repositories& repositories, RepositoryChanges& changes,
                      const Inventory& inventory);

    const StoreId& store() const override { return store_; }
    Noticed drain() override;
    Noticed reconcile(const std::stop_token& stop) override;
    std::optional<Reading> read(const std::string& item, bool whole,
                                const std::stop_token& stop) override;
    std::optional<Published> assume(const std::string& item, const Digest& digest) override;
    /// Pools before those that borrow from them.
    void put_in_order(std::vector<std::string>& items) override;
    std::string defect(const std::string& item, const Pace& pace,
                       const std::stop_token& stop) override;
    std::optional<std::string> why_no_item(const std::string& item) override;
    bool notices_everything() const override;

    /// Why notices_everything() is false, with the remedy, for status; empty when it is true.
    std::string problem() const;

  private:
    /// What a repository was seen to hold, so that a reconcile need not read its refs again; empty
    /// when that is not known.
    struct Seen {
        std::string fingerprint;
        Digest digest;
    };

    void add_known(const std::string& directory, std::set<std::string>& names);
    void sort_in(const std::string& name, Noticed& noticed);
    Presence look_at(const std::string& name);
    bool may_be_published(const std::string& item) const;
    void compare(const std::string& item, const Published& published, const Discovery& discovery,
                 Noticed& noticed);
    bool as_published(const std::string& item, const Published& published);
    std::optional<Reading> read_absent(const std::string& item,
                                       const std::optional<Published>& published, bool whole);
    size_t depth_of(std::string name);
    std::optional<RefMap> await_pool(const std::string& pool, const std::stop_token& stop);
    Reading read_refs(const std::string& item, const RepositoryState& now,
                      const std::optional<RepositoryState>& before, const Digest& digest_before,
                      const std::optional<RefMap>& lent, const std::stop_token& stop);
    void add_packs(v1::RefUpdate& update, const std::vector<std::string>& wants,
                   const std::vector<std::string>& haves, const std::stop_token& stop);
    [[noreturn]] void refuse_empty_root() const;

    const StoreId store_;
    Repositories& repositories_;
    RepositoryChanges& changes_;
    const Inventory& inventory_;
    /// Of what has been read here, too: a reading may be on its way into the inventory.
    Synchronized<std::map<std::string, Seen>> seen_;
    /// How long readings have waited for a pool to be published, all in all.
    Synchronized<std::map<std::string, std::chrono::milliseconds>> waited_;
    /// Items that were last sent on a base. Who asks for such a one again could not use it, as far
    /// as is known, and gets a pack that is made anew.
    Synchronized<std::set<std::string>> on_a_base_;
    std::set<std::string> unfinished_;  ///< by drain()
    std::atomic<bool> all_covered_ = false;
};

/// Serves kept packs: "content" with ref = the hexadecimal Content.pull, which is the pack's
/// SHA-256, and those that are not large many at once: "contents" (protocol/contents.hpp). A pack
/// that is not kept any more is answered 404; the item is then asked for again.
class PackService final : public BulkHandler {
  public:
    explicit PackService(Repositories& repositories) : repositories_(repositories) {}
    std::unique_ptr<BulkBody> open(const BulkRequest& request) override;

  private:
    std::unique_ptr<BulkBody> small_pack(const std::string& reference);

    Repositories& repositories_;
};

}  // namespace antipode::primary
