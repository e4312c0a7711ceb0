#include <algorithm>
#include <iterator>

#include "base/error.hpp"
#include "protocol/stream_search.hpp"
#include "secondary/receiver.hpp"

/// What comes in: messages are read from this site's stream, joined, and taken apart.
namespace antipode::secondary {
namespace {

/// So many events come in before those who apply them are told.
constexpr uint32_t events_at_once = 2048;
/// Between two looks whether the stream is as long as it was, while nothing comes.
constexpr std::chrono::milliseconds look_interval(1000);

}  // namespace

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
    if (unread_.empty()) {
        auto messages = stream_.read(next_, options_.wait);
        unread_.assign(std::make_move_iterator(messages.begin()),
                       std::make_move_iterator(messages.end()));
    }
    if (unread_.empty() && clock_.steady_now() >= look_at_) {
        look_at_ = clock_.steady_now() + look_interval;
        if (stream_.info().last_sequence + 1 < next_) {
            search();  // the stream lost its end, or was made anew
        }
    }
    take_in_unread();
}

/// What many events share may be more than there is room for: the rest stays for the next step.
void Receiver::take_in_unread() {
    const auto has_room = [this] {
        std::scoped_lock lock(mutex_);
        return order_.has_room();
    };
    uint32_t events = 0;
    bool any = false;
    while (!unread_.empty() && events < events_at_once && (!any || has_room())) {
        const StoredMessage stored = std::move(unread_.front());
        unread_.pop_front();
        any = true;
        next_ = stored.sequence + 1;
        auto opened = protocol::open(stored.bytes, options_.cluster, options_.epoch);
        // The relay stores only what it has checked; what is damaged since leaves a gap.
        const auto* message = std::get_if<protocol::Message>(&opened);
        if (message != nullptr && !accept(*message, stored)) {
            unread_.clear();
            break;
        }
        events += message == nullptr ? 1 : std::max(1U, message->envelope.events());
    }
    if (any) {
        changed_.notify_all();
    }
}

void Receiver::search() {
    next_ = protocol::find_behind(stream_, options_.cluster, options_.epoch,
                                  last_ ? last_->position : Position{})
                .sequence;
}

/// A marker from there would find that rows are missing.
bool Receiver::is_behind_end(const protocol::Event& event) const {
    return std::any_of(options_.ends.begin(), options_.ends.end(), [&](const auto& end) {
        return event.position > end.second &&
               (event.store ? *event.store == end.first : event.payload.has_marker());
    });
}

/// An epoch's stream begins with what changes then. Who brings nothing along from the epoch before
/// (a site that is new, or has lost what it knew) lacks all else. Rows are found missing one by
/// one.
void Receiver::note_earlier_epochs(const protocol::Message& first) {
    for (const StoreId& store : stores_) {
        if (store.kind != StoreKind::Database && registry_.lane(store).finished.is_origin()) {
            registry_.set_gap(store, first.first(), clock_.now());
        }
    }
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
            const auto joining = protocol::find_joining(stream_, options_.cluster, options_.epoch,
                                                        *last_, stored.sequence);
            if (joining) {
                next_ = *joining;
                return false;
            }
            next_ = stored.sequence + 1;
        }
        assembler_.reset();
        event_bytes_ = 0;
        for (const StoreId& store : stores_) {
            if (registry_.lane(store).finished < message.first()) {
                registry_.set_gap(store, message.first(), clock_.now());
            }
        }
    }
    if (!last_ && message.position().epoch > 1) {
        note_earlier_epochs(message);
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
    auto& events = std::get<std::vector<protocol::Event>>(assembled);
    if (events.empty()) {
        return true;
    }
    const size_t bytes = std::exchange(event_bytes_, 0) / events.size();
    std::scoped_lock lock(mutex_);
    for (protocol::Event& event : events) {
        read_through_ = event.position;
        if (is_behind_end(event)) {
            continue;
        }
        events_.note(event.position, event.store, event.captured_at, event.payload);
        note_unnoticed(event);
        order_.accept(std::move(event), bytes);
    }
    if (message.store == std::nullopt) {
        order_.update_recovery();
    }
    return true;
}

/// Of what came and went while the primary did not look there is no event; rows may name it for as
/// long as their own removal has not been applied. It may have happened since whatever was proven
/// last when the primary said that anything may have changed.
void Receiver::note_unnoticed(const protocol::Event& event) {
    if (!event.store || event.position <= noted_through_) {
        return;  // read again: it was told
    }
    noted_through_ = event.position;
    const v1::Payload& payload = event.payload;
    if (payload.has_announcement() && payload.announcement().items_size() == 1 &&
        payload.announcement().items(0) == protocol::whole_store) {
        unsure_since_.emplace(*event.store, proven_through(*event.store));
    } else if (payload.reconciled().fulfils().through() != 0) {
        const auto unsure = unsure_since_.extract(*event.store);
        tell_unnoticed(*event.store, unsure ? unsure.mapped() : std::nullopt, event.captured_at);
    }
}

std::optional<TimePoint> Receiver::proven_through(const StoreId& store) const {
    const auto lane = order_.recovery().lanes().find(store);
    return lane != order_.recovery().lanes().end() && lane->second.proven_through
               ? lane->second.proven_through
               : order_.recovery().value();
}

void Receiver::tell_unnoticed(const StoreId& store, const std::optional<TimePoint>& since,
                              TimePoint until) {
    // A clock may have been set back.
    const std::string between =
        since && *since < until ? "between " + to_iso8601(*since) + " and " : "before ";
    events_.tell(store, "unnoticed",
                 "the primary may have missed what was made and removed again " + between +
                     to_iso8601(until),
                 until);
}

}  // namespace antipode::secondary
