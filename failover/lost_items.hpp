#pragma once

#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>

#include "base/seams/bulk.hpp"
#include "failover/loss.hpp"
#include "failover/quarantine.hpp"
#include "primary/capture.hpp"
#include "primary/inventory.hpp"

namespace antipode::failover {

/// What a new primary has kept of a promotion, as its bulk service gives it (CutBulk):
///
///     <store>/cut                the inventory of what it had when the epoch ended
///     <store>/cut-state?item=hex what a primary remembers of one item: of a repository, its refs
///
/// Throws Error: Retry (it does not answer), Stop (it has kept nothing of this promotion).
class CutSource {
  public:
    CutSource(BulkSource& primary, const std::stop_token& stop) : primary_(primary), stop_(stop) {}
    void for_each(const StoreId& store,
                  const std::function<void(const std::string& item, const Digest& digest)>& use);
    std::string state(const StoreId& store, const std::string& item);

  private:
    BulkSource& primary_;
    const std::stop_token& stop_;
};

/// In `here`, the digest's algorithm of an item that could not be read: no other digest is equal.
inline constexpr const char* unreadable_algorithm = "unreadable";
inline bool is_unreadable(const primary::Published& published) {
    return published.digest.algorithm == unreadable_algorithm;
}

/// Finds what a former primary has of a store of items and the new one never got: compared with
/// what that had at the cut, it is what a capture would publish. Fills the quarantine with it.
///
/// `here` is the inventory of the capture and nobody else's. begin() makes it say what the new
/// primary had; run() makes it say what is here. One thread.
class LostItems {
  public:
    /// `content`: the store's bulk service, which reads what does not fit into an event.
    LostItems(primary::ItemCapture& capture, BulkHandler& content, primary::Inventory& here,
              CutSource& cut)
        : capture_(capture), content_(content), here_(here), cut_(cut) {}

    /// `published`: what this site knew while it was the primary, so that what has not changed need
    /// not be read.
    void begin(const primary::Inventory& published);
    /// Items that cannot be read do not hold up the others. Throws Error{Retry} when a part of the
    /// store cannot be looked at, or nothing can be kept.
    void run(Quarantine& quarantine, const std::stop_token& stop);
    /// Items that could not be read, and why.
    const std::map<std::string, std::string>& unreadable() const { return unreadable_; }
    /// Reads those again.
    void retry(Quarantine& quarantine, const std::stop_token& stop);
    /// Goes on without those that are left: each is a loss of its own kind. Throws as run().
    void give_up(Quarantine& quarantine, const std::stop_token& stop);

    const StoreId& store() const { return capture_.store(); }

  private:
    primary::Noticed compare(const std::stop_token& stop);
    void try_item(const std::string& item, Quarantine& quarantine, const std::stop_token& stop);
    void look_at(const std::string& item, Quarantine& quarantine, const std::stop_token& stop);
    std::optional<primary::Reading> capture(const std::string& item, const std::stop_token& stop);
    void removed(const std::string& item, Quarantine& quarantine);
    void learn_refs(const std::string& item);
    void keep(const std::string& item, const v1::Payload& payload, Quarantine& quarantine);
    void keep_file(const v1::BlobPut& put, Loss& loss, const Quarantine& quarantine);
    void keep_repository(const std::string& item, const v1::RefUpdate& update, Loss& loss,
                         const Quarantine& quarantine);
    void read(const v1::Content& content, const std::function<void(std::string_view)>& use);
    void record(const std::string& item, const primary::Published& published);

    primary::ItemCapture& capture_;
    BulkHandler& content_;
    primary::Inventory& here_;
    CutSource& cut_;
    std::map<std::string, std::string> unreadable_;
};

/// Nothing of the store has changed since `here`, the inventory of the capture, was filled.
bool is_kept(primary::ItemCapture& capture, const primary::Inventory& here,
             const std::stop_token& stop);

}  // namespace antipode::failover
