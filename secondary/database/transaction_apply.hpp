#pragma once

#include <optional>
#include <set>

#include "base/seams/database.hpp"
#include "secondary/apply.hpp"
#include "secondary/database/apply_observer.hpp"
#include "secondary/database/initial_copy.hpp"
#include "secondary/database/left_out.hpp"
#include "secondary/database/operation_reader.hpp"
#include "secondary/database/snapshot.hpp"
#include "secondary/database/structure.hpp"

namespace antipode::secondary {

/// Applies captured transactions to a PostgreSQL database, in commit order, each exactly once: the
/// position is written in the transaction of the data, and what it covers is skipped.
///
/// Several transactions share one local commit, and may share an event. When one of them is
/// refused, those before it are committed without it; where that is inside an event, the position
/// stays before the event, and the LSN tells what of it is done. A transaction that comes in parts
/// has a local transaction of its own, which stays open between calls and is rolled back when the
/// parts begin again or anything fails. So has one that changes the structure: what follows may
/// need it committed (values of an enum).
///
/// A change of the structure may give rows values that differ on each server. Then the table's rows
/// are copied again, as soon as apply() has thrown Error{Retry} for it; until then what happens to
/// them is left out, and everything else goes on.
///
/// One thread. Owner: the lane's worker. After an exception everything not committed is undone;
/// begin again at position().
class TransactionApply final : public DatabaseApply {
  public:
    /// `session` and `observer` (may be nullptr) outlive this object; the session is used by nobody
    /// else.
    TransactionApply(StoreId store, ReplicaSession& session, DdlPolicy ddl = DdlPolicy::Apply,
                     CopyOptions copy = {}, ApplyObserver* observer = nullptr);

    const StoreId& store() const override { return store_; }
    DatabasePosition position() override;
    void initial_copy(BulkSource& primary, const std::function<void(CopyProgress)>& report,
                      const std::stop_token& stop) override;
    void compare_anew() override;
    DatabasePosition apply(std::span<const protocol::Event* const> events) override;

  private:
    /// Where the database will stand once the open local transaction is committed.
    struct Place {
        Position position;
        Lsn lsn;
        uint64_t transactions = 0;
    };
    /// A transaction of which parts are missing.
    struct Partial {
        uint64_t commit_lsn = 0;
        uint32_t xid = 0;
        uint32_t next_part = 0;
    };
    /// What the open local transaction holds.
    struct Group {
        uint64_t transactions = 0;
        uint64_t changes = 0;
        uint64_t bytes = 0;
        bool structure = false;  ///< it was changed
        bool full() const;
    };

    /// A transaction, or a part of one, of an event; several have the same event.
    struct Step {
        const protocol::Event* event = nullptr;
        const v1::Transaction* message = nullptr;
        OperationReader::Source source;
        Lsn end;             ///< the transaction's; only when it is the last part
        bool first = false;  ///< of its event
        bool last = false;
    };

    void load();
    /// Undoes what is not committed; the session's state is read again by the next call.
    void abandon() noexcept;
    /// What `error` is for the operator, when it is not for the daemon to mend.
    std::optional<Error> halted_by(const Error& error, const Step* step) const;
    static std::vector<Step> steps_of(std::span<const protocol::Event* const> events);
    void apply(std::span<const Step> steps);
    void apply_one(const Step& step);
    bool continues(const v1::Transaction& transaction) const;
    /// False: it was applied before.
    bool check_begin(const Step& step);
    /// What the operator has decided about this transaction; nullptr: nothing.
    const SkipRequest* skip_of(const Step& step) const;
    /// Of a transaction that is skipped, whole or in part. True: nothing of it is applied.
    bool leave_out(const Step& step, const SkipRequest& request);
    void record_skip(const Step& step, const SkipRequest& request);
    /// For the operator, as well as it can be done.
    void note_stopped(const Step& step, const Error& error) noexcept;
    void change_structure(const v1::Transaction& transaction);
    /// A copy that saw a change of the structure which has yet to come here is not one of the table
    /// as it is here: it is made again.
    void await_again(const v1::Transaction& transaction);
    void read_awaited();
    void copy_awaited(BulkSource& primary, const std::function<void(CopyProgress)>& report,
                      const std::stop_token& stop);
    bool waits_for_copy() const;
    void apply_changes(const Step& step, const std::optional<TableName>& left_out);
    void follow_sequences(const v1::Transaction& transaction);
    void pass_barrier(const v1::Transaction& transaction);
    /// Hands what is gathered to the session, which works on it while more is gathered; the events'
    /// bytes are needed until settle().
    void hand_over();
    void settle();
    void refuse_if(const std::optional<RowProblem>& problem) const;
    /// All that is gathered is written.
    void write() {
        hand_over();
        settle();
    }
    void open_local();
    void roll_back_local();
    void commit_local();
    void finish_copy_if_due();
    DatabasePosition committed() const;

    const StoreId store_;
    ReplicaSession& session_;
    const DdlPolicy ddl_;
    const CopyOptions copy_;
    ApplyObserver* const observer_;
    OperationReader reader_;

    /// Tables that are to be copied alone before apply can go on.
    std::set<TableName> lacking_;
    /// Where the last try to copy an awaited table failed: the next one waits for changes.
    std::optional<Lsn> copy_failed_at_;
    bool loaded_ = false;
    ReplicaState state_;  ///< as committed
    CopiedTables copied_;
    Place place_;
    bool open_ = false;
    Group group_;
    std::optional<Partial> partial_;
    std::optional<LeftOut> left_out_;  ///< of the transaction that is being skipped
    bool repair_due_ = false;          ///< what the open local transaction skips is to be copied
    const v1::Transaction* opened_ = nullptr;  ///< what reader_ looks at, during apply()
};

}  // namespace antipode::secondary
