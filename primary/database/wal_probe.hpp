#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

#include "base/clock.hpp"
#include "base/seams/database.hpp"

namespace antipode::primary {

/// Asks a WalPosition on a thread of its own, so that a server that hangs holds up the sequencer,
/// and with it the other lanes, for no more than a moment.
class WalProbe final : public WalPosition {
  public:
    /// `wal` is used by this object's thread only; a call that never ended would hold up the
    /// destructor. `patience`: how long flushed_end() waits.
    WalProbe(WalPosition& wal, const Clock& clock,
             std::chrono::milliseconds patience = std::chrono::milliseconds(250));

    /// As WalPosition says, for a question that was asked after the call. Throws what the server
    /// said, or Error{Retry} when it does not answer; at once while an earlier question is open for
    /// long. One thread at a time.
    Lsn flushed_end() override;

  private:
    void ask(const std::stop_token& stop);

    WalPosition& wal_;
    const Clock& clock_;
    const std::chrono::milliseconds patience_;

    std::mutex mutex_;
    std::condition_variable_any changed_;
    uint64_t asked_ = 0;     ///< questions, counted
    uint64_t answered_ = 0;  ///< the newest that the answer below is for
    Lsn answer_;
    std::exception_ptr problem_;
    std::optional<SteadyTime> open_since_;  ///< of the question that the server has now
    std::jthread thread_;                   // last: ends before what it uses
};

}  // namespace antipode::primary
