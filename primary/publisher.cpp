#include "primary/publisher.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "base/limits.hpp"
#include "protocol/stream_search.hpp"

namespace antipode::primary {
namespace {

constexpr size_t inbox_bytes = 64 * limits::mib;
constexpr size_t rows_bytes = 32 * limits::mib;
constexpr size_t inputs_at_once = 256;
constexpr size_t rows_at_once = 512;
constexpr size_t reads_queued = 64;
/// So long an append waits for readings that have begun: what is small then shares the append, and
/// its sync, with its announcement.
constexpr std::chrono::milliseconds reading_time(2);
/// A push takes longer to read than a file, and longer than rows may wait.
constexpr std::chrono::milliseconds reading_time_of_push(8);
constexpr std::chrono::seconds purge_interval(10);
/// Who is woken when there is work need not look for it.
constexpr int idle_waits = 5;
constexpr std::chrono::milliseconds show_interval(100);
constexpr size_t problems_shown = 20;
/// Of the stream that is read back: longer than it takes to see that it is damaged.
constexpr unsigned most_waits = 40;

size_t is_of_push(const ReadTask& task) {
    return task.store.kind == StoreKind::Repositories ? 1 : 0;
}

size_t weight_of(const ReadOutcome& outcome) {
    return outcome.reading ? 256 + outcome.reading->payload.ByteSizeLong() : 256;
}

size_t weight_of(const DatabaseEvent& event) {
    const auto* transaction = std::get_if<CapturedTransaction>(&event);
    return transaction == nullptr ? 64 : 256 + transaction->transaction.ByteSizeLong();
}

/// Of items that are there: those whose removal was published too are not.
void note_published(const protocol::Event& event,
                    std::map<std::pair<StoreId, std::string>, Position>& published) {
    const std::string* const item = protocol::item_of(event.payload);
    if (item == nullptr || !event.store || event.payload.has_unchanged() ||
        event.payload.has_unreadable()) {
        return;
    }
    const std::pair place{*event.store, *item};
    if (protocol::is_removal(event.payload)) {
        published.erase(place);
    } else {
        published[place] = event.position;
    }
}

std::optional<TimePoint> known(TimePoint time) {
    return time == TimePoint{} ? std::nullopt : std::optional(time);
}

}  // namespace

Publisher::Publisher(Options options, Stream& stream, Inventory& inventory,
                     std::vector<DatabaseCapture*> databases, std::vector<ItemCapture*> items,
                     const Clock& clock)
    : options_(std::move(options)),
      stream_(stream),
      inventory_(inventory),
      databases_(std::move(databases)),
      items_(std::move(items)),
      clock_(clock),
      inbox_(inbox_bytes),
      writer_(stream),
      notifications_(inventory) {
    for (const DatabaseCapture* capture : databases_) {
        rows_[capture->store()] = std::make_unique<DatabaseInbox>(rows_bytes);
    }
    for (ItemCapture* capture : items_) {
        work_[capture->store()] = std::make_unique<ItemWork>(*capture);
    }
}

/// What was published and not recorded, because this site died in between or lost its memory of the
/// moment before: an item that is gone by now would stay on secondaries. False: not all was seen.
bool Publisher::take_in_unrecorded(const Stream::Info& info) {
    const Position recorded = inventory_.recorded_through();
    uint64_t next =
        protocol::find_behind(stream_, options_.cluster, options_.epoch, recorded).sequence;
    std::map<std::pair<StoreId, std::string>, Position> published;
    protocol::Assembler assembler;
    while (next <= info.last_sequence) {
        const auto messages = stream_.read(next, limits::wait);
        if (messages.empty()) {
            return false;
        }
        for (const StoredMessage& stored : messages) {
            next = stored.sequence + 1;
            auto opened = protocol::open(stored.bytes, options_.cluster, options_.epoch);
            if (const auto* message = std::get_if<protocol::Message>(&opened)) {
                const auto added = assembler.add(*message);
                if (const auto* events = std::get_if<std::vector<protocol::Event>>(&added)) {
                    for (const protocol::Event& event : *events) {
                        note_published(event, published);
                    }
                }
            }
        }
    }
    std::vector<Inventory::Record> records;
    for (const auto& [item, position] : published) {
        records.push_back({item.first, item.second, {}, position});
    }
    inventory_.take_in(records);
    return true;
}

void Publisher::begin_session() {
    const Stream::Info info = writer_.begin();
    const auto joins = protocol::find_newest(stream_, options_.cluster, options_.epoch, info);
    // What the inventory believes to be published behind the stream's end is lost with it.
    inventory_.forget_after(joins ? joins->position : Position{});
    const uint64_t after = joins ? joins->position.session + 1 : 0;
    // An inventory that is older than the stream does not know what it lacks: items that are gone
    // by now would stay on secondaries. A session that does not join makes them compare.
    const bool forgot =
        joins && (joins->position.session > inventory_.last_session() || !take_in_unrecorded(info));
    const auto now = static_cast<uint64_t>(to_microseconds(clock_.now()));
    const uint64_t session = inventory_.next_session(std::max(after, now));
    for (const auto& [store, rows] : rows_) {
        rows->restart = true;
    }
    outgoing_.clear();
    append_at_ = {};
    problem_.reset();
    sequencer_ = std::make_unique<Sequencer>(
        Sequencer::Options{.cluster = options_.cluster,
                           .site = options_.site,
                           .version = options_.version,
                           .epoch = options_.epoch,
                           .session = session,
                           .joins = forgot ? std::nullopt : joins,
                           .marker_interval = options_.marker_interval,
                           .reconcile_interval = options_.reconcile_interval,
                           .deletion_limits = options_.deletion_limits},
        databases_, items_, inventory_, clock_, &events_);
    notifications_.begin_again(*sequencer_);
    spdlog::info("publisher: session {} begins, {}", session,
                 forgot  ? "does not join: the inventory is older than the stream"
                 : joins ? "joins on to " + joins->position.to_string()
                         : "the stream is empty");
}

void Publisher::run(const std::stop_token& stop, Worker::Progress progress) {
    begin_session();
    while (!stop.stop_requested()) {
        if (const auto problem = step(stop)) {
            progress.waiting_for(problem->what(), problem->next_step());
        } else {
            progress.healthy();
        }
    }
}

std::optional<Error> Publisher::step(const std::stop_token& stop) {
    if (outgoing_.empty()) {
        take_in(stop);
        outgoing_ = sequencer_->take_outgoing();
    } else if (clock_.steady_now() < append_at_) {
        sleep_unless_stopped(options_.wait, stop);
        return problem_;
    }
    problem_ = append();
    for (const auto& [store, lane] : sequencer_->items()) {
        if (lane.has_ready_read() && work_.at(store)->reads.size() < reads_queued) {
            inbox_.poke();  // it changed again while it was published: the next step is due at once
        }
    }
    notifications_.look(*sequencer_);
    show();
    return problem_;
}

std::optional<Error> Publisher::append() {
    try {
        while (!outgoing_.empty()) {
            writer_.append(outgoing_);
        }
        sequencer_->stored();
        look_back();
        purge();
    } catch (const DamagedStream& damaged) {
        spdlog::warn("publisher: {}; the stream is made anew", damaged.what());
        stream_.make_anew();
        throw Error(Reaction::Resync, damaged.what());
    } catch (const Error& error) {
        if (error.reaction() != Reaction::Retry) {
            throw;
        }
        is_to_look_back_ = true;
        append_at_ = clock_.steady_now() + backoff_.next();
        return error;
    }
    backoff_.reset();
    return std::nullopt;
}

/// The broker was away, and may have damaged files now: secondaries would wait in vain for what
/// they have not relayed yet. Throws DamagedStream.
void Publisher::look_back() {
    if (!std::exchange(is_to_look_back_, false)) {
        return;
    }
    const uint64_t last = writer_.last_sequence();
    uint64_t next =
        protocol::find_behind(stream_, options_.cluster, options_.epoch, applied_everywhere_.copy())
            .sequence;
    next = std::max(next, last - std::min(last, limits::stream_margin_messages));
    for (unsigned waits = 0; next <= last && waits < most_waits;) {
        const auto messages = stream_.read(next, limits::wait);
        if (messages.empty()) {
            ++waits;
        } else {
            next = messages.back().sequence + 1;
        }
    }
}

void Publisher::purge() {
    if (clock_.steady_now() < purge_at_) {
        return;
    }
    purge_at_ = clock_.steady_now() + purge_interval;
    inventory_.set_recorded_through(sequencer_->head());
    const Position applied = applied_everywhere_.copy();
    if (applied.is_origin()) {
        return;
    }
    inventory_.drop_removed_through(applied);
    protocol::purge_through(stream_, options_.cluster, options_.epoch, applied);
}

void Publisher::take_in(const std::stop_token& stop) {
    take_inputs(rest(), stop);
    is_to_look_ = false;
    const bool took_rows = take_rows(stop);
    if (reconcile_soon_.exchange(false)) {
        sequencer_->reconcile_now();
    }
    sequencer_->look_around();
    hand_out_work(stop);
    await_readings(took_rows, stop);
}

/// How long to wait for something to come in.
std::chrono::milliseconds Publisher::rest() const {
    if (options_.wait.count() == 0 || !sequencer_->is_at_rest()) {
        return options_.wait;
    }
    const auto until_marker = sequencer_->marker_due() - clock_.steady_now();
    return std::clamp(std::chrono::ceil<std::chrono::milliseconds>(until_marker),
                      std::chrono::milliseconds(1), options_.wait * idle_waits);
}

void Publisher::await_readings(bool took_rows, const std::stop_token& stop) {
    if (reading_ == 0 || options_.wait < reading_time) {
        return;
    }
    const SteadyTime begun = clock_.steady_now();
    for (SteadyTime now = begun; reading_ > 0; now = clock_.steady_now()) {
        const bool is_push = reading_pushes_ > 0 && !took_rows && !rows_wait();
        const SteadyTime end = std::max(
            begun + reading_time, is_push ? push_begun_ + reading_time_of_push : SteadyTime{});
        if (now >= end) {
            break;
        }
        take_inputs(std::chrono::ceil<std::chrono::milliseconds>(end - now), stop);
        hand_out_work(stop);
    }
    if (is_to_look_ || rows_wait()) {
        inbox_.poke();  // it was said meanwhile, and nobody looked
    }
}

bool Publisher::rows_wait() const {
    return std::any_of(rows_.begin(), rows_.end(), [](const auto& rows) {
        return !rows.second->restart && rows.second->events.size() > 0;
    });
}

void Publisher::take_inputs(std::chrono::milliseconds wait, const std::stop_token& stop) {
    for (Input& input : inbox_.take(inputs_at_once, wait, stop)) {
        if (const auto* want = std::get_if<v1::Want>(&input)) {
            if (const auto database = sequencer_->add(*want)) {
                rows_.at(*database)->restart = true;
            }
        } else if (auto* reading = std::get_if<ReadOutcome>(&input)) {
            reading_ -= std::min<size_t>(reading_, 1);
            reading_pushes_ -= std::min<size_t>(reading_pushes_, is_of_push(reading->task));
            sequencer_->add(std::move(*reading));
        } else if (const auto* released = std::get_if<ReleasedDeletions>(&input)) {
            sequencer_->release_deletions(released->store);
        } else if (auto* notification = std::get_if<Notification>(&input)) {
            notifications_.add(*sequencer_, std::move(*notification));
        } else {
            sequencer_->add(std::move(std::get<ReconcileOutcome>(input)));
        }
    }
}

bool Publisher::take_rows(const std::stop_token& stop) {
    bool took = false;
    for (auto& [store, rows] : rows_) {
        if (rows->restart) {
            continue;  // what is queued belongs to the session before; the capture thread drops it
        }
        auto events = rows->events.take(rows_at_once, std::chrono::milliseconds(0), stop);
        if (!events.empty()) {
            sequencer_->add(store, std::move(events));
            inbox_.poke();
            took = true;
        }
    }
    return took;
}

void Publisher::hand_out_work(const std::stop_token& stop) {
    for (auto& [store, work] : work_) {
        work->capture.waiting(sequencer_->ready_reads(store));
        while (work->reads.size() < reads_queued) {
            auto task = sequencer_->next_read(store);
            if (!task) {
                break;
            }
            work->reads.push(*task, 1, limits::wait, stop);
            ++reading_;
            if (is_of_push(*task) > 0) {
                ++reading_pushes_;
                push_begun_ = clock_.steady_now();
            }
        }
    }
    for (const StoreId& store : sequencer_->begin_reconciles()) {
        ReconcileTask task{sequencer_->head().session};
        work_.at(store)->reconciles.take(1, std::chrono::milliseconds(0), stop);
        work_.at(store)->reconciles.push(task, 1, limits::wait, stop);
    }
}

void Publisher::capture_database(DatabaseCapture& capture, const std::stop_token& stop) {
    DatabaseInbox& rows = *rows_.at(capture.store());
    if (rows.restart) {
        rows.events.take(SIZE_MAX, std::chrono::milliseconds(0), stop);
        capture.restart();
        rows.restart = false;
    }
    for (DatabaseEvent& event : capture.poll(options_.wait)) {
        const size_t weight = weight_of(event);
        while (!rows.restart && !stop.stop_requested() &&
               !rows.events.push(event, weight, limits::wait, stop)) {
            capture.keep_alive();
        }
    }
    poke();
}

void Publisher::capture_items(ItemCapture& capture, const std::stop_token& stop) {
    ItemWork& work = *work_.at(capture.store());
    for (ReadTask& task : work.reads.take(1, options_.wait * idle_waits, stop)) {
        ReadOutcome outcome{task, std::nullopt, {}, {}};
        try {
            outcome.reading = capture.read(task.item, task.whole, stop);
        } catch (const Error& error) {
            // One item that cannot be read must not stop the others: it is tried again.
            outcome.problem = error.what();
            outcome.next_step = error.next_step();
        }
        hand_over(std::move(outcome), stop);
    }
}

std::optional<Error> Publisher::reconcile(ItemCapture& capture, const std::stop_token& stop) {
    ItemWork& work = *work_.at(capture.store());
    std::optional<Error> problem;
    for (const ReconcileTask& task : work.reconciles.take(1, options_.wait * idle_waits, stop)) {
        ReconcileOutcome outcome{capture.store(), task.session, {}, {}, {}};
        try {
            outcome.noticed = capture.reconcile(stop);
        } catch (const Error& error) {
            outcome.problem = error.what();
            outcome.next_step = error.next_step();
            problem = error;
        }
        hand_over(std::move(outcome), stop);
    }
    return problem;
}

void Publisher::hand_over(Input input, const std::stop_token& stop) {
    const auto* reading = std::get_if<ReadOutcome>(&input);
    const size_t weight = reading == nullptr ? 256 : weight_of(*reading);
    while (!inbox_.push(input, weight, limits::wait, stop) && !stop.stop_requested()) {
    }
}

bool Publisher::notify(Notification notification) {
    const size_t weight = notification.weight();
    Input input = std::move(notification);
    return inbox_.push(input, weight, limits::wait, {});
}

bool Publisher::want(v1::Want want) {
    const size_t weight = want.ByteSizeLong();
    Input input = std::move(want);
    return inbox_.push(input, weight, limits::wait, {});
}

uint64_t Publisher::deletions_to_decide(const StoreId& store, bool release) const {
    const auto withheld = inventory_.withheld(store);
    return withheld.held + (release ? withheld.discarded : 0);
}

uint64_t Publisher::decide_deletions(const StoreId& store, Inventory::Decision decision) {
    uint64_t count = inventory_.decide(store, decision);
    if (decision == Inventory::Decision::Released) {
        count += inventory_.release_discarded(store);
        // When there is no room for it, the next reconcile finds them to be gone, and released.
        Input released = ReleasedDeletions{store};
        inbox_.push(released, 1, limits::wait, {});
    }
    return count;
}

void Publisher::show() {
    const SteadyTime now = clock_.steady_now();
    if (now < show_at_) {
        return;
    }
    show_at_ = now + show_interval;
    const Sequencer& sequencer = *sequencer_;
    const Position head = sequencer.head();
    PublisherStatus status{head, {}, clock_.now()};
    for (const auto& [store, database] : sequencer.databases()) {
        PublisherStatus::Lane lane;
        lane.store = store;
        lane.head = {head.epoch, head.session, database.head};
        lane.captured_through = known(database.captured_through);
        lane.decoded = database.decoded;
        lane.stored = database.stored;
        lane.last_commit = database.last_commit;
        lane.last_change = database.last_change;
        lane.published = database.transactions;
        lane.problem = database.problem;
        lane.next_step = database.next_step;
        status.lanes.push_back(std::move(lane));
    }
    for (const auto& [store, items] : sequencer.items()) {
        PublisherStatus::Lane lane;
        lane.store = store;
        lane.head = {head.epoch, head.session, items.completeness.head};
        lane.captured_through = known(items.completeness.captured_through);
        lane.reconciled_from = items.completeness.steady_proven_at;
        lane.unfinished = items.unfinished();
        lane.withheld = inventory_.withheld(store);
        for (const auto decision : {Inventory::Decision::Held, Inventory::Decision::Discarded}) {
            inventory_.for_each_withheld(store, decision, [&](const Inventory::Withheld& item) {
                if (lane.withheld_examples.size() < problems_shown) {
                    lane.withheld_examples.push_back(item.item);
                }
                return lane.withheld_examples.size() < problems_shown;
            });
        }
        lane.problem = items.completeness.problem;
        lane.next_step = items.completeness.next_step;
        lane.problems = items.problems(problems_shown);
        status.lanes.push_back(std::move(lane));
    }
    status_.with([&](PublisherStatus& shared) { shared = std::move(status); });
}

}  // namespace antipode::primary
