#include "tests/contract/mirror.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "verify/blob_digest.hpp"
#include "verify/expected_digest.hpp"

namespace antipode::contract {
namespace {

/// A step that has nothing to do takes no time, but for what PostgreSQL takes to send.
constexpr std::chrono::milliseconds no_wait(0);
constexpr std::chrono::milliseconds wait_for_rows(12);
constexpr std::chrono::milliseconds turn_time(200);
constexpr size_t most_turns = 600;
constexpr size_t ordinary_turns = 100;  ///< then time goes faster

/// Nothing of a real clock that is waited for is as slow as this.
constexpr std::chrono::hours for_ever(1000);

template <typename Pointer>
std::vector<Pointer> list_of(Pointer pointer) {
    return pointer == nullptr ? std::vector<Pointer>{} : std::vector<Pointer>{pointer};
}

primary::Publisher::Options publisher_options(const LaneUnderTest& lane) {
    primary::Publisher::Options options;
    options.cluster = cluster;
    options.site = "a";
    options.epoch = epoch;
    options.marker_interval = std::chrono::milliseconds(100);
    options.wait = lane.store().kind == StoreKind::Database ? wait_for_rows : no_wait;
    return options;
}

secondary::Receiver::Options receiver_options() {
    secondary::Receiver::Options options;
    options.cluster = cluster;
    options.epoch = epoch;
    options.wait = no_wait;
    options.order.max_hold = for_ever;
    return options;
}

std::map<StoreId, secondary::ContentStore*> contents_of(
    const StoreId& store, std::optional<secondary::ContentStore>& contents) {
    std::map<StoreId, secondary::ContentStore*> all;
    if (contents) {
        all[store] = &*contents;
    }
    return all;
}

}  // namespace

// A.

SiteA::SiteA(LaneUnderTest& lane, primary::Inventory& inventory, Stream& stream, const Clock& clock)
    : lane_(lane),
      publisher_(publisher_options(lane), stream, inventory, list_of(lane.database_capture()),
                 list_of(lane.item_capture()), clock) {}

std::vector<Worker> SiteA::workers() {
    std::vector<Worker> workers{{"publisher", [this] { publish(); }}};
    if (auto* const items = lane_.item_capture()) {
        workers.push_back({"capture", [this, items] { publisher_.capture_items(*items, {}); }});
        workers.push_back({"reconcile", [this, items] {
                               if (const auto problem = publisher_.reconcile(*items, {})) {
                                   throw Error(*problem);
                               }
                           }});
    }
    if (auto* const rows = lane_.database_capture()) {
        workers.push_back({"capture", [this, rows] { publisher_.capture_database(*rows, {}); }});
    }
    return workers;
}

void SiteA::publish() {
    try {
        if (!in_session_) {
            publisher_.begin_session();
            in_session_ = true;
        }
        publisher_.step({});
    } catch (const Error&) {
        in_session_ = false;
        throw;
    }
}

void SiteA::confirm(Lsn safe) {
    if (auto* const rows = lane_.database_capture()) {
        for (const auto& lane : publisher_.status().lanes) {
            rows->confirm(std::min(lane.stored, safe));
        }
    }
}

// B.

SiteB::SiteB(LaneUnderTest& lane, secondary::ItemApply* items, secondary::DatabaseApply* database,
             secondary::Registry& registry, Stream& upstream, Stream& local, BulkSource& primary,
             const secondary::Repair::Send& send, const Clock& clock)
    : items_(items),
      database_(database),
      primary_(primary),
      contents_(items == nullptr
                    ? std::nullopt
                    : std::make_optional<secondary::ContentStore>(
                          lane.store(), *lane.tree_of_b(),
                          items->incoming_directory()
                              .lexically_relative(lane.tree_of_b()->root())
                              .string(),
                          [&registry, id = lane.store()](const Sha256& hash, uint64_t size) {
                              return registry.with_content(id, verify::blob_digest(hash, size), 2);
                          })),
      pulls_(
          contents_of(lane.store(), contents_),
          [this](const StoreId& store) { receiver_.content_arrived(store); }, clock),
      receiver_(receiver_options(), local, {lane.store()}, registry, pulls_,
                verify::expected_digest, clock),
      relay_(
          {cluster, epoch, {lane.store()}, no_wait}, upstream, local, pulls_, registry, [] {},
          clock),
      repair_(
          "b", {lane.store()}, registry, primary, send,
          [this](const StoreId& store) { return receiver_.applied_lsn(store); }, clock) {}

std::vector<Worker> SiteB::workers() {
    return {{"relay", [this] { relay_messages(); }},
            {"receiver", [this] { receive(); }},
            {"apply", [this] { apply(); }},
            {"pull", [this] { pulls_.step(primary_, no_wait, {}); }},
            {"repair", [this] { repair_.step({}); }}};
}

void SiteB::relay_messages() {
    try {
        if (!relay_begun_) {
            relay_.begin();
            relay_begun_ = true;
        }
        relay_.step();
    } catch (const Error&) {
        relay_begun_ = false;
        throw;
    }
}

void SiteB::receive() {
    try {
        if (!receiver_begun_) {
            receiver_.begin({});
            receiver_begun_ = true;
        }
        receiver_.step({});
    } catch (const Error&) {
        receiver_begun_ = false;
        throw;
    }
}

void SiteB::apply() {
    if (items_ != nullptr) {
        receiver_.apply_items(*items_, {});
        return;
    }
    try {
        if (!database_begun_) {
            receiver_.begin_database(*database_, primary_, {});
            database_begun_ = true;
        }
        receiver_.apply_database(*database_);
    } catch (const Error&) {
        database_begun_ = false;
        throw;
    }
}

Lsn SiteB::safe() const {
    const auto lsns = relay_.status().safe.lsns;
    return lsns.empty() ? Lsn{} : lsns.begin()->second;
}

std::string SiteB::describe() const {
    std::string text;
    for (const secondary::ReceiverLaneStatus& lane : receiver_.status()) {
        text += lane.store.to_string() + " stands at " + lane.order.finished.to_string() + ", " +
                std::to_string(lane.order.waiting) + " events wait; " + lane.order.held_by +
                lane.order.problem + (lane.gap ? "; a gap" : "") +
                (lane.exceptions > 0 ? "; exceptions" : "") + (lane.copying ? "; copying" : "");
    }
    return text;
}

// Both.

Mirror::Mirror(Make make, uint64_t seed)
    : wire(upstream, chance_), chance_(seed), lane_(make(directory_.path())) {
    for (const auto& [item, digest] : lane_->digests_of_a()) {
        had_[item].insert(digest);
    }
    start_a();
    start_b();
}

Mirror::~Mirror() = default;

void Mirror::start_a() {
    inventory_ = std::make_unique<primary::Inventory>(directory_ / "inventory.db");
    lane_->start_a(*inventory_);
    a_ = std::make_unique<SiteA>(*lane_, *inventory_, upstream, clock_);
}

void Mirror::restart_a() {
    b_.reset();  // it has A's bulk service in its hands
    bulk_.reset();
    a_.reset();
    start_a();
    stop_b();
    start_b();
}

void Mirror::forget_a() {
    a_.reset();
    inventory_.reset();
    for (const char* end : {"", "-wal", "-shm"}) {
        std::filesystem::remove(directory_ / (std::string("inventory.db") + end));
    }
    restart_a();
}

void Mirror::stop_b() {
    b_.reset();
    twice_items_.reset();
    twice_database_.reset();
    registry_.reset();
}

void Mirror::start_b() {
    registry_ = std::make_unique<secondary::Registry>(directory_ / "registry.db", clock_);
    lane_->start_b();
    secondary::ItemApply* items = lane_->item_apply();
    secondary::DatabaseApply* database = lane_->database_apply();
    if (apply_twice && items != nullptr) {
        twice_items_ = twice(*items);
        items = twice_items_.get();
    }
    if (apply_twice && database != nullptr) {
        twice_database_ = twice(*database);
        database = twice_database_.get();
    }
    bulk_.emplace(lane_->bulk());
    const auto send = [this](const v1::Want& want) {
        ++wants;
        a_->want(want);
        return true;
    };
    b_ = std::make_unique<SiteB>(*lane_, items, database, *registry_, wire, local, *bulk_, send,
                                 clock_);
}

void Mirror::restart_b() {
    stop_b();
    start_b();
}

void Mirror::forget_b() {
    stop_b();
    for (const char* end : {"", "-wal", "-shm"}) {
        std::filesystem::remove(directory_ / (std::string("registry.db") + end));
    }
    local.make_anew();
    start_b();
}

void Mirror::remember_b() {
    restart_b();  // closed, the file is whole
    stop_b();
    std::filesystem::copy_file(directory_ / "registry.db", directory_ / "remembered.db",
                               std::filesystem::copy_options::overwrite_existing);
    start_b();
}

void Mirror::restart_b_as_remembered() {
    stop_b();
    for (const char* end : {"-wal", "-shm"}) {
        std::filesystem::remove(directory_ / (std::string("registry.db") + end));
    }
    std::filesystem::copy_file(directory_ / "remembered.db", directory_ / "registry.db",
                               std::filesystem::copy_options::overwrite_existing);
    start_b();
}

void Mirror::change(size_t count) {
    for (size_t i = 0; i < count; ++i) {
        lane_->change(chance_);
        for (const auto& [item, digest] : lane_->digests_of_a()) {
            had_[item].insert(digest);
        }
    }
    clock_.hurry(std::chrono::milliseconds(1));
    changed_at_ = clock_.now();
    clock_.hurry(std::chrono::milliseconds(1));
}

void Mirror::step(const Worker& worker) {
    try {
        worker.step();
    } catch (const Error& error) {
        said_ = worker.name + ": " + error.describe();
        EXPECT_NE(error.reaction(), Reaction::Stop) << said_;
    }
    // Nothing else changes what B shows.
    if (worker.name == "apply" || worker.name == "receiver") {
        check();
    }
}

void Mirror::check() {
    for (const auto& [item, digest] : lane_->digests_of_b()) {
        EXPECT_TRUE(had_[item].contains(digest))
            << printable(item) << " on B is " << digest << ", which A never had";
    }
    if (recovered()) {
        EXPECT_EQ(lane_->digests_of_a(), lane_->digests_of_b())
            << "the recovery point promises what is not there";
    }
}

bool Mirror::recovered() const {
    const auto point = b_->recovery_point();
    return point && *point > changed_at_;
}

void Mirror::wander(size_t steps) {
    std::vector<Worker> workers = a_->workers();
    for (Worker& worker : b_->workers()) {
        workers.push_back(std::move(worker));
    }
    for (size_t i = 0; i < steps; ++i) {
        step(workers[chance_.below(workers.size())]);
        clock_.hurry(std::chrono::milliseconds(chance_.below(20)));
    }
}

void Mirror::turn() {
    turn_a();
    turn_b();
}

void Mirror::turn_a() {
    for (const Worker& worker : a_->workers()) {
        step(worker);
    }
    a_->confirm(b_->safe());
    clock_.hurry(turn_time);
}

void Mirror::turn_b() {
    for (const Worker& worker : b_->workers()) {
        step(worker);
    }
    clock_.hurry(turn_time);
}

void Mirror::publish_all() {
    // Two markers that prove that everything until now is captured stand behind it.
    const TimePoint now = clock_.now();
    const auto proven = [&] {
        size_t markers = 0;
        protocol::Assembler assembler;
        for (const auto& [sequence, bytes] : upstream.messages()) {
            auto opened = protocol::open(bytes, cluster, epoch);
            const auto* message = std::get_if<protocol::Message>(&opened);
            if (message == nullptr) {
                continue;
            }
            const auto added = assembler.add(*message);
            for (const auto& event : std::get<std::vector<protocol::Event>>(added)) {
                const auto& lanes = event.payload.marker().lanes();
                markers +=
                    !lanes.empty() && from_microseconds(lanes[0].captured_through_us()) > now;
            }
        }
        return markers >= 2;
    };
    for (size_t turn = 0; !proven(); ++turn) {
        ASSERT_LT(turn, most_turns) << "A does not publish everything: " << said_;
        turn_a();
    }
}

std::multimap<uint64_t, protocol::Event> Mirror::events() {
    std::multimap<uint64_t, protocol::Event> events;
    protocol::Assembler assembler;
    for (const auto& [sequence, bytes] : upstream.messages()) {
        auto opened = protocol::open(bytes, cluster, epoch);
        auto added = assembler.add(std::get<protocol::Message>(opened));
        for (auto& event : std::get<std::vector<protocol::Event>>(added)) {
            if (event.store == lane_->store() && !event.payload.has_announcement()) {
                events.emplace(sequence, std::move(event));
            }
        }
    }
    return events;
}

bool Mirror::catch_up() {
    clock_.hurry(std::chrono::milliseconds(1));
    const TimePoint begun_at = clock_.now();
    for (size_t i = 0; i < most_turns; ++i) {
        turn();
        if (i > ordinary_turns) {
            clock_.hurry(std::chrono::seconds(1));
        }
        const auto point = b_->recovery_point();
        const auto& store = lane_->store();
        if (point && *point > begun_at && !registry_->gap(store) &&
            registry_->exception_count(store) == 0) {
            return true;
        }
        if (testing::Test::HasFailure()) {
            return false;  // which said why
        }
    }
    ADD_FAILURE() << "B does not catch up: " << b_->describe() << "; " << said_;
    return false;
}

void Mirror::expect_equal() {
    EXPECT_TRUE(catch_up());
    EXPECT_EQ(lane_->digests_of_a(), lane_->digests_of_b());
    EXPECT_EQ(lane_->problems_of_b(), "");
}

}  // namespace antipode::contract
