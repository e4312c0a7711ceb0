#pragma once

#include <algorithm>
#include <functional>

#include <gtest/gtest.h>

#include "failover/conductor.hpp"
#include "tests/support/memory_bucket.hpp"
#include "tests/support/temporary_directory.hpp"

/// Both sites in one thread, with hands and servers in memory; crashed at every call.
namespace antipode::failover {

/// Thousands of synced lines: where there is a file system in memory, they go there.
inline const bool in_memory = [] {
    return std::filesystem::is_directory("/dev/shm") && setenv("TMPDIR", "/dev/shm", 0) == 0;
}();

/// The process dies here.
struct Crash {};

/// Counts the calls that leave the process, and dies at one of them: before or after it took
/// effect.
struct Fault {
    int calls = 0;
    int crash_at = 0;  ///< 0: never
    bool crashed = false;

    template <typename Use>
    auto call(Use use) {
        die();
        if constexpr (std::is_void_v<decltype(use())>) {
            use();
            die();
        } else {
            auto result = use();
            die();
            return result;
        }
    }
    void die() {
        if (++calls == crash_at) {
            crashed = true;
            throw Crash{};
        }
    }
};

class FaultyBucket final : public KeyValue {
  public:
    FaultyBucket(test::MemoryBucket::Server& server, Fault& fault)
        : bucket_(server), fault_(fault) {}
    std::optional<Entry> get(const std::string& key) override { return bucket_.get(key); }
    std::vector<std::string> keys() override { return bucket_.keys(); }
    void put(const std::string& key, const std::string& value) override {
        fault_.call([&] { bucket_.put(key, value); });
    }
    std::optional<uint64_t> update(const std::string& key, const std::string& value,
                                   uint64_t revision) override {
        return fault_.call([&] { return bucket_.update(key, value, revision); });
    }
    void remove(const std::string& key) override { bucket_.remove(key); }

  private:
    test::MemoryBucket bucket_;
    Fault& fault_;
};

/// What outlives a process: disks and servers.
struct Disk {
    std::string name;
    test::MemoryBucket::Server server;
    std::vector<int> rows;
    bool open = false;
    bool corrupt = false;      ///< compares as different
    bool fence_fails = false;  ///< for good
    bool stuck = false;        ///< never reaches a handoff, nor an end
    std::string unreadable;    ///< the name of something in it
    bool cannot_prepare = false;
    int prepared = 0;
    int preparing = 0;      ///< how often it was tried
    std::vector<int> kept;  ///< in quarantine
    Form kept_as = Form::Neither;
    uint64_t crossed = 0;              ///< to the start of this epoch
    std::vector<Hands::Stand> stands;  ///< that it was promoted in
    bool is_secondary = false;         ///< it keeps its stores so since then
    /// Of the old primary's lease, when this site is promoted; empty: there is no witness.
    std::string lease_waits;
    std::string lease_proof;
};

struct World;

class FakeHands final : public Hands {
  public:
    FakeHands(World& world, Disk& own, Disk& other, Fault& fault)
        : world_(world), own_(own), other_(other), fault_(fault) {}

    void fence(const std::string& new_primary) override {
        EXPECT_EQ(new_primary, other_.name);
        if (own_.fence_fails) {
            throw Error(Reaction::Stop, "the fence does not hold", "mend it");
        }
        fault_.call([&] { own_.open = false; });
    }
    void unfence() override {
        fault_.call([&] { open_own(); });
    }
    Cuts capture() override {
        return fault_.call([&] {
            EXPECT_FALSE(own_.open) << "captured while writes go on";
            Cuts cuts;
            v1::LaneCut& cut = *cuts.Add();
            cut.set_store("database/app");
            cut.set_lsn(own_.rows.size());
            return cuts;
        });
    }
    bool is_unchanged(const Cuts& cuts) override {
        return fault_.call([&] { return cuts[0].lsn() == own_.rows.size(); });
    }
    void follow(const v1::EpochRecord& record) override {
        fault_.call([&] {
            EXPECT_EQ(own_.rows.size(), record.cuts(0).lsn());
            EXPECT_EQ(record.starts(0).lsn(), record.cuts(0).lsn());
            EXPECT_FALSE(own_.open);
        });
    }
    bool has_reached(const Cuts& cuts) override {
        return fault_.call([&] {
            if (!own_.stuck && own_.rows.size() < other_.rows.size()) {
                own_.rows.push_back(other_.rows[own_.rows.size()]);
            }
            return own_.rows.size() >= cuts[0].lsn();
        });
    }
    std::vector<std::string> differences(const Cuts& cuts) override {
        return fault_.call([&] {
            EXPECT_EQ(own_.rows.size(), cuts[0].lsn());
            return own_.corrupt ? std::vector<std::string>{"blobs/uploads differ"}
                                : std::vector<std::string>{};
        });
    }
    Passage take_lease(const v1::EpochRecord& record) override {
        return fault_.call([&]() -> Passage {
            if (!record.fenced_by().empty()) {
                return {};
            }
            return own_.lease_waits.empty() ? Passage{true, own_.lease_proof, {}}
                                            : Passage{false, own_.lease_waits, "wait"};
        });
    }
    std::optional<Cuts> cut(const v1::EpochRecord&, uint64_t) override {
        return fault_.call([&]() -> std::optional<Cuts> {
            if (own_.stuck) {
                return std::nullopt;
            }
            Cuts cuts;
            cuts.Add()->set_lsn(own_.rows.size());
            return cuts;
        });
    }
    std::optional<Cuts> end(const v1::EpochRecord&, const Stand& stand) override {
        return fault_.call([&]() -> std::optional<Cuts> {
            EXPECT_FALSE(own_.open);
            EXPECT_EQ(stand.displaced, other_.name);
            own_.stands.push_back(stand);
            if (!stand.handoff.empty()) {
                EXPECT_EQ(own_.rows.size(), stand.handoff[0].lsn());
                return stand.handoff;
            }
            Cuts cuts;
            cuts.Add()->set_lsn(own_.rows.size());
            return cuts;
        });
    }
    void stand(const v1::EpochRecord& record, Form) override {
        fault_.call([&] {
            EXPECT_EQ(own_.rows.size(), record.cuts(0).lsn());
            own_.is_secondary = true;
        });
    }
    Cuts prepare(const v1::EpochRecord& record) override {
        return fault_.call([&] {
            EXPECT_FALSE(own_.open);
            ++own_.preparing;
            if (own_.cannot_prepare) {
                throw Error(Reaction::Retry, "before_open_command failed", "run it by hand");
            }
            ++own_.prepared;
            Cuts starts = record.cuts();
            starts[0].set_lsn(own_.rows.size());
            return starts;
        });
    }
    std::string open(const v1::EpochRecord& record) override {
        EXPECT_EQ(record.starts_size(), 1) << "open before the others can follow";
        EXPECT_GT(own_.prepared, 0);
        fault_.call([&] { open_own(); });
        return "database/app took a write";
    }
    void shut(const v1::EpochRecord&) override {
        fault_.call([&] { own_.open = false; });
    }
    std::optional<std::string> quarantine(const v1::EpochRecord& record, Form form,
                                          const std::string& without) override {
        own_.kept_as = form;
        return fault_.call([&]() -> std::optional<std::string> {
            EXPECT_FALSE(own_.open);
            if (own_.unreadable != without && !own_.unreadable.empty()) {
                throw Error(Reaction::Retry, "something cannot be read", "mend it");
            }
            own_.kept = only_here(record);
            return std::optional(std::to_string(own_.kept.size()) + " rows");
        });
    }
    std::string unreadable() override { return own_.unreadable; }
    std::optional<bool> is_kept(const v1::EpochRecord& record, Form) override {
        return fault_.call(
            [&] { return std::optional(only_here(record).size() == own_.kept.size()); });
    }
    void rewind(const v1::EpochRecord& record) override {
        fault_.call([&] {
            EXPECT_FALSE(own_.open);
            own_.rows = of_cut(record);
        });
    }

    std::optional<Finished> finish(const v1::EpochRecord&, const v1::EpochStart& ended) override {
        return Finished{ended.from() != "paris" && own_.rows.size() > ended.cuts(0).lsn(), {}};
    }
    /// Compares.
    void cross(const v1::EpochRecord& record, const v1::EpochStart& ended,
               const std::string&) override {
        EXPECT_FALSE(own_.open);
        own_.crossed = ended.epoch();
        if (ended.from() != "paris") {
            own_.rows = other_.rows;
            own_.rows.resize(record.starts(0).lsn());
        }
    }

  private:
    void open_own();
    /// What the new primary had when the epoch began.
    std::vector<int> of_cut(const v1::EpochRecord& record) const {
        return {other_.rows.begin(),
                other_.rows.begin() + static_cast<ptrdiff_t>(record.cuts(0).lsn())};
    }
    std::vector<int> only_here(const v1::EpochRecord& record) const {
        const std::vector<int> cut = of_cut(record);
        std::vector<int> rows;
        std::copy_if(own_.rows.begin(), own_.rows.end(), std::back_inserter(rows),
                     [&](int row) { return std::find(cut.begin(), cut.end(), row) == cut.end(); });
        return rows;
    }
    World& world_;
    Disk& own_;
    Disk& other_;
    Fault& fault_;
};

/// One process on a site.
struct Process {
    Process(World& world, Disk& own, Disk& other, const std::filesystem::path& directory,
            Fault& fault, const Clock& clock)
        : hands(world, own, other, fault),
          records(
              {"demo", own.name, {other.name}, directory / (own.name + ".epoch")},
              [&](const std::string& site) {
                  return std::make_unique<FaultyBucket>(
                      site == own.name ? own.server : other.server, fault);
              },
              clock),
          journal(directory / (own.name + ".journal")),
          conductor({own.name, {own.name, other.name}, std::chrono::seconds(60)}, records, journal,
                    hands, clock) {}
    FakeHands hands;
    Records records;
    Journal journal;
    Conductor conductor;
};

struct World {
    /// `primary`: if it is none of the two, it is off.
    explicit World(const std::string& primary = "london") : london_fault(), sydney_fault() {
        london.name = "london";
        sydney.name = "sydney";
        london.open = primary == london.name;
        test::MemoryBucket bucket(london.server);
        create_epoch(bucket, "demo", primary, "cli", clock.now());
        start_london();
        start_sydney();
        turn();
    }
    void start_london() {
        london_process =
            std::make_unique<Process>(*this, london, sydney, directory.path(), london_fault, clock);
    }
    void start_sydney() {
        sydney_process =
            std::make_unique<Process>(*this, sydney, london, directory.path(), sydney_fault, clock);
    }

    /// An operator's compare-and-set. False: somebody else was faster.
    bool ask(Disk& site, const char* state, const std::string& target, const std::string& id,
             const std::string& fenced_by = {}) {
        test::MemoryBucket bucket(site.server);
        const Epoch seen = *read_epoch(bucket, "demo");
        v1::EpochRecord record = successor(seen.record, "cli", clock.now());
        record.set_state(state);
        record.set_target(target);
        record.set_operation_id(id);
        record.set_fenced_by(fenced_by);
        record.clear_problem();
        return change_epoch(bucket, seen, record).has_value();
    }

    void step(std::unique_ptr<Process>& process, Disk& disk, Disk& primary, Fault& fault,
              const std::function<void()>& restart) {
        if (!process) {
            return;
        }
        try {
            look_and_act(process->conductor);
            v1::SiteReport report;
            report.set_site(disk.name);
            *report.mutable_operation() = process->conductor.status().report;
            if (!primary.server.down) {
                test::MemoryBucket hub(primary.server);
                hub.put("site." + disk.name, report.SerializeAsString());
            }
        } catch (const Crash&) {
            fault.crash_at = 0;
            process.reset();
            restart();
        }
    }

    /// As the daemon does it.
    static void look_and_act(Conductor& conductor) {
        try {
            conductor.look();
        } catch (const Error&) {
            if (conductor.may_act_alone()) {
                conductor.act();
            }
            return;
        }
        conductor.act();
    }

    void turn_of_london() {
        application();
        step(london_process, london, sydney, london_fault, [&] { start_london(); });
        clock.advance(std::chrono::milliseconds(50));
    }
    void turn_of_sydney() {
        application();
        step(sydney_process, sydney, london, sydney_fault, [&] { start_sydney(); });
        clock.advance(std::chrono::milliseconds(50));
    }
    void turn() {
        application();
        step(london_process, london, sydney, london_fault, [&] { start_london(); });
        application();
        step(sydney_process, sydney, london, sydney_fault, [&] { start_sydney(); });
        clock.advance(std::chrono::milliseconds(100));
        EXPECT_FALSE(london.open && sydney.open) << "two primaries";
    }
    void application() {
        for (Disk* disk : {&london, &sydney}) {
            if (disk->open) {
                disk->rows.push_back(++written);
            }
        }
    }
    /// One that was just started has not looked yet.
    std::optional<State> state_of(const std::unique_ptr<Process>& process) const {
        return process->conductor.state();
    }
    std::string name_of(const std::unique_ptr<Process>& process) const {
        const auto state = state_of(process);
        return state ? std::string(to_string(*state)) : "not known yet";
    }
    bool settled(State of_london, State of_sydney, int turns = 300) {
        for (int i = 0; i < turns; ++i) {
            if (state_of(london_process) == of_london && state_of(sydney_process) == of_sydney) {
                return true;
            }
            turn();
        }
        ADD_FAILURE() << name_of(london_process) << ", " << name_of(sydney_process);
        return false;
    }
    std::string problem_in(Disk& site) {
        test::MemoryBucket bucket(site.server);
        return read_epoch(bucket, "demo")->record.problem();
    }
    uint64_t epoch_of(Disk& site) {
        test::MemoryBucket bucket(site.server);
        return read_epoch(bucket, "demo")->record.epoch();
    }
    /// Every acknowledged write is on the primary, once, in order.
    void expect_all_rows(const Disk& primary) const {
        ASSERT_EQ(primary.rows.size(), static_cast<size_t>(written));
        for (int i = 0; i < written; ++i) {
            EXPECT_EQ(primary.rows[static_cast<size_t>(i)], i + 1);
        }
    }

    test::TemporaryDirectory directory;
    ManualClock clock;
    Fault london_fault;
    Fault sydney_fault;
    Disk london;
    Disk sydney;
    std::unique_ptr<Process> london_process;
    std::unique_ptr<Process> sydney_process;
    int written = 0;
};

inline void FakeHands::open_own() {
    EXPECT_FALSE(other_.open) << "two primaries";
    own_.open = true;
}

}  // namespace antipode::failover
