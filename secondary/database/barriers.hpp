#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/seams/chunks.hpp"
#include "secondary/database/apply_observer.hpp"
#include "secondary/database/snapshot.hpp"
#include "secondary/database/touched_rows.hpp"

namespace antipode::secondary {

/// Where the apply thread of a database and a check meet. A check expects two barriers: from the
/// first one on, what is applied is remembered; at the second one, which brings the primary's
/// snapshot, the check's action is done in the apply thread, with the rows that were touched by
/// transactions that are applied here and not visible in that snapshot. All other rows must be
/// equal at that moment: a transaction that the snapshot sees had committed, and so stands in the
/// log, before it.
///
/// Thread-safe: one check at a time, and the apply thread.
class Barriers final : public ApplyObserver {
  public:
    /// In the apply thread, which waits for it.
    using Action = std::function<void(const Touched& touched, ReplicaSession& session)>;
    /// Left alone: an Error of the action is the check's problem alone. Written: it may be the
    /// session's too, so that apply begins again at its position. Restructured: apply also reads
    /// what there is again when it is done.
    enum class Session { LeftAlone, Written, Restructured };

    /// Before the primary writes the barriers of `check`. Forgets an earlier check.
    void expect(const std::string& check, Action action, Session session = Session::LeftAlone);
    /// Waits until the action is done; true: it is. False with the reason in `problem` when it was
    /// not done or cannot be; another check may fare better. Throws Stopped.
    bool wait(std::chrono::milliseconds timeout, const std::stop_token& stop, std::string& problem);

    /// The check will not wait: its action is not done any more.
    void forget();

    void broken_off(uint32_t xid) override;
    void applied(const v1::Transaction& message, uint32_t xid, std::string_view changes) override;
    bool reached(const v1::Barrier& barrier, ReplicaSession& session, bool whole) override;

  private:
    enum class State { Nothing, Expected, Begun, Running, Done, Failed };
    struct Applied {
        uint32_t xid = 0;
        bool structure = false;  ///< it was changed
        Relations relations;
        std::string changes;
    };
    void fail(const std::string& problem);
    void forget_since();
    static size_t bytes_of(const Applied& applied);
    /// nullopt with the reason in `problem`.
    std::optional<Touched> touched_beyond(const Snapshot& snapshot, std::string& problem) const;

    std::mutex mutex_;
    std::condition_variable_any changed_;
    // Under mutex_:
    State state_ = State::Nothing;
    std::string check_;
    Action action_;
    Session session_ = Session::LeftAlone;
    std::string problem_;
    std::vector<Applied> since_;  ///< the first barrier
    size_t since_bytes_ = 0;
    std::deque<uint32_t> before_;  ///< ids of the last transactions before it
};

}  // namespace antipode::secondary
