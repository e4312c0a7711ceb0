#include "protocol/message.hpp"

#include "base/error.hpp"
#include "base/limits.hpp"
#include "protocol/codec.hpp"

namespace antipode::protocol {
namespace {

/// What an event's tag and length take at most.
constexpr size_t shared_event_bytes = 8;

/// Transactions, and what controls the stream, stand alone: others rely on it.
bool shares_messages(const std::optional<StoreId>& store) {
    return store && store->kind != StoreKind::Database;
}

std::string serialize(const google::protobuf::MessageLite& message) {
    std::string bytes;
    if (!message.SerializeToString(&bytes)) {
        throw Error(Reaction::Stop, "protobuf could not encode an event (over 2 GiB?)");
    }
    return bytes;
}

void set_payload(v1::Envelope& envelope, std::string_view share) {
    envelope.set_payload_size(share.size());
    if (auto compressed = compress(share)) {
        envelope.set_codec(v1::CODEC_ZSTD);
        envelope.set_payload(std::move(*compressed));
    } else {
        envelope.set_codec(v1::CODEC_NONE);
        envelope.set_payload(std::string(share));
    }
    envelope.set_payload_hash(std::string(view(sha256(envelope.payload()))));
}

std::optional<std::string> decoded_payload(const v1::Envelope& envelope) {
    switch (envelope.codec()) {
        case v1::CODEC_NONE:
            return envelope.payload();
        case v1::CODEC_ZSTD:
            return decompress(envelope.payload(), envelope.payload_size());
        default:
            return std::nullopt;
    }
}

bool within_limits(const v1::Envelope& envelope) {
    return envelope.payload_size() <= limits::message_payload_bytes &&
           envelope.fragments() <= limits::fragments &&
           envelope.events() <= limits::events_in_message &&
           (envelope.codec() != v1::CODEC_NONE ||
            envelope.payload_size() == envelope.payload().size());
}

/// The events that a message's payload holds, each with its place.
std::variant<std::vector<Event>, Refusal> split(const Message& message, v1::Payload payload) {
    const TimePoint captured_at = from_microseconds(message.envelope.captured_at_us());
    std::vector<Event> events;
    if (message.envelope.events() == 0) {
        if (payload.has_shared()) {
            return Refusal::Malformed;
        }
        events.push_back({message.position(), message.store, captured_at, std::move(payload)});
        return events;
    }
    auto& shared = *payload.mutable_shared()->mutable_events();
    if (static_cast<uint32_t>(shared.size()) != message.envelope.events()) {
        return Refusal::Malformed;
    }
    Position position = message.first();
    events.reserve(message.envelope.events());
    for (v1::Payload& event : shared) {
        if (event.has_shared()) {
            return Refusal::Malformed;
        }
        events.push_back({position, message.store, captured_at, std::move(event)});
        ++position.number;
    }
    return events;
}

}  // namespace

std::string_view to_string(Refusal refusal) {
    switch (refusal) {
        case Refusal::Malformed:
            return "it is truncated or no message of Antipode";
        case Refusal::TooLarge:
            return "it is larger than the protocol allows";
        case Refusal::WrongHash:
            return "its payload does not match its hash";
        case Refusal::ForeignCluster:
            return "it is from another cluster";
        case Refusal::OldEpoch:
            return "it is from another epoch";
        case Refusal::NewerVersion:
            return "it was written by a newer version of Antipode; upgrade this site";
    }
    return "?";
}

Sealer::Sealer(std::string cluster, uint64_t epoch, uint64_t session,
               std::optional<Sha256> previous)
    : cluster_(std::move(cluster)), head_{epoch, session, 0}, previous_(previous) {}

v1::Envelope Sealer::envelope(const std::optional<StoreId>& store, TimePoint captured_at) const {
    v1::Envelope envelope;
    envelope.set_version(1);
    envelope.set_cluster(cluster_);
    envelope.set_epoch(head_.epoch);
    envelope.set_session(head_.session);
    envelope.set_number(head_.number);
    envelope.set_fragments(1);
    if (store) {
        envelope.set_store(store->to_string());
    }
    envelope.set_captured_at_us(to_microseconds(captured_at));
    return envelope;
}

void Sealer::append(v1::Envelope& envelope, const v1::Payload& payload, std::string_view share) {
    if (previous_) {
        envelope.set_previous_hash(std::string(view(*previous_)));
    }
    for (const v1::Content* content : pulled_contents(payload)) {
        envelope.set_pull_bytes(envelope.pull_bytes() + std::max<uint64_t>(content->size(), 1));
    }
    set_payload(envelope, share);
    std::string bytes = serialize(envelope);
    previous_ = sha256(bytes);
    sealed_.push_back({StoreId::parse(envelope.store()), std::move(bytes), *previous_});
}

Position Sealer::add(const std::optional<StoreId>& store, TimePoint captured_at,
                     const v1::Payload& payload) {
    const size_t size = payload.ByteSizeLong() + shared_event_bytes;
    const bool may_share = shares_messages(store) && size <= limits::message_payload_bytes;
    const bool joins = may_share && shared_store_ == store &&
                       shared_bytes_ + size <= limits::message_payload_bytes &&
                       shared_.shared().events_size() < static_cast<int>(limits::events_in_message);
    if (!joins) {
        finish_shared();
    }
    if (may_share) {
        if (!joins) {
            shared_store_ = store;
            shared_captured_at_ = captured_at;
            shared_bytes_ = shared_event_bytes;
        }
        ++head_.number;
        shared_bytes_ += size;
        *shared_.mutable_shared()->add_events() = payload;
        return head_;
    }
    const std::string whole = serialize(payload);
    if (whole.size() > limits::payload_bytes) {
        throw Error(Reaction::Stop, "an event of " + std::to_string(whole.size()) +
                                        " bytes is larger than the protocol allows");
    }
    const size_t share_bytes = limits::message_payload_bytes;
    const size_t fragments = std::max<size_t>(1, (whole.size() + share_bytes - 1) / share_bytes);
    for (size_t fragment = 0; fragment < fragments; ++fragment) {
        ++head_.number;
        v1::Envelope message = envelope(store, captured_at);
        message.set_fragment(static_cast<uint32_t>(fragment));
        message.set_fragments(static_cast<uint32_t>(fragments));
        if (fragment + 1 == fragments && payload.has_transaction()) {
            message.set_end_lsn(payload.transaction().end_lsn());
        }
        append(message, payload,
               std::string_view(whole).substr(fragment * share_bytes, share_bytes));
    }
    return head_;
}

void Sealer::finish_shared() {
    const int events = shared_.shared().events_size();
    if (events == 0) {
        return;
    }
    v1::Envelope message = envelope(shared_store_, shared_captured_at_);
    if (events == 1) {
        const v1::Payload& only = shared_.shared().events(0);
        append(message, only, serialize(only));
    } else {
        message.set_version(wire_version);
        message.set_events(static_cast<uint32_t>(events));
        append(message, shared_, serialize(shared_));
    }
    shared_.Clear();
    shared_store_.reset();
}

std::vector<Sealer::Sealed> Sealer::take() {
    finish_shared();
    return std::exchange(sealed_, {});
}

std::vector<Sealer::Sealed> Sealer::seal(const std::optional<StoreId>& store, TimePoint captured_at,
                                         const v1::Payload& payload) {
    add(store, captured_at, payload);
    return take();
}

std::variant<Message, Refusal> open(std::string bytes, std::string_view cluster, uint64_t epoch) {
    if (bytes.size() > limits::message_bytes) {
        return Refusal::TooLarge;
    }
    Message message;
    v1::Envelope& envelope = message.envelope;
    if (!envelope.ParseFromString(bytes) || envelope.version() == 0) {
        return Refusal::Malformed;
    }
    if (envelope.version() > wire_version) {
        return Refusal::NewerVersion;
    }
    if (envelope.cluster() != cluster) {
        return Refusal::ForeignCluster;
    }
    if (envelope.epoch() != epoch) {
        return Refusal::OldEpoch;
    }
    if (!within_limits(envelope)) {
        return Refusal::TooLarge;
    }
    if (envelope.number() == 0 || envelope.fragment() >= envelope.fragments() ||
        envelope.events() > envelope.number() ||
        (envelope.events() > 0 && envelope.fragments() != 1)) {
        return Refusal::Malformed;
    }
    if (!envelope.store().empty()) {
        message.store = StoreId::parse(envelope.store());
        if (!message.store) {
            return Refusal::Malformed;
        }
    }
    if (envelope.events() > 0 && !shares_messages(message.store)) {
        return Refusal::Malformed;
    }
    if (envelope.payload_hash() != view(sha256(envelope.payload()))) {
        return Refusal::WrongHash;
    }
    message.hash = sha256(bytes);
    return message;
}

Continuity continuity(const std::optional<ChainPoint>& last, const Message& next) {
    if (!last) {
        const bool first = next.first().number == 1 && next.envelope.previous_hash().empty();
        return first ? Continuity::Joins : Continuity::Broken;
    }
    const Position position = next.position();
    const bool hash_joins = next.envelope.previous_hash() == view(last->hash);
    const bool same_session =
        position.epoch == last->position.epoch && position.session == last->position.session;
    if (same_session) {
        if (position.number <= last->position.number) {
            return Continuity::Repeated;
        }
        const bool next_number = next.first().number == last->position.number + 1;
        return next_number && hash_joins ? Continuity::Joins : Continuity::Broken;
    }
    if (position < last->position) {
        return Continuity::Repeated;
    }
    return next.first().number == 1 && hash_joins ? Continuity::Joins : Continuity::Broken;
}

std::variant<std::vector<Event>, Refusal> Assembler::add(const Message& message) {
    const v1::Envelope& envelope = message.envelope;
    if (envelope.fragment() == 0) {
        reset();
    }
    if (envelope.fragment() != next_) {
        reset();
        return std::vector<Event>{};
    }
    auto share = decoded_payload(envelope);
    if (!share || bytes_.size() + share->size() > limits::payload_bytes) {
        return Refusal::Malformed;
    }
    bytes_ += *share;
    ++next_;
    if (next_ < envelope.fragments()) {
        return std::vector<Event>{};
    }
    v1::Payload payload;
    const bool parsed = payload.ParseFromString(bytes_);
    reset();
    if (!parsed) {
        return Refusal::Malformed;
    }
    return split(message, std::move(payload));
}

void Assembler::reset() {
    bytes_.clear();
    next_ = 0;
}

std::vector<const v1::Content*> pulled_contents(const v1::Payload& payload) {
    std::vector<const v1::Content*> contents;
    if (payload.has_shared()) {
        for (const v1::Payload& event : payload.shared().events()) {
            const auto own = pulled_contents(event);
            contents.insert(contents.end(), own.begin(), own.end());
        }
    } else if (payload.has_blob_put()) {
        contents = {&payload.blob_put().content()};
    } else if (payload.has_ref_update()) {
        const v1::RefUpdate& update = payload.ref_update();
        contents = {&update.base(), &update.base_index(), &update.pack()};
    }
    std::erase_if(contents, [](const v1::Content* content) {
        return content->place_case() != v1::Content::kPull;
    });
    return contents;
}

v1::Fulfils* mutable_fulfils(v1::Payload& payload) {
    switch (payload.kind_case()) {
        case v1::Payload::kRefUpdate:
            return payload.mutable_ref_update()->mutable_fulfils();
        case v1::Payload::kRepositoryRemoved:
            return payload.mutable_repository_removed()->mutable_fulfils();
        case v1::Payload::kBlobPut:
            return payload.mutable_blob_put()->mutable_fulfils();
        case v1::Payload::kBlobRemoved:
            return payload.mutable_blob_removed()->mutable_fulfils();
        case v1::Payload::kUnchanged:
            return payload.mutable_unchanged()->mutable_fulfils();
        case v1::Payload::kUnreadable:
            return payload.mutable_unreadable()->mutable_fulfils();
        default:
            return nullptr;
    }
}

const v1::Fulfils* fulfils(const v1::Payload& payload) {
    switch (payload.kind_case()) {
        case v1::Payload::kRefUpdate:
            return &payload.ref_update().fulfils();
        case v1::Payload::kRepositoryRemoved:
            return &payload.repository_removed().fulfils();
        case v1::Payload::kBlobPut:
            return &payload.blob_put().fulfils();
        case v1::Payload::kBlobRemoved:
            return &payload.blob_removed().fulfils();
        case v1::Payload::kUnchanged:
            return &payload.unchanged().fulfils();
        case v1::Payload::kUnreadable:
            return &payload.unreadable().fulfils();
        case v1::Payload::kReconciled:
            return &payload.reconciled().fulfils();
        default:
            return nullptr;
    }
}

const std::string* item_of(const v1::Payload& payload) {
    switch (payload.kind_case()) {
        case v1::Payload::kRefUpdate:
            return &payload.ref_update().repository();
        case v1::Payload::kRepositoryRemoved:
            return &payload.repository_removed().repository();
        case v1::Payload::kBlobPut:
            return &payload.blob_put().path();
        case v1::Payload::kBlobRemoved:
            return &payload.blob_removed().path();
        case v1::Payload::kUnchanged:
            return &payload.unchanged().item();
        case v1::Payload::kUnreadable:
            return &payload.unreadable().item();
        default:
            return nullptr;
    }
}

bool is_removal(const v1::Payload& payload) {
    return payload.has_blob_removed() || payload.has_repository_removed();
}

std::string kind_of(const v1::Payload& payload) {
    const auto* field =
        v1::Payload::descriptor()->FindFieldByNumber(static_cast<int>(payload.kind_case()));
    return field == nullptr ? "unknown" : field->name();
}

std::string stream_name(std::string_view cluster, uint64_t epoch) {
    return "ANTIPODE_" + std::string(cluster) + "_" + std::to_string(epoch);
}

std::string stream_subject(std::string_view cluster, uint64_t epoch,
                           const std::optional<StoreId>& lane) {
    const std::string prefix =
        "antipode." + std::string(cluster) + ".e" + std::to_string(epoch) + ".";
    if (!lane) {
        return prefix + "control";
    }
    return prefix + std::string(antipode::to_string(lane->kind)) + "." + lane->name;
}

std::optional<StoreId> lane_of(std::string_view subject) {
    const size_t name = subject.rfind('.');
    const size_t kind = name == std::string_view::npos || name == 0 ? std::string_view::npos
                                                                    : subject.rfind('.', name - 1);
    if (kind == std::string_view::npos) {
        return std::nullopt;
    }
    return StoreId::parse(std::string(subject.substr(kind + 1, name - kind - 1)) + "/" +
                          std::string(subject.substr(name + 1)));
}

std::string all_subjects(std::string_view cluster, uint64_t epoch) {
    return "antipode." + std::string(cluster) + ".e" + std::to_string(epoch) + ".>";
}

std::string request_key(std::string_view site) {
    return "request." + std::string(site);
}
std::string answer_key(std::string_view site) {
    return "answer." + std::string(site);
}

std::string bucket_name(std::string_view cluster) {
    return "ANTIPODE_" + std::string(cluster);
}

std::string want_subject(std::string_view cluster) {
    return "antipode." + std::string(cluster) + ".want";
}

std::string safe_subject(std::string_view cluster) {
    return "antipode." + std::string(cluster) + ".safe";
}

}  // namespace antipode::protocol
