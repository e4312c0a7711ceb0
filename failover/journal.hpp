#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "failover/machine.hpp"

namespace antipode::failover {

/// One line of the journal.
struct JournalEntry {
    uint64_t number = 0;  ///< from 1; given by append()
    TimePoint at;
    uint64_t epoch = 0;              ///< that the site is in
    std::string operation;           ///< empty: none
    State state = State::Following;  ///< from now on
    std::string event;               ///< that led to it: an Event's name, or "began"
    std::string detail;  ///< for people, or what the state's action needs after a restart
};

/// The event of a line that changes nothing: which other sites have what was written since writes
/// opened here.
inline constexpr const char* seen_event = "seen";

/// Where a site stands in an operation, on its own disk: a line of JSON for each step, written
/// before the step is begun and chained by hashes, so that it is the audit log as well. A restart
/// goes on from the last line. One thread. Throws Error: Retry when the file cannot be written,
/// Stop when it is damaged; a last line that a crash cut off is no damage, and is dropped.
class Journal {
  public:
    explicit Journal(std::filesystem::path file);

    const std::optional<JournalEntry>& last() const { return last_; }
    /// Durable when it returns: file and directory.
    void append(JournalEntry entry);
    /// The newest lines, oldest first.
    std::vector<JournalEntry> tail(size_t most) const;

  private:
    void load();
    size_t load(const std::string& text);
    void rotate();
    std::filesystem::path put_aside() const;

    std::filesystem::path file_;
    std::optional<JournalEntry> last_;
    std::string previous_;  ///< hash of the last line
    std::vector<JournalEntry> entries_;
    uint64_t bytes_ = 0;
};

}  // namespace antipode::failover
