#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "base/synchronized.hpp"
#include "protocol/message.hpp"

namespace antipode::protocol {

/// One event, as `antipode events` shows it.
struct SeenEvent {
    uint64_t sequence = 0;  ///< in this daemon's log
    Position position;      ///< the origin: it is none of the stream's
    std::string store;      ///< empty: control events
    std::string kind;
    std::string item;  ///< raw bytes; empty: the event is of no item
    std::string text;
    TimePoint captured_at;
};

/// The newest events that passed here, for people. Thread-safe.
class EventLog {
  public:
    explicit EventLog(size_t most = 2000) : most_(most) {}

    void note(const Position& position, const std::optional<StoreId>& store, TimePoint captured_at,
              const v1::Payload& payload);
    /// Something else that people want to know of.
    void tell(const StoreId& store, const std::string& kind, const std::string& text, TimePoint at);
    /// Events behind `after`, oldest first; the newest ones when there are more than `most`.
    std::vector<SeenEvent> behind(uint64_t after, size_t most) const;

  private:
    void add(SeenEvent event);

    struct Log {
        uint64_t sequence = 0;
        std::deque<SeenEvent> events;
    };
    const size_t most_;
    Synchronized<Log> log_;
};

}  // namespace antipode::protocol
