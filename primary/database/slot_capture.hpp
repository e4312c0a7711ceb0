#pragma once

#include <atomic>
#include <deque>
#include <optional>
#include <vector>

#include "base/clock.hpp"
#include "base/config.hpp"
#include "base/seams/database.hpp"
#include "base/synchronized.hpp"
#include "primary/capture.hpp"
#include "primary/database/transaction_cutter.hpp"

namespace antipode::primary {

/// Captures a PostgreSQL database from a replication slot.
///
/// The slot's confirmed position is always the end of a transaction that poll() returned and that
/// confirm() covers, never a place between two, where confirm() may stand as well: no secondary
/// ever stands there. So what the first transaction after a restart names as `after_lsn` is a place
/// that every secondary has reached, and continuity can be checked. Where decoding passes much log
/// without a transaction (other databases, maintenance), poll() returns a transaction without
/// changes from time to time, so that positions and slot move on.
///
/// Threads as DatabaseCapture says: poll() and keep_alive() on the capture thread, wal_position()
/// on one thread, confirm() and restart() on any. Failure: poll() ends the connection and throws;
/// the next call starts again.
class SlotCapture final : public DatabaseCapture {
  public:
    /// All references outlive this object; `wal` is used by wal_position() only, source and control
    /// by the capture thread only (but for ChangeSource::wake()).
    SlotCapture(const Config::Database& config, ChangeSource& source, SourceControl& control,
                WalPosition& wal, SequencePublisher& sequences, const Clock& clock);

    const StoreId& store() const override { return store_; }
    std::vector<DatabaseEvent> poll(std::chrono::milliseconds wait) override;
    void confirm(Lsn lsn) override;
    void keep_alive() override;
    void restart() override;
    std::optional<SourceFacts::Slot> slot() const override { return slot_.copy(); }
    Lsn forgotten() const override { return Lsn{forgotten_.load()}; }
    Lsn wal_position() override;
    Lsn publish_sequences(bool exact) override;

  private:
    void start();
    void prepare();
    void give_identities();
    void publish_moved_sequences();
    void look_at_slot();
    void end();
    std::vector<DatabaseEvent> collect(std::chrono::milliseconds wait);
    void take(const Decoded& decoded, std::vector<DatabaseEvent>& events);
    std::chrono::milliseconds group_time_left() const;
    void finish(std::vector<DatabaseEvent>& events);
    void send_status(Lsn confirmed, bool ask);
    void send_due_status();
    bool somebody_waits() const { return Lsn{wal_target_.load()} > decoded_; }
    void note_end(Lsn end, Lsn covered_by);
    Lsn confirmable();

    const StoreId store_;
    const Config::Database config_;
    ChangeSource& source_;
    SourceControl& control_;
    WalPosition& wal_;
    SequencePublisher& sequences_;
    const Clock& clock_;

    // Capture thread.
    bool started_ = false;
    bool slot_seen_ = false;
    TransactionCutter cutter_;
    Lsn decoded_;                ///< decoding has passed this place
    Lsn reported_;               ///< the same, as poll() said it last
    Lsn sent_;                   ///< confirmed to the server
    std::optional<Lsn> begins_;  ///< where decoding began, until poll() has said it
    /// Where transactions ended that are not confirmed yet, in order.
    struct End {
        Lsn end;
        Lsn covered_by;  ///< it is safe everywhere once confirm() said this
    };
    std::deque<End> ends_;
    SteadyTime asked_at_;
    SteadyTime status_at_;
    SteadyTime transaction_at_;
    SteadyTime grouped_at_;
    SteadyTime identities_at_;
    SteadyTime slot_at_;
    std::string identity_problem_;
    SteadyTime sequences_at_;
    std::string sequence_problem_;

    // Any thread.
    std::atomic<uint64_t> confirmed_{0};
    std::atomic<bool> woken_{false};  ///< to send a status
    std::atomic<uint64_t> forgotten_{0};
    std::atomic<uint64_t> wal_target_{0};
    std::atomic<bool> restart_{false};
    Synchronized<std::optional<SourceFacts::Slot>> slot_;
};

}  // namespace antipode::primary
