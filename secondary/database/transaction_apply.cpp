#include "secondary/database/transaction_apply.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/limits.hpp"
#include "secondary/database/comparing_copy.hpp"

namespace antipode::secondary {
namespace {

/// One local commit holds about this much.
constexpr uint64_t group_transactions = 5000;
constexpr uint64_t group_changes = 20'000;
constexpr uint64_t group_bytes = 8 * limits::mib;
/// Row operations handed to the session at once, at most: the more, the fewer statements. The next
/// ones are put together while the server works on these.
constexpr size_t batch_operations = group_changes / 2;

const v1::Transaction& transaction_of(const protocol::Event& event) {
    if (!event.payload.has_transaction()) {
        throw Error(Reaction::Stop,
                    "event " + event.position.to_string() + " of a database lane is no transaction",
                    "compare the versions of Antipode on both sites (antipode version)");
    }
    return event.payload.transaction();
}

/// Whether it gets a local transaction of its own.
bool stands_alone(const v1::Transaction& transaction) {
    return !transaction.last() || transaction.statements_size() > 0 || transaction.has_barrier();
}

[[noreturn]] void contradicts_itself(const v1::Transaction& message) {
    throw Error(Reaction::Stop,
                describe_place(message) +
                    " and those before it share a message that "
                    "contradicts itself",
                "compare the versions of Antipode on both sites (antipode version)");
}

std::string or_skip(Lsn lsn) {
    return "; or leave the transaction out and copy its tables again: antipode database skip "
           "--lsn " +
           lsn.to_string();
}

[[noreturn]] void refuse(const RowProblem& problem, const std::string& where, Lsn lsn) {
    const std::string skip = or_skip(lsn);
    if (problem.kind == RowProblem::Kind::NotFound) {
        throw Error(Reaction::Stop,
                    "this site's rows differ from the primary's: " + where + ": " + problem.text,
                    "find who wrote here; mend the row by hand" + skip);
    }
    throw Error(Reaction::Stop, "the change cannot be applied: " + where + ": " + problem.text,
                "make the table here as it is on the primary; apply then goes on by itself" + skip);
}

}  // namespace

bool TransactionApply::Group::full() const {
    return structure || transactions >= group_transactions || changes >= group_changes ||
           bytes >= group_bytes;
}

TransactionApply::TransactionApply(StoreId store, ReplicaSession& session, DdlPolicy ddl,
                                   CopyOptions copy, ApplyObserver* observer)
    : store_(std::move(store)),
      session_(session),
      ddl_(ddl),
      copy_(copy),
      observer_(observer),
      reader_(session, [this] { settle(); }) {}

void TransactionApply::load() {
    if (loaded_) {
        return;
    }
    reader_.forget();
    state_ = session_.load();
    lacking_.insert(state_.to_repair.begin(), state_.to_repair.end());
    left_out_.reset();
    repair_due_ = false;
    copied_ = CopiedTables(state_.tables, state_.awaited);
    place_ = {state_.position, state_.lsn, state_.transactions};
    group_ = {};
    partial_.reset();
    open_ = false;
    loaded_ = true;
}

void TransactionApply::abandon() noexcept {
    session_.rollback();
    partial_.reset();
    open_ = false;
    loaded_ = false;
}

DatabasePosition TransactionApply::committed() const {
    const bool copied = state_.phase == CopyPhase::Finish || state_.phase == CopyPhase::Complete;
    return {state_.position, state_.lsn, state_.transactions,
            copied && lacking_.empty() && !waits_for_copy()};
}

bool TransactionApply::waits_for_copy() const {
    return copy_failed_at_ != state_.lsn &&
           std::any_of(state_.awaited.begin(), state_.awaited.end(),
                       [](const AwaitedTable& table) { return !table.copied; });
}

DatabasePosition TransactionApply::position() {
    try {
        load();
    } catch (...) {
        abandon();
        throw;
    }
    return committed();
}

void TransactionApply::initial_copy(BulkSource& primary,
                                    const std::function<void(CopyProgress)>& report,
                                    const std::stop_token& stop) {
    try {
        if (session_.load().phase == CopyPhase::Compare) {
            ComparingCopy(store_, session_, primary, report, stop).run();
        }
        InitialCopy(store_, session_, primary, copy_, report, stop).run();
        while (!lacking_.empty()) {
            InitialCopy(store_, session_, primary, copy_, report, stop)
                .copy_alone(*lacking_.begin());
            lacking_.erase(lacking_.begin());
        }
        copy_awaited(primary, report, stop);
    } catch (...) {
        abandon();
        throw;
    }
    loaded_ = false;
}

void TransactionApply::compare_anew() {
    try {
        loaded_ = false;
        load();
        if (state_.phase != CopyPhase::Finish && state_.phase != CopyPhase::Complete) {
            return;
        }
        session_.begin();
        session_.forget_tables();
        state_.phase = CopyPhase::Compare;
        session_.save(state_);
        session_.commit();
    } catch (...) {
        abandon();
        throw;
    }
    loaded_ = false;
}

void TransactionApply::copy_awaited(BulkSource& primary,
                                    const std::function<void(CopyProgress)>& report,
                                    const std::stop_token& stop) {
    const ReplicaState before = session_.load();
    try {
        for (const AwaitedTable& table : before.awaited) {
            if (!table.copied) {
                InitialCopy(store_, session_, primary, copy_, report, stop).copy_again(table.name);
            }
        }
    } catch (const Error& error) {
        if (error.reaction() != Reaction::Stop) {
            throw;
        }
        // Its structure may be another one there by now: that comes.
        copy_failed_at_ = before.lsn;
        throw Error(Reaction::Retry, error.what(), error.next_step());
    }
    copy_failed_at_.reset();
}

std::vector<TransactionApply::Step> TransactionApply::steps_of(
    std::span<const protocol::Event* const> events) {
    std::vector<Step> steps;
    for (const protocol::Event* event : events) {
        const v1::Transaction& message = transaction_of(*event);
        const std::string_view changes = message.changes();
        if (message.members_size() == 0) {
            steps.push_back({event,
                             &message,
                             {message, message.xid(), Lsn{message.commit_lsn()}, changes,
                              message.change_count()},
                             Lsn{message.end_lsn()},
                             true,
                             true});
        }
        const bool whole = message.last() && message.part() == 0 &&
                           message.statements_size() == 0 && message.sequences_size() == 0 &&
                           !message.has_barrier();
        size_t begin = 0;
        for (const v1::Transaction::Member& member : message.members()) {
            if (!whole || member.change_bytes() > changes.size() - begin) {
                contradicts_itself(message);
            }
            steps.push_back({event,
                             &message,
                             {message, member.xid(), Lsn{member.commit_lsn()},
                              changes.substr(begin, member.change_bytes()), member.change_count()},
                             Lsn{member.end_lsn()},
                             &member == &message.members(0),
                             &member == &*message.members().rbegin()});
            begin += member.change_bytes();
        }
        if (message.members_size() > 0 && begin != changes.size()) {
            contradicts_itself(message);
        }
    }
    return steps;
}

DatabasePosition TransactionApply::apply(std::span<const protocol::Event* const> events) {
    std::vector<Step> steps;
    try {
        steps = steps_of(events);
    } catch (...) {
        abandon();
        throw;
    }
    try {
        apply(steps);
    } catch (const LacksTable& error) {
        lacking_.insert(error.table());
        throw;
    }
    if (!open_ && waits_for_copy()) {
        throw Error(Reaction::Retry,
                    "rows that a change of the structure gave values of their own "
                    "on each server are to be copied from the primary");
    }
    return committed();
}

/// A table that is missing is copied alone, unless the structure is the operator's to change.
std::optional<Error> TransactionApply::halted_by(const Error& error, const Step* step) const {
    if (ddl_ != DdlPolicy::Halt || step == nullptr ||
        dynamic_cast<const LacksTable*>(&error) == nullptr) {
        return std::nullopt;
    }
    return Error(Reaction::Stop, error.what(),
                 "make the table here as it is on the primary (pg_dump --schema-only "
                 "--table=...); apply then goes on by itself" +
                     or_skip(step->source.commit_lsn));
}

void TransactionApply::apply(std::span<const Step> steps) {
    size_t committed_to = 0;  // steps before it are committed
    size_t reached = 0;       // steps before it were begun
    bool in_the_middle = false;
    opened_ = nullptr;
    try {
        load();
        in_the_middle = partial_ && !steps.empty() && continues(*steps.front().message);
        if (!committed().copied) {
            throw Error(Reaction::Retry,
                        "the initial copy of " + store_.to_string() + " is not complete");
        }
        finish_copy_if_due();
        for (size_t i = 0; i < steps.size(); ++i) {
            if (stands_alone(*steps[i].message) && !partial_ && group_.transactions > 0) {
                // What is complete must not hang on the fate of a large transaction.
                commit_local();
                committed_to = i;
            }
            reached = i + 1;
            apply_one(steps[i]);
            if (!partial_ && group_.full()) {
                commit_local();
                committed_to = i + 1;
            }
        }
        write();
        if (!partial_) {
            commit_local();
            finish_copy_if_due();
        }
    } catch (const Error& thrown) {
        abandon();
        const auto halted = halted_by(thrown, reached == 0 ? nullptr : &steps[reached - 1]);
        const Error& error = halted ? *halted : thrown;
        const bool several = steps.size() - committed_to > 1;
        if (error.reaction() == Reaction::Stop && reached > 0 &&
            (!several || (in_the_middle && committed_to == 0))) {
            note_stopped(steps[reached - 1], error);
        }
        if (error.reaction() == Reaction::Retry || !several ||
            (in_the_middle && committed_to == 0)) {
            if (halted) {
                throw Error(*halted);
            }
            throw;
        }
        // Those before the bad one are applied, and it says itself what is wrong with it.
        reached = std::max(reached, committed_to);
        for (const Step& step : steps.subspan(committed_to, reached - committed_to)) {
            apply({&step, 1});
        }
        apply(steps.subspan(reached));
    } catch (...) {
        abandon();
        throw;
    }
}

void TransactionApply::apply_one(const Step& step) {
    const v1::Transaction& message = *step.message;
    if (partial_ && !continues(message)) {
        // Capture started again in the middle of it, or another one had committed before; its parts
        // come once more from the first.
        if (observer_ != nullptr) {
            observer_->broken_off(partial_->xid);
        }
        roll_back_local();
    }
    if (step.first || &message != opened_) {
        reader_.open(message);
        opened_ = &message;
    }
    const bool fresh = partial_ || check_begin(step);
    if (fresh) {
        pass_barrier(message);
    }
    open_local();
    const SkipRequest* const skip = fresh ? skip_of(step) : nullptr;
    const bool skipped = skip != nullptr && leave_out(step, *skip);
    if (fresh && !skipped) {
        change_structure(message);
        apply_changes(step, skip == nullptr ? std::nullopt : skip->table);
        follow_sequences(message);
    }
    if (fresh) {
        if (observer_ != nullptr) {
            observer_->applied(message, step.source.xid, step.source.changes);
        }
    }
    if (fresh && !message.last()) {
        partial_ = {message.commit_lsn(), message.xid(), message.part() + 1};
        return;
    }
    if (skip != nullptr) {
        record_skip(step, *skip);
    }
    if (fresh) {
        partial_.reset();
        ++group_.transactions;
        place_.lsn = step.end;
        ++place_.transactions;
    }
    if (step.last) {
        place_.position = std::max(place_.position, step.event->position);
    }
}

bool TransactionApply::continues(const v1::Transaction& transaction) const {
    return transaction.commit_lsn() == partial_->commit_lsn && transaction.xid() == partial_->xid &&
           transaction.part() == partial_->next_part;
}

bool TransactionApply::check_begin(const Step& step) {
    if (step.source.commit_lsn < place_.lsn) {
        return false;
    }
    const auto place = [&] { return describe_place(step.source.xid, step.source.commit_lsn); };
    const Lsn after{step.message->after_lsn()};
    if (after > place_.lsn) {
        throw Error(Reaction::Resync, place() + " (event " + step.event->position.to_string() +
                                          ") follows " + after.to_string() +
                                          ", but this site stands at " + place_.lsn.to_string() +
                                          ": what lies between is missing");
    }
    if (step.message->part() != 0) {
        throw Error(Reaction::Resync, place() + " begins with part " +
                                          std::to_string(step.message->part()) +
                                          ": the parts before it are missing");
    }
    if (step.message->last() && step.end < step.source.commit_lsn) {
        throw Error(Reaction::Stop, place() + " ends before it commits",
                    "compare the versions of Antipode on both sites (antipode version)");
    }
    return true;
}

const SkipRequest* TransactionApply::skip_of(const Step& step) const {
    for (const SkipRequest& request : state_.skips) {
        if (request.lsn == step.source.commit_lsn) {
            return &request;
        }
    }
    return nullptr;
}

bool TransactionApply::leave_out(const Step& step, const SkipRequest& request) {
    if (!left_out_ || step.message->part() == 0) {
        left_out_.emplace();
    }
    left_out_->add(*step.message, step.source.changes, request.table);
    return !request.table;
}

void TransactionApply::record_skip(const Step& step, const SkipRequest& request) {
    write();
    const SkippedTransaction skipped = left_out_->record(request, step.source.xid);
    session_.record_skip(skipped);
    repair_due_ = request.repair && !skipped.tables.empty();
    // Committed alone.
    group_.structure = true;
    left_out_.reset();
}

void TransactionApply::note_stopped(const Step& step, const Error& error) noexcept {
    try {
        session_.load();
        session_.note_stopped(step.source.commit_lsn, error.what());
    } catch (...) {
        abandon();
    }
}

/// Unless the schema was read after this transaction.
void TransactionApply::change_structure(const v1::Transaction& transaction) {
    if (transaction.statements_size() == 0 ||
        copied_.contains(schema_name, transaction.xid(), Lsn{transaction.commit_lsn()})) {
        return;
    }
    write();
    await_again(transaction);
    run_statements(session_, transaction, ddl_);
    read_awaited();
    reader_.forget();
    group_.structure = true;
}

void TransactionApply::await_again(const v1::Transaction& transaction) {
    for (const AwaitedTable& table : state_.awaited) {
        if (table.copied &&
            copied_.contains(table.name, transaction.xid(), Lsn{transaction.commit_lsn()})) {
            session_.await_copy(table.name);
            std::erase_if(state_.tables,
                          [&](const CopiedTable& copy) { return copy.name == table.name; });
        }
    }
}

void TransactionApply::read_awaited() {
    auto awaited = session_.awaited();
    if (!awaited.empty() || !state_.awaited.empty()) {
        state_.awaited = std::move(awaited);
        copied_ = CopiedTables(state_.tables, state_.awaited);
    }
}

void TransactionApply::apply_changes(const Step& step, const std::optional<TableName>& left_out) {
    reader_.open(step.source, copied_, left_out);
    while (reader_.read(batch_operations)) {
        hand_over();
    }
    group_.changes += step.source.change_count;
    group_.bytes += step.source.changes.size();
}

/// While tables are at different places the copy's own reading of the sequences is the newer one.
void TransactionApply::follow_sequences(const v1::Transaction& transaction) {
    if (transaction.sequences_size() == 0) {
        return;
    }
    write();
    const auto states = sequence_states(transaction, state_.phase == CopyPhase::Complete);
    session_.follow_sequences(states);
}

void TransactionApply::pass_barrier(const v1::Transaction& transaction) {
    if (observer_ == nullptr || !transaction.has_barrier() || !transaction.last() ||
        transaction.part() > 0 || transaction.change_count() > 0) {
        return;
    }
    commit_local();
    finish_copy_if_due();
    const bool whole = state_.phase == CopyPhase::Complete && state_.awaited.empty();
    if (observer_->reached(transaction.barrier(), session_, whole)) {
        loaded_ = false;
        load();
    }
}

void TransactionApply::hand_over() {
    if (!reader_.gathered().empty()) {
        refuse_if(session_.apply(reader_.gathered()));
        reader_.hand_over();
    }
}

void TransactionApply::settle() {
    refuse_if(session_.settle());
}

/// Of what was handed over last.
void TransactionApply::refuse_if(const std::optional<RowProblem>& problem) const {
    if (problem) {
        const RowOperation& operation = reader_.handed_over(problem->index);
        refuse(*problem, reader_.describe(operation), reader_.commit_lsn());
    }
}

void TransactionApply::open_local() {
    if (!open_) {
        session_.begin();
        open_ = true;
    }
}

void TransactionApply::roll_back_local() {
    session_.rollback();
    if (group_.structure) {
        loaded_ = false;
        load();
        return;
    }
    reader_.forget();
    open_ = false;
    partial_.reset();
    group_ = {};
    place_ = {state_.position, state_.lsn, state_.transactions};
}

void TransactionApply::commit_local() {
    if (!open_) {
        return;
    }
    write();
    session_.save_position(place_.position, place_.lsn, place_.transactions);
    session_.commit();
    open_ = false;
    group_ = {};
    state_.position = place_.position;
    state_.lsn = place_.lsn;
    state_.transactions = place_.transactions;
    if (std::exchange(repair_due_, false)) {
        throw Error(Reaction::Retry, "a transaction was skipped; its tables are copied again");
    }
}

/// Tables are copied at different places, so that foreign keys hold only once apply has passed all
/// of them.
void TransactionApply::finish_copy_if_due() {
    if (state_.phase != CopyPhase::Finish || state_.lsn < copied_.needed_below() || open_) {
        return;
    }
    ReplicaState complete = state_;
    complete.phase = CopyPhase::Complete;
    complete.finish_script.clear();
    complete.tables.clear();
    std::erase_if(complete.awaited, [](const AwaitedTable& table) { return table.copied; });
    session_.begin();
    if (!state_.finish_script.empty()) {
        session_.run_script(state_.finish_script);
    }
    session_.save(complete);
    session_.forget_tables();
    session_.commit();
    state_ = std::move(complete);
    copied_ = CopiedTables(state_.tables, state_.awaited);
}

}  // namespace antipode::secondary
