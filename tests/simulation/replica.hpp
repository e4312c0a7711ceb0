#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "secondary/apply.hpp"
#include "tests/simulation/faults.hpp"
#include "tests/simulation/service.hpp"
#include "tests/support/memory_files.hpp"

/// The secondary site's stores and their apply side, in memory.
namespace antipode::simulation {

/// What is on the secondary's disks. It outlives the daemons.
struct Replica {
    std::map<std::string, std::string> blobs;
    std::map<std::string, Repository> repositories;
    std::map<uint64_t, Row> rows;
    std::vector<Lsn> transactions;  ///< ends of those that were applied, in this order
    secondary::DatabasePosition position;
    uint64_t generation = 0;  ///< grows with every visible change
    /// Blobs that a fault spoilt in a call that a crash cut off: the daemon cannot know before it
    /// applies them again.
    std::set<std::string> spoilt_unheard;
};

class SimulatedItemApply : public secondary::ItemApply {
  public:
    SimulatedItemApply(StoreId store, Replica& replica, FileTree& tree, Faults& faults)
        : replica_(replica), store_(std::move(store)), tree_(tree), faults_(faults) {}

    const StoreId& store() const override { return store_; }
    std::filesystem::path incoming_directory() const override { return tree_.root(); }
    std::vector<secondary::Result> apply(std::span<const secondary::ItemTask> tasks,
                                         const std::stop_token& stop) override;

  protected:
    virtual secondary::Result apply_one(const v1::Payload& payload, const std::string& content) = 0;
    virtual void spoil(const std::string& item) = 0;
    Replica& replica_;

  private:
    secondary::Result apply_task(const secondary::ItemTask& task);
    std::string content_of(const secondary::ItemTask& task);

    const StoreId store_;
    FileTree& tree_;
    Faults& faults_;
};

class SimulatedBlobApply final : public SimulatedItemApply {
  public:
    SimulatedBlobApply(Replica& replica, FileTree& tree, Faults& faults)
        : SimulatedItemApply(blobs_id, replica, tree, faults) {}

  protected:
    secondary::Result apply_one(const v1::Payload& payload, const std::string& content) override;
    void spoil(const std::string& item) override;
};

class SimulatedRepositoryApply final : public SimulatedItemApply {
  public:
    SimulatedRepositoryApply(Replica& replica, FileTree& tree, Faults& faults)
        : SimulatedItemApply(repositories_id, replica, tree, faults) {}

  protected:
    secondary::Result apply_one(const v1::Payload& payload, const std::string& content) override;
    void spoil(const std::string& item) override;
};

class SimulatedDatabaseApply final : public secondary::DatabaseApply {
  public:
    SimulatedDatabaseApply(Replica& replica, Faults& faults) : replica_(replica), faults_(faults) {}

    const StoreId& store() const override { return rows_id; }
    secondary::DatabasePosition position() override;
    void initial_copy(BulkSource&, const std::function<void(secondary::CopyProgress)>&,
                      const std::stop_token&) override {}
    void compare_anew() override {}
    secondary::DatabasePosition apply(std::span<const protocol::Event* const> events) override;

  private:
    void apply_event(const protocol::Event& event);
    void commit(const protocol::Event& event);

    Replica& replica_;
    Faults& faults_;
    /// An open transaction: its commit, its next part, what it changes.
    Lsn open_commit_;
    uint32_t next_part_ = 0;
    std::vector<RowChange> open_changes_;
};

/// The digest that an event's item must have.
Digest expected_digest(const v1::Payload& payload);

}  // namespace antipode::simulation
