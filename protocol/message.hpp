#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.hpp"
#include "base/digest.hpp"
#include "base/ids.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::protocol {

/// Events that share a message need 2; all else is readable for who knows 1.
inline constexpr uint32_t wire_version = 2;

/// A payload together with its place in the order. The stream carries it as one or more messages,
/// or in a message that several share.
struct Event {
    Position position;             ///< of its last message
    std::optional<StoreId> store;  ///< nullopt: control events
    TimePoint captured_at;
    v1::Payload payload;
};

/// In place of an item's name: all of the store (see Announcement in antipode.proto).
inline constexpr const char* whole_store = "";

/// The contents of an event that do not travel inside it.
std::vector<const v1::Content*> pulled_contents(const v1::Payload& payload);
/// The announcements that an event fulfils; nullptr: it can fulfil none.
const v1::Fulfils* fulfils(const v1::Payload& payload);
v1::Fulfils* mutable_fulfils(v1::Payload& payload);
/// The item that an event is about; nullptr: it is no event of an item.
const std::string* item_of(const v1::Payload& payload);
/// True for events that say that an item is gone.
bool is_removal(const v1::Payload& payload);
/// "blob_put", "transaction", ...: for people.
std::string kind_of(const v1::Payload& payload);

/// Turns payloads into chained messages: the numbering half of a publisher. One thread.
class Sealer {
  public:
    /// `previous` is the hash of the stream's newest message; nullopt: the stream is empty.
    Sealer(std::string cluster, uint64_t epoch, uint64_t session, std::optional<Sha256> previous);

    struct Sealed {
        std::optional<StoreId> store;  ///< the lane
        std::string bytes;             ///< the encoded envelope
        Sha256 hash{};                 ///< of these
    };
    /// Gives the event its place, which is returned: that of its last message. Small events of one
    /// store of items that follow each other share a message, which says of all of them when the
    /// first was captured.
    Position add(const std::optional<StoreId>& store, TimePoint captured_at,
                 const v1::Payload& payload);
    /// What was added since, in order: compressed where that shrinks it, cut where it is too large,
    /// numbered and chained.
    std::vector<Sealed> take();
    /// The messages of one event alone.
    std::vector<Sealed> seal(const std::optional<StoreId>& store, TimePoint captured_at,
                             const v1::Payload& payload);

    /// Where the last added event stands (number 0: none yet in this session).
    Position head() const { return head_; }

  private:
    void finish_shared();
    void append(v1::Envelope& envelope, const v1::Payload& payload, std::string_view share);
    v1::Envelope envelope(const std::optional<StoreId>& store, TimePoint captured_at) const;

    std::string cluster_;
    Position head_;
    std::optional<Sha256> previous_;
    std::vector<Sealed> sealed_;
    /// The message that is still open for more.
    v1::Payload shared_;
    std::optional<StoreId> shared_store_;
    TimePoint shared_captured_at_{};
    size_t shared_bytes_ = 0;
};

/// One message of the stream, checked as far as it can be on its own: decodable, within limits,
/// payload hash right. The payload is still encoded.
struct Message {
    v1::Envelope envelope;
    Sha256 hash{};  ///< of the whole message
    std::optional<StoreId> store;

    /// Of its last event; of a fragment its own.
    Position position() const { return {envelope.epoch(), envelope.session(), envelope.number()}; }
    /// Of the first event that shares it.
    Position first() const {
        return {envelope.epoch(), envelope.session(),
                envelope.number() - (envelope.events() > 0 ? envelope.events() - 1 : 0)};
    }
};

/// Why a message was refused.
enum class Refusal {
    Malformed,  ///< truncated or not a message of ours
    TooLarge,   ///< over a limit
    WrongHash,  ///< the payload is not what the envelope says
    ForeignCluster,
    OldEpoch,
    NewerVersion,  ///< written by a later version of Antipode: upgrade this site
};
std::string_view to_string(Refusal refusal);

/// Checks `bytes` as a message of `cluster` at `epoch`. Never throws on foreign bytes.
std::variant<Message, Refusal> open(std::string bytes, std::string_view cluster, uint64_t epoch);

/// How a message joins on to the one before it.
enum class Continuity {
    Joins,     ///< next number, right hash; or a new session that names our last message
    Repeated,  ///< at or below our last message: seen before
    Broken,    ///< something between is missing, or the stream went back in time
};

/// The last message seen; a receiver keeps one, and persists it with what it applied.
struct ChainPoint {
    Position position;
    Sha256 hash{};
};
Continuity continuity(const std::optional<ChainPoint>& last, const Message& next);

/// Puts payloads together again from their messages, which come in order. Bounded memory.
class Assembler {
  public:
    /// The events that are whole with this message, in order: those that share it, one whose last
    /// fragment it is, or none. Refusal when the payload cannot be decoded. A fragment whose
    /// predecessors were not seen is dropped.
    std::variant<std::vector<Event>, Refusal> add(const Message& message);
    void reset();

  private:
    std::string bytes_;
    uint32_t next_ = 0;
};

/// Subjects. Names are validated, so that no token can hold a dot or a wildcard.
std::string stream_name(std::string_view cluster, uint64_t epoch);
std::string stream_subject(std::string_view cluster, uint64_t epoch,
                           const std::optional<StoreId>& lane);
/// The lane whose subject it is; nullopt: it is that of control events, or none of ours.
std::optional<StoreId> lane_of(std::string_view subject);
std::string all_subjects(std::string_view cluster, uint64_t epoch);
std::string bucket_name(std::string_view cluster);
/// The keys of a SiteRequest and of its SiteAnswer in the site's own bucket.
std::string request_key(std::string_view site);
std::string answer_key(std::string_view site);
std::string want_subject(std::string_view cluster);
/// Where a secondary tells at once what became safe: a SiteReport with just that.
std::string safe_subject(std::string_view cluster);
/// Answers to a Want.
inline constexpr const char* want_taken = "ok";
inline constexpr const char* want_busy = "busy";            ///< ask again later
inline constexpr const char* want_forgotten = "forgotten";  ///< before what can be sent again

}  // namespace antipode::protocol
