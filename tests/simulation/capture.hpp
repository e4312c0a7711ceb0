#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "base/seams/bulk.hpp"
#include "primary/capture.hpp"
#include "primary/inventory.hpp"
#include "tests/simulation/faults.hpp"
#include "tests/simulation/service.hpp"

/// The capture side of the three stores, in memory, over a Service. Each object lives as long as
/// its daemon: a watch notices only what happens while it is there.
namespace antipode::simulation {

class SimulatedItemCapture : public primary::ItemCapture {
  public:
    SimulatedItemCapture(StoreId store, Service& service, const primary::Inventory& inventory,
                         Faults& faults, bool watched);

    const StoreId& store() const override { return store_; }
    primary::Noticed drain() override;
    primary::Noticed reconcile(const std::stop_token& stop) override;
    std::optional<primary::Reading> read(const std::string& item, bool whole,
                                         const std::stop_token& stop) override;
    bool notices_everything() const override { return watched_; }

    void noticed(const std::string& item);
    /// The content that `reference` names; nullopt: it is not there any more.
    virtual std::optional<std::string> content(const std::string& reference) = 0;

  protected:
    virtual Digest digest_now(const std::string& item) const = 0;  ///< empty: not there
    virtual std::set<std::string> names() const = 0;
    /// `before`: what secondaries have; nullptr: they may have nothing.
    virtual primary::Reading reading(const std::string& item, const primary::Published* before) = 0;
    virtual primary::Reading removal(const std::string& item) const = 0;

    Service& service_;
    Faults& faults_;

  private:
    const StoreId store_;
    const primary::Inventory& inventory_;
    const bool watched_;
    std::set<std::string> noticed_;
};

class SimulatedBlobCapture final : public SimulatedItemCapture {
  public:
    SimulatedBlobCapture(Service& service, const primary::Inventory& inventory, Faults& faults)
        : SimulatedItemCapture(blobs_id, service, inventory, faults, true) {}
    std::optional<std::string> content(const std::string& reference) override;

  protected:
    Digest digest_now(const std::string& item) const override;
    std::set<std::string> names() const override;
    primary::Reading reading(const std::string& item, const primary::Published* before) override;
    primary::Reading removal(const std::string& item) const override;
};

class SimulatedRepositoryCapture final : public SimulatedItemCapture {
  public:
    SimulatedRepositoryCapture(Service& service, const primary::Inventory& inventory,
                               Faults& faults, bool watched)
        : SimulatedItemCapture(repositories_id, service, inventory, faults, watched) {}
    std::optional<std::string> content(const std::string& reference) override;

  protected:
    Digest digest_now(const std::string& item) const override;
    std::set<std::string> names() const override;
    primary::Reading reading(const std::string& item, const primary::Published* before) override;
    primary::Reading removal(const std::string& item) const override;

  private:
    std::map<std::string, std::string> packs_;  ///< kept for secondaries, by hash
};

/// Decodes the service's write-ahead log from a slot.
class SimulatedDatabaseCapture final : public primary::DatabaseCapture {
  public:
    SimulatedDatabaseCapture(Service& service, Faults& faults)
        : service_(service), faults_(faults) {}

    const StoreId& store() const override { return rows_id; }
    std::vector<primary::DatabaseEvent> poll(std::chrono::milliseconds wait) override;
    void confirm(Lsn lsn) override { confirm_ = std::max(confirm_, lsn); }
    void keep_alive() override {}
    void restart() override { connected_ = false; }
    Lsn forgotten() const override;
    Lsn wal_position() override;
    /// Its database has no sequences.
    Lsn publish_sequences(bool /*exact*/) override { return wal_position(); }

  private:
    void decode(const Service::Transaction& transaction,
                std::vector<primary::DatabaseEvent>& events);
    void hand_out(const Service::Transaction& transaction, Lsn place, size_t parts, size_t count,
                  std::vector<primary::DatabaseEvent>& events) const;

    Service& service_;
    Faults& faults_;
    bool connected_ = false;
    Lsn decoded_;   ///< end of the last transaction that was handed out
    Lsn new_from_;  ///< an earlier connection may have handed out what commits before
    Lsn confirm_;
};

}  // namespace antipode::simulation
