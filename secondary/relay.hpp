#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/seams/stream.hpp"
#include "base/stream_writer.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"
#include "protocol/message.hpp"
#include "secondary/pulls.hpp"
#include "secondary/registry.hpp"

namespace antipode::secondary {

/// What is safe on this site: synced to its disk, content included.
struct Safe {
    Position position;
    std::map<StoreId, Lsn> lsns;  ///< databases: commits that end at or below are safe
};

struct RelayStatus {
    Safe safe;
    bool begun = false;  ///< what follows is known
    Position relayed;    ///< newest message in this site's stream
    TimePoint relayed_captured_at{};
    uint64_t messages = 0;
    uint64_t bytes = 0;
    uint64_t refused = 0;  ///< messages that are not ours
    std::string refusal;   ///< the newest one's reason
    uint64_t gaps = 0;
};

/// The operator's next step when messages are refused.
inline constexpr const char* refusal_remedy =
    "find out who else writes into the primary's nats-server: its log, and its users' permissions";

/// Brings the primary's stream to this site's own: reads, checks cluster, epoch and chain, appends,
/// and names large content to be pulled. So how safe the data is does not depend on how fast apply
/// is. One thread; run() throws when a broker is away, and its worker calls it again.
class Relay {
  public:
    struct Options {
        std::string cluster;
        uint64_t epoch = 0;
        std::vector<StoreId> stores;
        std::chrono::milliseconds wait{250};  ///< of a step that has nothing to do
        /// Called when more commits of databases became safe. May throw Error: it does not matter.
        std::function<void(const Safe&)> on_safe{};
    };
    /// `on_relayed` is called after messages were appended.
    Relay(Options options, Stream& upstream, Stream& local, Pulls& pulls, Registry& registry,
          std::function<void()> on_relayed, const Clock& clock);

    void run(const std::stop_token& stop, Worker::Progress progress);
    /// Looks where both streams stand.
    void begin();
    /// Relays what is there. Throws Error{Retry} when a broker is away: call it again, or begin().
    void step();
    RelayStatus status() const;
    /// This site's stream is damaged: it is made anew, and what is not applied read again, once the
    /// primary's stream can be read. Any thread.
    void doubt_local() { is_local_doubted_ = true; }

  private:
    struct Noted {
        Position position;
        StoreId store;
        Lsn lsn;
    };
    /// Where the relay stands: fresh for each run().
    struct Cursor {
        uint64_t next = 1;  ///< sequence in the primary's stream
        std::optional<protocol::ChainPoint> last;
        SteadyTime look_at{};
        /// Messages on their way to this site's stream, checked, and as they will be stored.
        std::vector<protocol::Message> accepted;
        std::deque<OutgoingMessage> outgoing;
    };
    Position finished_everywhere() const;
    void replace_local();
    void name_contents_since(const Position& position);
    bool is_applied(const protocol::Event& event, bool again) const;
    void check(std::vector<StoredMessage> messages);
    /// True: reading goes on at an earlier place than the message at `sequence`.
    bool went_back(uint64_t sequence);
    void store();
    /// `again`: it was relayed before.
    void want_content(const protocol::Message& message, bool again);
    void note(const protocol::Message& message);
    void note_gap(const protocol::Message& message);
    void refuse(protocol::Refusal refusal, uint64_t sequence);
    void check_upstream();
    void purge();
    void advance_safe();

    Options options_;
    Stream& upstream_;
    Stream& local_;
    Pulls& pulls_;
    Registry& registry_;
    std::function<void()> on_relayed_;
    const Clock& clock_;
    StreamWriter writer_;
    std::atomic<bool> is_local_doubted_ = false;
    Cursor cursor_;
    std::deque<Noted> noted_;  ///< database positions that are not safe yet
    Synchronized<RelayStatus> status_;
};

}  // namespace antipode::secondary
