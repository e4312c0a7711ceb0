#include "primary/database/transaction_cutter.hpp"

#include <utility>

#include "base/error.hpp"

namespace antipode::primary {
namespace {

constexpr const char* own_schema = "antipode";
/// Transactions that share a message, at most.
constexpr int most_members = 1000;

void describe_relation(const RelationShape& shape, v1::Relation& relation) {
    relation.set_id(shape.id);
    relation.set_schema(shape.name.schema);
    relation.set_table(shape.name.table);
    relation.set_replica_identity(std::string(1, shape.replica_identity));
    for (const ColumnShape& column : shape.columns) {
        v1::Column& described = *relation.add_columns();
        described.set_name(column.name);
        described.set_type_oid(column.type_oid);
        described.set_type_modifier(column.type_modifier);
        described.set_key(column.key);
    }
}

void describe_ddl(const DdlStatement& from, v1::Ddl& to) {
    to.set_sql(from.sql);
    to.set_tag(from.tag);
    to.mutable_objects()->Add(from.objects.begin(), from.objects.end());
    to.set_role(from.role);
    for (const DdlStatement::Setting& setting : from.settings) {
        v1::Ddl::Setting& described = *to.add_settings();
        described.set_name(setting.name);
        described.set_value(setting.value);
    }
    for (const DdlStatement::Fill& fill : from.fills) {
        v1::Ddl::Fill& described = *to.add_fills();
        described.set_schema(fill.table.schema);
        described.set_table(fill.table.table);
        described.set_column(fill.column);
        described.set_value(fill.value);
    }
    for (const TableName& table : from.copies) {
        v1::Ddl::Table& described = *to.add_copies();
        described.set_schema(table.schema);
        described.set_table(table.table);
    }
    to.set_problem(from.problem);
}

[[noreturn]] void out_of_order(const std::string& what) {
    throw Error(Reaction::Retry, "decoding: PostgreSQL sent " + what);
}

}  // namespace

void TransactionCutter::start(Lsn start) {
    tables_.clear();
    end_ = start;
    in_transaction_ = false;
    writer_.take();
    used_.clear();
    group_ = {};
}

void TransactionCutter::add(const Decoded& decoded, std::vector<DatabaseEvent>& events) {
    if (const auto* change = std::get_if<DecodedRow>(&decoded)) {
        row(*change, events);
    } else if (const auto* opened = std::get_if<DecodedBegin>(&decoded)) {
        begin(*opened);
    } else if (const auto* closed = std::get_if<DecodedCommit>(&decoded)) {
        commit(*closed, events);
    } else if (std::holds_alternative<DecodedBreakOff>(decoded)) {
        break_off();
    } else if (const auto* shape = std::get_if<RelationShape>(&decoded)) {
        describe(*shape, events);
    } else if (const auto* emptied = std::get_if<DecodedTruncate>(&decoded)) {
        truncate(*emptied);
    } else if (const auto* ddl = std::get_if<DdlStatement>(&decoded)) {
        change_structure(*ddl, events);
    } else if (const auto* sequences = std::get_if<DecodedSequences>(&decoded)) {
        add_sequences(*sequences, events);
    } else if (const auto* barrier = std::get_if<DecodedBarrier>(&decoded)) {
        part_.mutable_barrier()->set_check(barrier->check);
        part_.mutable_barrier()->set_snapshot(barrier->snapshot);
    }
}

void TransactionCutter::begin(const DecodedBegin& begin) {
    if (in_transaction_) {
        out_of_order("a transaction inside another");
    }
    in_transaction_ = true;
    part_.Clear();
    part_.set_xid(begin.xid);
    part_.set_commit_lsn(begin.commit_lsn.value);
    part_.set_after_lsn(end_.value);
    part_.set_commit_time_us(to_microseconds(begin.commit_time));
}

void TransactionCutter::describe(const RelationShape& relation,
                                 std::vector<DatabaseEvent>& events) {
    Table& table = tables_[relation.id];
    // The table changed its shape: one message has one shape of it.
    if (table.in_group) {
        flush(events);
    }
    if (table.in_part) {
        finish_part(events);
    }
    table = {relation, relation.name.schema == own_schema, false, false};
}

TransactionCutter::Table& TransactionCutter::known(uint32_t relation) {
    const auto found = tables_.find(relation);
    if (found == tables_.end() || !in_transaction_) {
        out_of_order("a change without its transaction or table");
    }
    return found->second;
}

void TransactionCutter::use(uint32_t id, Table& table) {
    if (!std::exchange(table.in_part, true)) {
        used_.push_back(id);
    }
}

void TransactionCutter::row(const DecodedRow& row, std::vector<DatabaseEvent>& events) {
    Table& table = known(row.relation);
    if (table.own) {
        return;
    }
    use(row.relation, table);
    const auto old_kind = static_cast<protocol::OldRow>(row.old_kind);
    switch (row.kind) {
        case DecodedRow::Kind::Insert:
            writer_.insert(row.relation, row.new_row);
            break;
        case DecodedRow::Kind::Update:
            writer_.update(row.relation, old_kind, row.old_row, row.new_row);
            break;
        case DecodedRow::Kind::Delete:
            writer_.remove(row.relation, old_kind, row.old_row);
            break;
    }
    if (writer_.size() >= part_bytes_) {
        finish_part(events);
    }
}

void TransactionCutter::truncate(const DecodedTruncate& truncate) {
    std::vector<uint32_t> relations;
    for (const uint32_t relation : truncate.relations) {
        if (Table& table = known(relation); !table.own) {
            relations.push_back(relation);
            use(relation, table);
        }
    }
    if (!relations.empty()) {
        writer_.truncate(relations, truncate.cascade, truncate.restart_identity);
    }
}

void TransactionCutter::change_structure(const DdlStatement& ddl,
                                         std::vector<DatabaseEvent>& events) {
    if (!in_transaction_) {
        out_of_order("a change of the structure outside a transaction");
    }
    if (writer_.size() > 0 || part_.ByteSizeLong() >= part_bytes_) {
        finish_part(events);
    }
    describe_ddl(ddl, *part_.add_statements());
}

void TransactionCutter::add_sequences(const DecodedSequences& sequences,
                                      std::vector<DatabaseEvent>& events) {
    if (!in_transaction_) {
        out_of_order("sequences outside a transaction");
    }
    for (const SequenceState& state : sequences.states) {
        v1::SequenceState& described = *part_.add_sequences();
        described.set_schema(state.at.name.schema);
        described.set_name(state.at.name.table);
        described.set_value(state.at.value);
        described.set_called(state.at.called);
        described.set_exact(state.exact);
    }
    if (part_.ByteSizeLong() >= part_bytes_) {
        finish_part(events);
    }
}

void TransactionCutter::commit(const DecodedCommit& commit, std::vector<DatabaseEvent>& events) {
    if (!in_transaction_ || commit.commit_lsn.value != part_.commit_lsn()) {
        out_of_order("the end of a transaction that it did not begin");
    }
    in_transaction_ = false;
    const bool plain =
        part_.part() == 0 && part_.statements_size() == 0 && part_.sequences_size() == 0;
    const bool empty = plain && writer_.size() == 0;
    if (empty && !part_.has_barrier()) {
        return;
    }
    if (!empty) {
        part_.clear_barrier();  // a barrier stands alone
    }
    part_.set_last(true);
    part_.set_end_lsn(commit.end_lsn.value);
    part_.set_commit_time_us(to_microseconds(commit.commit_time));
    end_ = commit.end_lsn;
    if (plain && !part_.has_barrier()) {
        join_group(events);
    } else {
        finish_part(events);
    }
}

void TransactionCutter::break_off() {
    in_transaction_ = false;
    writer_.take();
    for (const uint32_t id : used_) {
        tables_.at(id).in_part = false;
    }
    used_.clear();
}

void TransactionCutter::finish_part(std::vector<DatabaseEvent>& events) {
    flush(events);  // what came before
    CapturedTransaction captured{part_};
    for (const uint32_t id : used_) {
        Table& table = tables_.at(id);
        table.in_part = false;
        describe_relation(table.shape, *captured.transaction.add_relations());
    }
    used_.clear();
    captured.transaction.set_change_count(writer_.count());
    captured.transaction.set_changes(writer_.take());
    part_.clear_statements();
    part_.clear_sequences();
    part_.set_part(part_.part() + 1);
    events.emplace_back(std::move(captured));
}

void TransactionCutter::join_group(std::vector<DatabaseEvent>& events) {
    v1::Transaction& message = group_.message;
    const uint64_t after = group_.empty() ? part_.after_lsn() : message.after_lsn();
    v1::Transaction::Member& member = *message.add_members();
    member.set_xid(part_.xid());
    member.set_commit_lsn(part_.commit_lsn());
    member.set_end_lsn(part_.end_lsn());
    member.set_commit_time_us(part_.commit_time_us());
    member.set_change_count(writer_.count());
    member.set_change_bytes(writer_.size());
    message.set_xid(part_.xid());
    message.set_commit_lsn(part_.commit_lsn());
    message.set_end_lsn(part_.end_lsn());
    message.set_after_lsn(after);
    message.set_commit_time_us(part_.commit_time_us());
    message.set_last(true);
    message.set_change_count(message.change_count() + writer_.count());
    writer_.move_to(group_.changes);
    for (const uint32_t id : used_) {
        Table& table = tables_.at(id);
        table.in_part = false;
        if (!std::exchange(table.in_group, true)) {
            group_.used.push_back(id);
        }
    }
    used_.clear();
    if (group_.changes.size() >= part_bytes_ || message.members_size() >= most_members) {
        flush(events);
    }
}

void TransactionCutter::flush(std::vector<DatabaseEvent>& events) {
    if (group_.empty()) {
        return;
    }
    CapturedTransaction captured{std::move(group_.message)};
    if (captured.transaction.members_size() == 1) {
        captured.transaction.clear_members();  // it says all itself
    }
    for (const uint32_t id : group_.used) {
        Table& table = tables_.at(id);
        table.in_group = false;
        describe_relation(table.shape, *captured.transaction.add_relations());
    }
    captured.transaction.set_changes(std::move(group_.changes));
    group_ = {};
    events.emplace_back(std::move(captured));
}

CapturedTransaction TransactionCutter::pass(Lsn through, TimePoint now) {
    CapturedTransaction captured;
    captured.transaction.set_commit_lsn(through.value);
    captured.transaction.set_end_lsn(through.value);
    captured.transaction.set_after_lsn(end_.value);
    captured.transaction.set_commit_time_us(to_microseconds(now));
    captured.transaction.set_last(true);
    end_ = through;
    return captured;
}

}  // namespace antipode::primary
