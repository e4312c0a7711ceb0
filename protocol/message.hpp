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

inline constexpr uint32_t wire_version = 1;

/// A payload together with its place in the order. The stream carries it as one or more messages.
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
        std::vector<std::string> messages;  ///< encoded envelopes, in order
        std::vector<Sha256> hashes;         ///< of each message
        Position position;                  ///< of the last one
    };
    /// Compresses where it shrinks, cuts what is too large, numbers and chains.
    Sealed seal(const std::optional<StoreId>& store, TimePoint captured_at,
                const v1::Payload& payload);

    /// Where the last sealed message stands (number 0: none yet in this session).
    Position head() const { return head_; }

  private:
    std::string cluster_;
    Position head_;
    std::optional<Sha256> previous_;
};

/// One message of the stream, checked as far as it can be on its own: decodable, within limits,
/// payload hash right. The payload is still encoded.
struct Message {
    v1::Envelope envelope;
    Sha256 hash{};  ///< of the whole message
    std::optional<StoreId> store;

    Position position() const { return {envelope.epoch(), envelope.session(), envelope.number()}; }
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
    /// A whole event once its last fragment is there; Refusal when the payload cannot be decoded.
    /// A fragment whose predecessors were not seen is dropped (nullopt).
    std::variant<std::optional<Event>, Refusal> add(const Message& message);
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
