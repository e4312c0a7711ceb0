#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "primary/bulk.hpp"
#include "primary/publisher.hpp"
#include "secondary/receiver.hpp"
#include "secondary/relay.hpp"
#include "secondary/repair.hpp"
#include "tests/simulation/broker.hpp"
#include "tests/simulation/capture.hpp"
#include "tests/simulation/replica.hpp"

/// The daemons as the program wires them, but that every worker is a function that is called now
/// and then. What outlives them is owned by the simulation.
namespace antipode::simulation {

class PrimaryDaemon {
  public:
    PrimaryDaemon(Service& service, primary::Inventory& inventory, Broker& broker, Faults& faults,
                  const Clock& clock, bool watched);
    ~PrimaryDaemon();

    void publish();
    void capture_rows();
    void capture_blobs() { publisher_.capture_items(blobs_, {}); }
    void capture_repositories() { publisher_.capture_items(repositories_, {}); }
    void reconcile_blobs() { publisher_.reconcile(blobs_, {}); }
    void reconcile_repositories() { publisher_.reconcile(repositories_, {}); }

    bool want(const v1::Want& want) { return publisher_.want(want); }
    void confirm(Lsn safe) { rows_.confirm(safe); }
    /// What this site's own stream holds.
    Lsn stored() const;
    BulkHandler* bulk(const std::string& path);

  private:
    Service& service_;
    SimulatedBlobCapture blobs_;
    SimulatedRepositoryCapture repositories_;
    SimulatedDatabaseCapture rows_;
    primary::ItemBulk blob_bulk_;
    primary::ItemBulk repository_bulk_;
    primary::Publisher publisher_;
    bool in_session_ = false;
};

class SecondaryDaemon {
  public:
    SecondaryDaemon(std::chrono::milliseconds max_hold, Replica& replica,
                    secondary::Registry& registry, FileTree& blob_tree, FileTree& repository_tree,
                    Broker& upstream, Broker& local, BulkSource& primary,
                    const secondary::Repair::Send& send, Faults& faults, const Clock& clock);

    void relay();
    void receive();
    void apply_blobs() { receiver_.apply_items(blobs_, {}); }
    void apply_repositories() { receiver_.apply_items(repositories_, {}); }
    void apply_rows();
    void pull() { pulls_.step(primary_, std::chrono::milliseconds(0), {}); }
    void repair() { repair_.step({}); }

    Lsn safe() const;
    /// What its lanes wait for, for people.
    std::string waits_for() const;
    std::optional<TimePoint> recovery_point() const { return receiver_.recovery_point(); }

  private:
    Faults& faults_;
    secondary::Registry& registry_;
    BulkSource& primary_;
    SimulatedBlobApply blobs_;
    SimulatedRepositoryApply repositories_;
    SimulatedDatabaseApply rows_;
    secondary::ContentStore blob_contents_;
    secondary::ContentStore repository_contents_;
    secondary::Pulls pulls_;
    secondary::Receiver receiver_;
    secondary::Relay relay_;
    secondary::Repair repair_;
    bool relay_begun_ = false;
    bool receiver_begun_ = false;
    bool rows_begun_ = false;
};

}  // namespace antipode::simulation
