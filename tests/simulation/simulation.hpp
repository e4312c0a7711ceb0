#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/simulation/application.hpp"
#include "tests/simulation/checker.hpp"
#include "tests/simulation/daemons.hpp"

namespace antipode::simulation {

/// Two sites in one thread under one seed: the real publisher, sequencer, inventory, relay,
/// receiver, order of apply, registry, pulls and repair, over stores and brokers in memory. Steps
/// of daemons, application and disasters are called in random order; what is visible on the
/// secondary is checked after each. Then the faults end, and both sites must become equal.
class Simulation {
  public:
    explicit Simulation(uint64_t seed, Sabotage sabotage = Sabotage::None);

    /// What went wrong; nullopt: nothing.
    std::optional<std::string> run();
    const Journal& journal() const { return journal_; }

  private:
    struct Step {
        size_t weight = 0;
        Side side = Side::Nobody;
        std::function<void()> run;
    };
    void choose_profile();
    void add_steps();
    void add_disasters();
    void with_primary(size_t weight, std::function<void(PrimaryDaemon&)> run);
    void with_secondary(size_t weight, std::function<void(SecondaryDaemon&)> run);
    void run_step(const Step& step);
    const Step& some_step();

    void load();
    void step_application();
    void heal();
    bool is_quiet();
    std::string why_not_quiet();
    void check();
    std::optional<TimePoint> recovery_point() const;

    void confirm();
    void lose_tail(Broker& broker, bool is_local);
    void make_anew();
    void damage();
    void purge();
    void stray();
    /// Nothing that was promised to be safe is gone when the brokers lose these messages. Two
    /// brokers that lose the same transaction at once are beyond what can be survived.
    bool survives(uint64_t upstream_last, uint64_t local_last, uint64_t damaged = 0);
    Position applied_everywhere() const;

    /// How the secondary reaches the primary over HTTP.
    class Bulk;

    Chance chance_;
    Chance strays_;  ///< of its own, so that the same seed is the same run otherwise
    ManualClock time_;
    Journal journal_;
    Faults faults_;
    DaemonClock clock_;
    Service service_;
    Application application_;
    primary::Inventory inventory_{""};
    secondary::Registry registry_{"", time_};
    Replica replica_;
    test::MemoryTree blob_tree_;
    test::MemoryTree repository_tree_;
    Broker upstream_;
    Broker local_;
    std::unique_ptr<BulkSource> bulk_;
    const bool watched_;
    Checker checker_;

    std::chrono::milliseconds max_hold_{};
    std::vector<Step> steps_;
    size_t weights_ = 0;
    std::unique_ptr<PrimaryDaemon> primary_;
    std::unique_ptr<SecondaryDaemon> secondary_;
    Lsn reported_;  ///< safe on the secondary, as the primary knows it
    Lsn promised_;  ///< the greatest that it may ever have said, if it says the truth
    std::optional<std::string> wrong_;
    uint64_t checked_generation_ = 0;
    std::optional<TimePoint> checked_point_;
};

}  // namespace antipode::simulation
