#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "primary/publisher.hpp"
#include "secondary/receiver.hpp"
#include "secondary/relay.hpp"
#include "secondary/repair.hpp"
#include "tests/contract/lane_under_test.hpp"
#include "tests/contract/trouble.hpp"
#include "tests/support/direct_bulk.hpp"
#include "tests/support/memory_stream.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::contract {

inline const std::string cluster = "test";
inline constexpr uint64_t epoch = 1;

/// Goes with real time, but need not be waited for.
class HurriedClock final : public Clock {
  public:
    TimePoint now() const override { return real_.now() + ahead_; }
    SteadyTime steady_now() const override { return real_.steady_now() + ahead_; }
    void hurry(std::chrono::microseconds by) { ahead_ += by; }

  private:
    SystemClock real_;
    std::chrono::microseconds ahead_{0};
};

/// What a worker does in one step.
struct Worker {
    std::string name;
    std::function<void()> step;
};

/// A's daemon without threads.
class SiteA {
  public:
    SiteA(LaneUnderTest& lane, primary::Inventory& inventory, Stream& stream, const Clock& clock);
    std::vector<Worker> workers();
    void confirm(Lsn safe);
    bool want(const v1::Want& want) { return publisher_.want(want); }

  private:
    void publish();
    LaneUnderTest& lane_;
    primary::Publisher publisher_;
    bool in_session_ = false;
};

/// B's daemon without threads.
class SiteB {
  public:
    SiteB(LaneUnderTest& lane, secondary::ItemApply* items, secondary::DatabaseApply* database,
          secondary::Registry& registry, Stream& upstream, Stream& local, BulkSource& primary,
          const secondary::Repair::Send& send, const Clock& clock);
    std::vector<Worker> workers();
    Lsn safe() const;
    std::optional<TimePoint> recovery_point() const { return receiver_.recovery_point(); }
    secondary::RelayStatus relay() const { return relay_.status(); }
    std::string describe() const;

  private:
    void relay_messages();
    void receive();
    void apply();
    secondary::ItemApply* items_;
    secondary::DatabaseApply* database_;
    BulkSource& primary_;
    std::optional<secondary::ContentStore> contents_;
    secondary::Pulls pulls_;
    secondary::Receiver receiver_;
    secondary::Relay relay_;
    secondary::Repair repair_;
    bool relay_begun_ = false;
    bool receiver_begun_ = false;
    bool database_begun_ = false;
};

/// A store on two sites, with the real core between them in one thread, and streams in memory that
/// a test can spoil. After every step of a worker it is a failure of the test when B shows an item
/// that A never had in this state, or when the recovery point promises a change that is not there.
class Mirror {
  public:
    using Make = std::unique_ptr<LaneUnderTest> (*)(const std::filesystem::path& directory);
    Mirror(Make make, uint64_t seed);
    ~Mirror();

    LaneUnderTest& lane() { return *lane_; }
    Chance& chance() { return chance_; }
    secondary::Registry& registry() { return *registry_; }
    SiteB& b() { return *b_; }

    /// A's application does some things.
    void change(size_t count);
    /// Steps of some workers in a random order.
    void wander(size_t steps);
    /// Every worker once, or those of one site.
    void turn();
    void turn_a();
    void turn_b();
    /// A publishes until nothing is left to be published.
    void publish_all();
    /// Until the recovery point on B passes what A has now, no gap or exception is open.
    bool catch_up();
    /// The promise that every scenario ends with.
    void expect_equal();
    bool recovered() const;

    // What happens to the daemons: all objects are made anew; the disks stay.
    void restart_a();
    void restart_b();
    /// And so does the site's own state: what A published, what B applied and has in its stream.
    void forget_a();
    void forget_b();
    /// B dies before it records what it applied since remember_b().
    void remember_b();
    void restart_b_as_remembered();

    /// The lane's events that are in A's stream, and their places.
    std::multimap<uint64_t, protocol::Event> events();

    test::MemoryStream upstream;
    test::MemoryStream local;
    /// What B reads of A's stream.
    TroubledStream wire;
    size_t wants = 0;          ///< requests of B to A
    bool apply_twice = false;  ///< from the next start of B on

  private:
    void step(const Worker& worker);
    void check();
    void stop_b();
    void start_a();
    void start_b();

    const test::TemporaryDirectory directory_;
    Chance chance_;
    HurriedClock clock_;
    std::unique_ptr<LaneUnderTest> lane_;
    std::map<std::string, std::set<std::string>> had_;  ///< digests of A's items until now
    TimePoint changed_at_{};
    std::unique_ptr<primary::Inventory> inventory_;
    std::unique_ptr<secondary::Registry> registry_;
    std::unique_ptr<SiteA> a_;
    std::optional<test::DirectBulk> bulk_;
    std::unique_ptr<secondary::ItemApply> twice_items_;
    std::unique_ptr<secondary::DatabaseApply> twice_database_;
    std::unique_ptr<SiteB> b_;
    std::string said_;  ///< what workers complained of last
};

}  // namespace antipode::contract
