#include "secondary/relay.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "base/limits.hpp"
#include "protocol/stream_search.hpp"

namespace antipode::secondary {
namespace {

constexpr std::chrono::seconds look_around(5);

/// Decodes whole payloads, for the few kinds of message that the relay must look into.
std::vector<protocol::Event> events_of(const protocol::Message& message) {
    protocol::Assembler assembler;
    auto added = assembler.add(message);
    auto* events = std::get_if<std::vector<protocol::Event>>(&added);
    return events == nullptr ? std::vector<protocol::Event>{} : std::move(*events);
}

}  // namespace

Relay::Relay(Options options, Stream& upstream, Stream& local, Pulls& pulls, Registry& registry,
             std::function<void()> on_relayed, const Clock& clock)
    : options_(std::move(options)),
      upstream_(upstream),
      local_(local),
      pulls_(pulls),
      registry_(registry),
      on_relayed_(std::move(on_relayed)),
      clock_(clock),
      writer_(local) {}

RelayStatus Relay::status() const {
    return status_.copy();
}

Position Relay::finished_everywhere() const {
    std::optional<Position> least;
    for (const StoreId& store : options_.stores) {
        const Position finished = registry_.lane(store).finished;
        least = least ? std::min(*least, finished) : finished;
    }
    return least.value_or(Position{});
}

void Relay::begin() {
    cursor_ = {};
    if (is_local_doubted_) {
        replace_local();
    }
    const Stream::Info info = writer_.begin();
    const Position finished = finished_everywhere();
    purge();  // one that is full takes nothing more
    cursor_.last = protocol::find_newest(local_, options_.cluster, options_.epoch, info);
    // When this site's stream is empty or new, go on from what is applied.
    const Position position = cursor_.last ? cursor_.last->position : finished;
    const auto place = protocol::find_behind(upstream_, options_.cluster, options_.epoch, position);
    cursor_.next = place.sequence;
    if (!cursor_.last) {
        cursor_.last = place.last;
    }
    status_.with([&](RelayStatus& status) {
        status.begun = true;
        status.relayed = cursor_.last ? cursor_.last->position : Position{};
        status.safe.lsns.clear();  // this site's stream may have lost what was safe
    });
    noted_.clear();
    name_contents_since(finished);
    pulls_.drop_unwanted();
    advance_safe();
}

void Relay::replace_local() {
    upstream_.info();  // throws while nobody could bring again what is given up here
    spdlog::warn(
        "relay: this site's stream is damaged; it is made anew, and the primary's is read again");
    local_.make_anew();
    is_local_doubted_ = false;
}

void Relay::name_contents_since(const Position& position) {
    uint64_t next =
        protocol::find_behind(local_, options_.cluster, options_.epoch, position).sequence;
    const uint64_t end = local_.info().last_sequence;
    while (next <= end) {
        const auto messages = local_.read(next, limits::wait);
        if (messages.empty()) {
            // What is not named would be taken for safe, or for wanted by nobody.
            throw Error(Reaction::Retry, "this site's stream is not read to its end in time");
        }
        for (const StoredMessage& stored : messages) {
            auto opened = protocol::open(stored.bytes, options_.cluster, options_.epoch);
            if (const auto* message = std::get_if<protocol::Message>(&opened)) {
                want_content(*message, true);
                note(*message);
            }
        }
        next = messages.back().sequence + 1;
    }
}

void Relay::run(const std::stop_token& stop, Worker::Progress progress) {
    begin();
    while (!stop.stop_requested()) {
        progress.healthy();
        step();
    }
}

void Relay::step() {
    if (is_local_doubted_) {
        begin();
    }
    if (cursor_.outgoing.empty()) {
        check(upstream_.read(cursor_.next, options_.wait));
    }
    store();
    advance_safe();
    if (clock_.steady_now() >= cursor_.look_at) {
        check_upstream();
        purge();
        cursor_.look_at = clock_.steady_now() + look_around;
    }
}

void Relay::check(std::vector<StoredMessage> messages) {
    for (StoredMessage& stored : messages) {
        cursor_.next = stored.sequence + 1;
        auto opened = protocol::open(stored.bytes, options_.cluster, options_.epoch);
        if (const auto* refusal = std::get_if<protocol::Refusal>(&opened)) {
            if (*refusal == protocol::Refusal::NewerVersion && !cursor_.outgoing.empty()) {
                cursor_.next = stored.sequence;  // what came before is stored first
                return;
            }
            refuse(*refusal, stored.sequence);
            continue;
        }
        auto& message = std::get<protocol::Message>(opened);
        const auto joins = protocol::continuity(cursor_.last, message);
        if (joins == protocol::Continuity::Repeated) {
            continue;
        }
        if (joins == protocol::Continuity::Broken) {
            if (went_back(stored.sequence)) {
                return;
            }
            note_gap(message);
        }
        cursor_.last = protocol::ChainPoint{message.position(), message.hash};
        cursor_.outgoing.push_back(
            {protocol::stream_subject(options_.cluster, options_.epoch, message.store),
             std::move(stored.bytes)});
        cursor_.accepted.push_back(std::move(message));
    }
}

bool Relay::went_back(uint64_t sequence) {
    // When the stream was written again from an earlier place on, nothing is missing: it is there.
    if (cursor_.last) {
        cursor_.next = protocol::find_behind(upstream_, options_.cluster, options_.epoch,
                                             cursor_.last->position)
                           .sequence;
        if (cursor_.next < sequence) {
            return true;
        }
        const auto joining = protocol::find_joining(upstream_, options_.cluster, options_.epoch,
                                                    *cursor_.last, sequence);
        if (joining) {
            cursor_.next = *joining;
            return true;
        }
    }
    cursor_.next = sequence + 1;
    return false;
}

void Relay::store() {
    if (cursor_.accepted.empty()) {
        return;
    }
    size_t bytes = 0;
    for (const OutgoingMessage& message : cursor_.outgoing) {
        bytes += message.bytes.size();
    }
    // Before anybody can have applied them, and wants it no more.
    for (const protocol::Message& message : cursor_.accepted) {
        want_content(message, false);
    }
    try {
        while (!cursor_.outgoing.empty()) {
            writer_.append(cursor_.outgoing);
        }
    } catch (const DamagedStream&) {
        doubt_local();
        throw;
    }
    for (const protocol::Message& message : cursor_.accepted) {
        note(message);
    }
    status_.with([&](RelayStatus& status) {
        status.relayed = cursor_.accepted.back().position();
        status.relayed_captured_at =
            from_microseconds(cursor_.accepted.back().envelope.captured_at_us());
        status.messages += cursor_.accepted.size();
        status.bytes += bytes;
    });
    cursor_.accepted.clear();
    on_relayed_();
}

/// Of what is read again: nobody would take its content, nor let go of it. (Who applies it once
/// more asks for that himself.)
bool Relay::is_applied(const protocol::Event& event, bool again) const {
    const bool is_past = event.position <= registry_.lane(*event.store).finished;
    if (is_past || !again) {
        return is_past;
    }
    const auto state = registry_.find(*event.store, *protocol::item_of(event.payload));
    return state && state->position >= event.position;
}

void Relay::want_content(const protocol::Message& message, bool again) {
    if (!message.store || message.envelope.pull_bytes() == 0) {
        return;
    }
    // Large ones carry references instead of contents.
    for (const protocol::Event& event : events_of(message)) {
        const auto contents = protocol::pulled_contents(event.payload);
        if (contents.empty() || is_applied(event, again)) {
            continue;
        }
        for (const v1::Content* content : contents) {
            pulls_.want(*message.store, event.position, *content);
        }
    }
}

void Relay::note(const protocol::Message& message) {
    const v1::Envelope& envelope = message.envelope;
    if (message.store && envelope.end_lsn() != 0) {
        noted_.push_back({message.position(), *message.store, Lsn{envelope.end_lsn()}});
    }
    if (message.store) {
        return;
    }
    for (const protocol::Event& event : events_of(message)) {
        for (const v1::Marker::Lane& lane : event.payload.marker().lanes()) {
            const auto store = StoreId::parse(lane.store());
            if (store && lane.decoded_through_lsn() != 0) {
                noted_.push_back({event.position, *store, Lsn{lane.decoded_through_lsn()}});
            }
        }
    }
}

void Relay::note_gap(const protocol::Message& message) {
    spdlog::warn("relay: events are missing before {}; every store is compared with the primary",
                 message.first().to_string());
    for (const StoreId& store : options_.stores) {
        registry_.set_gap(store, message.first(), clock_.now());
    }
    status_.with([](RelayStatus& status) { ++status.gaps; });
}

void Relay::refuse(protocol::Refusal refusal, uint64_t sequence) {
    const std::string reason(protocol::to_string(refusal));
    if (refusal == protocol::Refusal::NewerVersion) {
        throw Error(Reaction::Stop,
                    "message " + std::to_string(sequence) + " of the primary's stream: " + reason,
                    "upgrade Antipode on this site");
    }
    const bool news = status_.with([&](RelayStatus& status) {
        ++status.refused;
        return std::exchange(status.refusal, reason) != reason;
    });
    if (news) {
        spdlog::warn("relay: message {} of the primary's stream is refused: {}. Try: {}", sequence,
                     reason, refusal_remedy);
    }
}

void Relay::check_upstream() {
    if (upstream_.info().last_sequence + 1 < cursor_.next) {
        throw Error(Reaction::Retry,
                    "the primary's stream went back in time (its broker lost "
                    "messages, or it was made anew); reading it again");
    }
}

void Relay::purge() {
    protocol::purge_through(local_, options_.cluster, options_.epoch, finished_everywhere());
}

void Relay::advance_safe() {
    const auto missing = pulls_.oldest_missing();
    std::optional<Safe> news;
    status_.with([&](RelayStatus& status) {
        const auto before = status.safe.lsns;
        while (!noted_.empty() && (!missing || noted_.front().position < *missing)) {
            // Behind a gap the slot must keep what may have to be sent again.
            if (!registry_.gap(noted_.front().store)) {
                Lsn& safe = status.safe.lsns[noted_.front().store];
                safe = std::max(safe, noted_.front().lsn);
            }
            noted_.pop_front();
        }
        // Messages between two events are numbered densely: the one before is safe.
        status.safe.position = status.relayed;
        if (missing) {
            const uint64_t before_it = missing->number > 0 ? missing->number - 1 : 0;
            status.safe.position =
                std::min(status.relayed, Position{missing->epoch, missing->session, before_it});
        }
        if (options_.on_safe && status.safe.lsns != before) {
            news = status.safe;
        }
    });
    if (!news) {
        return;
    }
    try {
        options_.on_safe(*news);
    } catch (const Error& error) {
        // This site's report brings it soon.
        spdlog::debug("relay: {}", error.what());
    }
}

}  // namespace antipode::secondary
