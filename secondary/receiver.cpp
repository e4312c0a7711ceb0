#include "secondary/receiver.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "base/limits.hpp"
#include "protocol/stream_search.hpp"

namespace antipode::secondary {
namespace {

/// A batch costs some syncs, however large it is.
constexpr size_t items_at_once = 512;
constexpr size_t item_bytes_at_once = 16 * limits::mib;
constexpr size_t transactions_at_once = 1000;
constexpr size_t transaction_bytes_at_once = 8 * limits::mib;
constexpr std::chrono::milliseconds persist_interval(1000);
/// Between two looks whether the stream is as long as it was, while nothing comes.
constexpr std::chrono::milliseconds look_interval(1000);

std::string copied_fact(const StoreId& store) {
    return "copied:" + store.to_string();
}

}  // namespace

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
        order_.recovery().restore(from_microseconds(std::stoll(*known)));
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
    event_bytes_ = 0;
    const auto place = protocol::find_behind(stream_, options_.cluster, options_.epoch, position);
    next_ = place.sequence;
    last_ = place.last;
}

void Receiver::run(const std::stop_token& stop, Worker::Progress progress) {
    begin(stop);
    while (!stop.stop_requested()) {
        step(stop);
        progress.healthy();
    }
}

void Receiver::step(const std::stop_token& stop) {
    {
        std::unique_lock lock(mutex_);
        order_.look_at_time();
        if (order_.wants_restart()) {
            lock.unlock();
            begin(stop);
            return;
        }
        if (const auto from = order_.read_skipped()) {
            read_behind(*from);
        }
        persist(clock_.steady_now());
        if (!order_.has_room()) {
            changed_.wait_for(lock, stop, options_.wait, [&] { return order_.has_room(); });
            return;
        }
    }
    const auto messages = stream_.read(next_, options_.wait);
    if (messages.empty() && clock_.steady_now() >= look_at_) {
        look_at_ = clock_.steady_now() + look_interval;
        if (stream_.info().last_sequence + 1 < next_) {
            search();  // the stream lost its end, or was made anew
        }
    }
    for (const StoredMessage& stored : messages) {
        next_ = stored.sequence + 1;
        auto opened = protocol::open(stored.bytes, options_.cluster, options_.epoch);
        // The relay stores only what it has checked; what is damaged since leaves a gap.
        const auto* message = std::get_if<protocol::Message>(&opened);
        if (message != nullptr && !accept(*message, stored)) {
            break;
        }
    }
    if (!messages.empty()) {
        changed_.notify_all();
    }
}

void Receiver::search() {
    next_ = protocol::find_behind(stream_, options_.cluster, options_.epoch,
                                  last_ ? last_->position : Position{})
                .sequence;
}

bool Receiver::accept(const protocol::Message& message, const StoredMessage& stored) {
    const auto joins = protocol::continuity(last_, message);
    if (joins == protocol::Continuity::Repeated) {
        return true;
    }
    if (joins == protocol::Continuity::Broken) {
        if (last_) {
            search();
            if (next_ < stored.sequence) {
                return false;  // the stream was written again from an earlier place on
            }
            next_ = stored.sequence + 1;
        }
        assembler_.reset();
        event_bytes_ = 0;
        for (const StoreId& store : stores_) {
            if (registry_.lane(store).finished < message.position()) {
                registry_.set_gap(store, message.position(), clock_.now());
            }
        }
    }
    last_ = protocol::ChainPoint{message.position(), message.hash};
    event_bytes_ += stored.bytes.size();
    auto assembled = assembler_.add(message);
    if (const auto* refusal = std::get_if<protocol::Refusal>(&assembled)) {
        throw Error(Reaction::Stop,
                    "event " + message.position().to_string() +
                        " cannot be decoded: " + std::string(protocol::to_string(*refusal)),
                    "compare the versions of Antipode on both sites (antipode version)");
    }
    auto& event = std::get<std::optional<protocol::Event>>(assembled);
    if (!event) {
        return true;
    }
    std::scoped_lock lock(mutex_);
    events_.note(event->position, event->store, event->captured_at, event->payload);
    order_.accept(std::move(*event), std::exchange(event_bytes_, 0));
    if (message.store == std::nullopt) {
        order_.update_recovery();
    }
    return true;
}

void Receiver::persist(SteadyTime now) {
    if (now < persist_at_) {
        return;
    }
    persist_at_ = now + persist_interval;
    for (const auto& [store, finished] : order_.finished()) {
        const Registry::LanePosition known = registry_.lane(store);
        Registry::LanePosition fresh{finished, known.transaction};
        if (const auto database = databases_.find(store); database != databases_.end()) {
            fresh.transaction = database->second.position;
        }
        if (fresh.finished != known.finished || fresh.transaction != known.transaction) {
            registry_.set_lane(store, fresh);
        }
    }
    look_at_gaps();
    order_.update_recovery();
    if (const auto point = order_.recovery().value()) {
        registry_.set_fact("recovery_point", std::to_string(to_microseconds(*point)));
    }
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

std::vector<ApplyOrder::Finished> Receiver::work_on(ItemApply& apply,
                                                    const std::vector<ApplyOrder::Task>& tasks,
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
        to_apply.push_back(task);
        items.push_back(std::get<ItemTask>(std::move(item)));
    }
    if (!items.empty()) {
        auto results = apply.apply(items, stop);
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
        return;
    }
    ++out_;
    lock.unlock();
    std::vector<ApplyOrder::Finished> finished;
    try {
        finished = work_on(apply, tasks, stop);
    } catch (...) {
        lock.lock();
        --out_;
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
    order_.finish_items(store, finished);
    changed_.notify_all();
    lock.unlock();
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
    if (was_copying || position.position < registry_.lane(store).transaction) {
        // The database knows best where it stands; its lane is read again from there.
        registry_.set_lane(store, {position.position, position.position});
        registry_.set_fact(copied_fact(store), "yes");
        order_.set_copying(store, true);
        order_.set_copying(store, false);
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

std::optional<TimePoint> Receiver::recovery_point() const {
    std::scoped_lock lock(mutex_);
    return copying_.empty() ? order_.recovery().value() : std::nullopt;
}

}  // namespace antipode::secondary
