#include "secondary/receiver.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "base/limits.hpp"
#include "protocol/stream_search.hpp"
#include "verify/blob_digest.hpp"

namespace antipode::secondary {
namespace {

/// A batch costs some syncs, however large it is.
constexpr size_t items_at_once = 512;
constexpr size_t item_bytes_at_once = 16 * limits::mib;
constexpr size_t transactions_at_once = 1000;
constexpr size_t transaction_bytes_at_once = 8 * limits::mib;
constexpr std::chrono::milliseconds persist_interval(1000);

std::string copied_fact(const StoreId& store) {
    return "copied:" + store.to_string();
}

std::string settling_fact(const StoreId& store) {
    return "settling:" + store.to_string();
}

bool may_want_room(const Result& result) {
    return result.kind == Result::Kind::Failed && result.failure == FailureClass::Transient;
}

}  // namespace

void await_copy(Registry& registry, const StoreId& store) {
    registry.forget_fact(copied_fact(store));
}

Receiver::Receiver(Options options, Stream& stream, const std::vector<StoreId>& stores,
                   Registry& registry, Pulls& pulls, ApplyOrder::ExpectedDigest expected_digest,
                   const Clock& clock)
    : options_(std::move(options)),
      stream_(stream),
      stores_(stores),
      registry_(registry),
      pulls_(pulls),
      clock_(clock),
      order_(options_.order, stores, registry, std::move(expected_digest), clock) {
    for (const StoreId& store : stores_) {
        if (store.kind == StoreKind::Database && !registry_.fact(copied_fact(store))) {
            order_.set_copying(store, true);
            copying_.insert(store);
        }
    }
    if (const auto known = registry_.fact("recovery_point")) {
        const auto by = Position::parse(registry_.fact("recovery_point_proven_by").value_or(""));
        order_.recovery().restore(from_microseconds(std::stoll(*known)), by.value_or(Position{}));
    }
}

void Receiver::begin(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    paused_ = true;
    while (out_ > 0 && !stop.stop_requested()) {
        changed_.wait_for(lock, stop, limits::wait, [&] { return out_ == 0; });
    }
    paused_ = false;
    if (stop.stop_requested()) {
        throw Stopped{};
    }
    std::map<StoreId, Position> finished;
    std::optional<Position> least;
    for (const StoreId& store : stores_) {
        const Position position =
            copying_.contains(store) ? Position{} : registry_.lane(store).finished;
        finished[store] = position;
        least = least ? std::min(*least, position) : position;
    }
    order_.begin(finished);
    read_behind(least.value_or(Position{}));
}

void Receiver::read_behind(const Position& position) {
    assembler_.reset();
    read_through_ = position;
    event_bytes_ = 0;
    const auto place = protocol::find_behind(stream_, options_.cluster, options_.epoch, position);
    next_ = place.sequence;
    last_ = place.last;
    unread_.clear();
}

void Receiver::run(const std::stop_token& stop, Worker::Progress progress) {
    try {
        begin(stop);
        while (!stop.stop_requested()) {
            step(stop);
            progress.healthy();
        }
    } catch (const DamagedStream&) {
        if (options_.on_damaged_stream) {
            options_.on_damaged_stream();
        }
        throw;
    }
}

bool Receiver::has_ended(const StoreId& store) const {
    std::scoped_lock lock(mutex_);
    const auto end = options_.ends.find(store);
    const auto finished = order_.finished();
    const Position lane = finished.at(store);
    return end != options_.ends.end() &&
           (lane >= end->second || (read_through_ >= end->second && lane >= order_.accepted()));
}

void Receiver::end_at(const Position& end) {
    std::scoped_lock lock(mutex_);
    for (const StoreId& store : stores_) {
        options_.ends.emplace(store, end);
    }
}

/// Of an item no more than one task is out.
void Receiver::set_applying(const StoreId& store, const std::vector<ApplyOrder::Task>& tasks,
                            bool out) {
    std::set<std::string>& items = applying_[store];
    for (const ApplyOrder::Task& task : tasks) {
        const std::string& item = *protocol::item_of(task.event->payload);
        if (out) {
            items.insert(item);
        } else {
            items.erase(item);
        }
    }
}

bool Receiver::is_applying(const StoreId& store, const std::string& item) const {
    std::scoped_lock lock(mutex_);
    const auto items = applying_.find(store);
    return items != applying_.end() && items->second.contains(item);
}

void Receiver::persist(SteadyTime now) {
    if (now < persist_at_) {
        return;
    }
    persist_at_ = now + persist_interval;
    std::map<StoreId, Registry::LanePosition> moved;
    for (const auto& [store, finished] : order_.finished()) {
        const Registry::LanePosition known = registry_.lane(store);
        Registry::LanePosition fresh{finished, known.transaction};
        if (const auto database = databases_.find(store); database != databases_.end()) {
            fresh.transaction = database->second.position;
        } else if (store.kind == StoreKind::Database) {
            continue;  // whether it lacks rows that a marker names is to be looked at yet
        }
        if (fresh.finished != known.finished || fresh.transaction != known.transaction) {
            moved[store] = fresh;
        }
    }
    std::map<std::string, std::string> facts;
    if (const auto point = order_.recovery().value()) {
        facts["recovery_point"] = std::to_string(to_microseconds(*point));
        facts["recovery_point_proven_by"] = order_.recovery().proven_by().to_string();
    }
    look_at_gaps();  // first: what shows that rows are missing is not read again
    registry_.set_lanes(moved, facts);
    for (const auto& [store, finished] : order_.finished()) {
        pulls_.release_through(store, finished);
    }
    order_.update_recovery();
    std::erase_if(settling_, [&](const StoreId& store) {
        if (order_.recovery().is_settling(store)) {
            return false;
        }
        registry_.forget_fact(settling_fact(store));
        return true;
    });
}

void Receiver::look_at_gaps() {
    for (const StoreId& store : stores_) {
        const auto gap = registry_.gap(store);
        if (store.kind == StoreKind::Database) {
            look_at_rows(store, gap);
        } else if (gap && !gap->passed && order_.has_passed(store, gap->at)) {
            registry_.set_gap_passed(store, gap->at);
        }
    }
}

void Receiver::look_at_rows(const StoreId& store, const std::optional<Registry::Gap>& gap) {
    const auto position = databases_.find(store);
    const auto lane = order_.recovery().lanes().find(store);
    if (position == databases_.end() || lane == order_.recovery().lanes().end() ||
        copying_.contains(store)) {
        return;
    }
    const RecoveryPoint::Lane& known = lane->second;
    if (!gap && known.rows_missing_at) {
        spdlog::warn("{}: rows before {} are missing here", store.to_string(),
                     known.rows_missing_at->to_string());
        registry_.set_gap(store, *known.rows_missing_at, clock_.now());
    } else if (gap && known.reached > gap->at && known.reached_commit &&
               *known.reached_commit <= position->second.lsn) {
        // A marker from behind the gap names the newest transaction, and that is applied: none is
        // missing.
        registry_.mend_gap(store, gap->at);
    }
}

bool Receiver::content_is_ready(const StoreId& store, const protocol::Event& event) {
    bool all_ready = true;
    for (const v1::Content* content : protocol::pulled_contents(event.payload)) {
        const auto state = pulls_.state(store, *content);
        const bool ready = !std::holds_alternative<Pulls::Unknown>(state) &&
                           !std::holds_alternative<Pulls::Pending>(state);
        if (!ready) {
            // Also when it is pulled already: that may be for another event, which lets it go.
            pulls_.want(store, event.position, *content);
        }
        all_ready = all_ready && ready;
    }
    return all_ready;
}

/// Where the pulled contents of an event are; what the primary does not have any more is its
/// defect.
std::variant<ItemTask, Result> Receiver::task_of(const StoreId& store,
                                                 const protocol::Event& event) const {
    ItemTask item{&event, {}};
    for (const v1::Content* content : protocol::pulled_contents(event.payload)) {
        const auto state = pulls_.state(store, *content);
        const v1::RefUpdate& update = event.payload.ref_update();
        const auto* gone = std::get_if<ContentStore::Gone>(&state);
        if (gone != nullptr && content != &update.base_index()) {
            return Result::failed(FailureClass::PrimaryDefect, gone->reason);
        }
        const auto* here = std::get_if<ContentStore::Here>(&state);
        if (here != nullptr && content == &update.base()) {
            item.base = here->path;
        } else if (here != nullptr && content == &update.base_index()) {
            item.base_index = here->path;
        } else if (here != nullptr) {
            item.content = here->path;
            item.checked = here->checked;
            item.bytes = here->bytes;
        }
    }
    return item;
}

/// What was announced up to `announced` may be what this item was: renamed, and replaced.
void Receiver::keep_what_goes(const StoreId& store, const protocol::Event& event,
                              const Digest& digest, const Position& announced) {
    const auto content = verify::blob_content(digest);
    const bool stays = content && event.payload.has_blob_put() &&
                       event.payload.blob_put().content().sha256() == view(content->hash);
    if (content && !stays && content->size > limits::inline_content_bytes) {
        pulls_.keep(store, *protocol::item_of(event.payload), *content, announced);
    }
}

std::vector<ApplyOrder::Finished> Receiver::work_on(ItemApply& apply,
                                                    const std::vector<ApplyOrder::Task>& tasks,
                                                    const Announced& announced,
                                                    const std::stop_token& stop) {
    std::vector<ApplyOrder::Finished> finished;
    std::vector<ApplyOrder::Task> to_apply;
    std::vector<ItemTask> items;
    for (const ApplyOrder::Task& task : tasks) {
        const auto known = registry_.find(apply.store(), *protocol::item_of(task.event->payload));
        if (known && known->position >= task.event->position) {
            // Read again after a restart: a later state must not be undone, not even for a while.
            finished.push_back({task, {Result::Kind::Superseded, {}, {}, {}, {}}});
            continue;
        }
        auto item = task_of(apply.store(), *task.event);
        if (auto* const failed = std::get_if<Result>(&item)) {
            finished.push_back({task, std::move(*failed)});
            continue;
        }
        if (task.event->payload.has_unreadable()) {
            finished.push_back({task, Result::unreadable(task.event->payload.unreadable())});
            continue;
        }
        if (task.event->payload.has_unchanged()) {
            finished.push_back({task, {Result::Kind::Unneeded, {}, {}, {}, {}}});
            continue;
        }
        if (known && announced) {
            keep_what_goes(apply.store(), *task.event, known->digest, announced->newest);
        }
        to_apply.push_back(task);
        items.push_back(std::get<ItemTask>(std::move(item)));
    }
    if (!items.empty()) {
        auto results = apply.apply(items, stop);
        if (std::any_of(results.begin(), results.end(), may_want_room)) {
            pulls_.let_go_of_kept(apply.store(), std::nullopt);
        }
        for (size_t i = 0; i < results.size(); ++i) {
            finished.push_back({to_apply[i], std::move(results[i])});
        }
    }
    return finished;
}

void Receiver::wait_for_change(std::unique_lock<std::mutex>& lock) {
    // The kernel would make a wait of no time one of its timer's slack.
    if (options_.wait > std::chrono::milliseconds(0)) {
        changed_.wait_for(lock, options_.wait);
    }
}

void Receiver::apply_items(ItemApply& apply, const std::stop_token& stop) {
    const StoreId& store = apply.store();
    const auto ready = [&](const protocol::Event& event) { return content_is_ready(store, event); };
    std::unique_lock lock(mutex_);
    const auto tasks = paused_ || held_.contains(store)
                           ? std::vector<ApplyOrder::Task>{}
                           : order_.take_items(store, items_at_once, item_bytes_at_once, ready);
    if (tasks.empty()) {
        wait_for_change(lock);
        const Position open = order_.open_from(store);
        lock.unlock();
        pulls_.let_go_of_kept(store, open);
        return;
    }
    ++out_;
    set_applying(store, tasks, true);
    const auto announced = order_.announced(store);
    lock.unlock();
    std::vector<ApplyOrder::Finished> finished;
    try {
        finished = work_on(apply, tasks, announced, stop);
    } catch (...) {
        lock.lock();
        --out_;
        set_applying(store, tasks, false);
        order_.give_back(store, tasks);
        changed_.notify_all();
        throw;
    }
    // finish_items() lets go of the events.
    std::vector<std::pair<Position, v1::Content>> contents;
    for (const ApplyOrder::Finished& task : finished) {
        for (const v1::Content* content : protocol::pulled_contents(task.task.event->payload)) {
            contents.emplace_back(task.task.event->position, *content);
        }
    }
    lock.lock();
    --out_;
    set_applying(store, tasks, false);
    order_.finish_items(store, finished);
    const Position open = order_.open_from(store);
    changed_.notify_all();
    lock.unlock();
    pulls_.let_go_of_kept(store, open);
    for (const auto& [position, content] : contents) {
        pulls_.release(store, position, content);
    }
}

void Receiver::begin_database(DatabaseApply& apply, BulkSource& primary,
                              const std::stop_token& stop) {
    const StoreId& store = apply.store();
    DatabasePosition position = apply.position();
    if (!position.copied) {
        {
            std::scoped_lock lock(mutex_);
            copying_.insert(store);
            order_.set_copying(store, true);
            copies_[store] = {{}, clock_.now()};
        }
        apply.initial_copy(
            primary,
            [&](const CopyProgress& copy) {
                std::scoped_lock lock(mutex_);
                copies_[store].progress = copy;
            },
            stop);
        position = apply.position();
    }
    set_copied(store, position);
}

void Receiver::set_copied(const StoreId& store, const DatabasePosition& position) {
    std::scoped_lock lock(mutex_);
    const bool was_copying = copying_.erase(store) > 0;
    const std::string epoch = std::to_string(options_.epoch) + " ";
    if (was_copying) {
        // First: once it counts as copied, nobody would know that it still settles.
        registry_.set_fact(settling_fact(store), epoch + position.lsn.to_string());
    }
    if (was_copying || position.position < registry_.lane(store).transaction) {
        // The database knows best where it stands; its lane is read again from there.
        registry_.set_lane(store, {position.position, position.position});
        registry_.set_fact(copied_fact(store), "yes");
        order_.set_copying(store, true);
        order_.set_copying(store, false);
    }
    // Of another epoch it is a place in another server's log.
    const auto known = registry_.fact(settling_fact(store));
    const auto lsn =
        known && known->starts_with(epoch) ? Lsn::parse(known->substr(epoch.size())) : std::nullopt;
    if (lsn) {
        order_.recovery().copied(store, *lsn);
        settling_.insert(store);
    }
    stands_at(store, position);
    copies_.erase(store);
}

void Receiver::stands_at(const StoreId& store, const DatabasePosition& position) {
    databases_[store] = position;
    order_.recovery().applied(store, position.lsn);
}

void Receiver::apply_database(DatabaseApply& apply) {
    const StoreId& store = apply.store();
    std::unique_lock lock(mutex_);
    const auto events =
        paused_ || order_.wants_restart() || (held_.contains(store) && !order_.is_open(store))
            ? std::vector<const protocol::Event*>{}
            : order_.take_transactions(store, transactions_at_once, transaction_bytes_at_once);
    if (events.empty()) {
        wait_for_change(lock);
        return;
    }
    ++out_;
    lock.unlock();
    DatabasePosition position;
    try {
        position = apply.apply(events);
    } catch (const Error& error) {
        lock.lock();
        --out_;
        if (error.reaction() == Reaction::Resync) {
            // The primary sends again from the position on; these come again behind what is
            // missing.
            registry_.set_gap(store, events.front()->position, clock_.now());
            order_.drop_transactions(store);
        } else {
            order_.fail_transactions(store);
        }
        changed_.notify_all();
        throw;
    } catch (...) {
        lock.lock();
        --out_;
        order_.fail_transactions(store);
        changed_.notify_all();
        throw;
    }
    lock.lock();
    --out_;
    stands_at(store, position);
    order_.finish_transactions(store);
    changed_.notify_all();
}

void Receiver::hold(std::set<StoreId> stores) {
    std::scoped_lock lock(mutex_);
    if (stores != held_) {
        held_ = std::move(stores);
        changed_.notify_all();
    }
}

void Receiver::wake() {
    changed_.notify_all();
}

void Receiver::content_arrived(const StoreId& store) {
    std::scoped_lock lock(mutex_);
    order_.content_arrived(store);
    changed_.notify_all();
}

std::vector<ReceiverLaneStatus> Receiver::status() const {
    std::vector<ReceiverLaneStatus> lanes;
    for (const StoreId& store : stores_) {
        ReceiverLaneStatus lane;
        lane.store = store;
        lane.items = store.kind == StoreKind::Database ? 0 : registry_.count(store);
        lane.unproven = store.kind == StoreKind::Database ? 0 : registry_.unproven(store);
        lane.exceptions = registry_.exception_count(store);
        lane.gap = registry_.gap(store).has_value();
        std::scoped_lock lock(mutex_);
        lane.order = order_.status(store);
        if (const auto times = order_.recovery().lanes().find(store);
            times != order_.recovery().lanes().end()) {
            lane.times = times->second;
        }
        if (const auto database = databases_.find(store); database != databases_.end()) {
            lane.database = database->second;
        }
        if (const auto copy = copies_.find(store); copy != copies_.end()) {
            lane.copy = copy->second.progress;
            lane.copy_since = copy->second.since;
        }
        lane.copying = copying_.contains(store);
        lane.settling = order_.recovery().is_settling(store);
        lane.behind_gap = store.kind == StoreKind::Database && order_.have_rows_passed_gap();
        lane.took = order_.latencies(store).lately(clock_.steady_now());
        lanes.push_back(std::move(lane));
    }
    return lanes;
}

Latencies::Total Receiver::latencies(const StoreId& store) const {
    std::scoped_lock lock(mutex_);
    return order_.latencies(store).total();
}

Position Receiver::accepted() const {
    std::scoped_lock lock(mutex_);
    return order_.accepted();
}

Position Receiver::passed(const StoreId& store) const {
    std::scoped_lock lock(mutex_);
    const auto& lanes = order_.recovery().lanes();
    const auto lane = lanes.find(store);
    return lane == lanes.end() ? Position{} : lane->second.reached;
}

Lsn Receiver::applied_lsn(const StoreId& store) const {
    std::scoped_lock lock(mutex_);
    const auto database = databases_.find(store);
    return database == databases_.end() ? Lsn{} : database->second.lsn;
}

bool Receiver::brings_rows_before_gap(const StoreId& store) const {
    std::scoped_lock lock(mutex_);
    const auto gap = registry_.gap(store);
    return gap && order_.brings_rows_before(store, gap->at);
}

std::optional<TimePoint> Receiver::recovery_point() const {
    std::scoped_lock lock(mutex_);
    return copying_.empty() ? order_.recovery().value() : std::nullopt;
}

}  // namespace antipode::secondary
