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
    Position position;
    std::string store;  ///< empty: control events
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
    /// Events behind `after`, oldest first; the newest ones when there are more than `most`.
    std::vector<SeenEvent> behind(uint64_t after, size_t most) const;

  private:
    struct Log {
        uint64_t sequence = 0;
        std::deque<SeenEvent> events;
    };
    const size_t most_;
    Synchronized<Log> log_;
};

}  // namespace antipode::protocol
