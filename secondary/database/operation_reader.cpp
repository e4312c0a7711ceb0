#include "secondary/database/operation_reader.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "protocol/table_list.hpp"

namespace antipode::secondary {
namespace {

constexpr size_t shown_value_bytes = 60;

RelationShape shape_of(const v1::Relation& relation) {
    RelationShape shape;
    shape.id = relation.id();
    shape.name = {relation.schema(), relation.table()};
    shape.replica_identity =
        relation.replica_identity().empty() ? 'd' : relation.replica_identity()[0];
    for (const v1::Column& column : relation.columns()) {
        shape.columns.push_back(
            {column.name(), column.type_oid(), column.type_modifier(), column.key()});
    }
    return shape;
}

void copy_row(const protocol::Row& from, std::vector<Field>& to) {
    to.resize(from.size());
    for (size_t i = 0; i < from.size(); ++i) {
        to[i] = {static_cast<Field::Kind>(from[i].kind), from[i].text};
    }
}

std::string show(const Field& field) {
    if (field.kind == Field::Kind::Null) {
        return "null";
    }
    const bool cut = field.text.size() > shown_value_bytes;
    return printable(field.text.substr(0, shown_value_bytes)) + (cut ? "..." : "");
}

[[noreturn]] void contradicts_itself() {
    throw Error(Reaction::Stop, "the row changes of a transaction contradict its tables",
                "compare the versions of Antipode on both sites (antipode version)");
}

}  // namespace

std::string describe_place(uint32_t xid, Lsn commit_lsn) {
    return "transaction " + std::to_string(xid) + " at " + commit_lsn.to_string();
}
std::string describe_place(const v1::Transaction& transaction) {
    return describe_place(transaction.xid(), Lsn{transaction.commit_lsn()});
}

void OperationReader::forget() {
    mapped_.clear();
    shapes_.clear();
    ++round_;
    gathered_ = 0;
}

void OperationReader::hand_over() {
    operations_.swap(handed_over_);
    gathered_ = 0;
}

void OperationReader::open(const v1::Transaction& message) {
    relations_.clear();
    for (const v1::Relation& relation : message.relations()) {
        relations_[relation.id()] = {shape_of(relation), relation.SerializeAsString()};
    }
}

void OperationReader::open(const Source& source, const CopiedTables& copied,
                           const std::optional<TableName>& left_out) {
    xid_ = source.xid;
    commit_lsn_ = source.commit_lsn;
    if (!copied.empty() || left_out_ != left_out) {
        ++round_;
    }
    left_out_ = left_out;
    copied_ = &copied;
    reader_ = protocol::ChangeReader(source.changes);
    expected_ = source.change_count;
}

void OperationReader::find(Relation& relation) {
    const CopiedTables& copied = *copied_;
    relation.partly = copied.coverage(relation.shape.name, xid_, commit_lsn_);
    relation.copied = relation.partly.all;
    if (left_out_ && *left_out_ == relation.shape.name) {
        relation.copied = true;
        relation.partly.ranges.clear();
        return;
    }
    find_key(relation);
    if (const auto known = mapped_.find(relation.bytes); known != mapped_.end()) {
        relation.mapped = known->second;
        return;
    }
    if (relation.copied) {
        return;
    }
    settle_();
    const MappedRelation mapped = session_.map(relation.shape);
    if (mapped.problem.empty()) {
        relation.mapped = mapped_[relation.bytes] = mapped.relation;
        shapes_[mapped.relation] = relation.shape;
        return;
    }
    // Gone or renamed before the schema was read, later than this transaction?
    relation.copied = copied.contains(schema_name, xid_, commit_lsn_);
    if (!relation.copied && mapped.no_table) {
        throw LacksTable(relation.shape.name, place() + " changes " +
                                                  printable(relation.shape.name.to_string()) +
                                                  ": " + mapped.problem);
    }
    if (!relation.copied) {
        throw Error(Reaction::Stop,
                    place() + " changes " + printable(relation.shape.name.to_string()) + ": " +
                        mapped.problem,
                    "add it as a superuser (PGOPTIONS='-c default_transaction_read_only=off -c "
                    "session_replication_role=replica' psql), with its type alone; apply then goes "
                    "on by itself; then antipode database check --mend makes the rest of it");
    }
}

void OperationReader::find_key(Relation& relation) const {
    if (relation.partly.ranges.empty()) {
        return;
    }
    const auto& columns = relation.shape.columns;
    for (size_t i = 0; i < columns.size(); ++i) {
        if (columns[i].name == relation.partly.column() && columns[i].key) {
            relation.key = i;
            return;
        }
    }
    throw LacksTable(relation.shape.name,
                     place() + " changes " + printable(relation.shape.name.to_string()) +
                         ", which was copied in ranges of a key that it has no more");
}

/// Only what this transaction changes is looked for: a message may hold others, and a table that
/// one of them lacks is that one's trouble.
const OperationReader::Relation& OperationReader::relation(uint32_t id) {
    const auto found = relations_.find(id);
    if (found == relations_.end()) {
        contradicts_itself();
    }
    if (found->second.found_in != round_) {
        find(found->second);
        found->second.found_in = round_;
    }
    return found->second;
}

bool OperationReader::read(size_t most) {
    while (gathered_ < most) {
        if (!reader_.next(change_)) {
            if (expected_ != 0) {
                contradicts_itself();  // cut between two changes
            }
            return false;
        }
        --expected_;
        if (operations_.size() == gathered_) {
            operations_.emplace_back();
        }
        if (convert(operations_[gathered_])) {
            ++gathered_;
        }
    }
    return true;
}

/// False when there is nothing to do.
bool OperationReader::convert(RowOperation& operation) {
    operation.truncated.clear();
    if (change_.op == protocol::Op::Truncate) {
        operation.kind = RowOperation::Kind::Truncate;
        operation.restart_identity = change_.restart_identity;
        for (const uint32_t id : change_.truncated) {
            if (!relation(id).partly.ranges.empty()) {
                const std::string name = printable(relation(id).shape.name.to_string());
                throw LacksTable(relation(id).shape.name,
                                 place() + " truncates " + name + " while it was being copied");
            }
            if (!relation(id).copied) {
                operation.truncated.push_back(*relation(id).mapped);
            }
        }
        operation.relation = operation.truncated.empty() ? 0 : operation.truncated.front();
        return !operation.truncated.empty();
    }
    const Relation& changed = relation(change_.relation);
    operation.kind = change_.op == protocol::Op::Insert   ? RowOperation::Kind::Insert
                     : change_.op == protocol::Op::Update ? RowOperation::Kind::Update
                                                          : RowOperation::Kind::Delete;
    operation.relation = changed.mapped.value_or(0);
    operation.has_old = change_.old_kind != protocol::OldRow::None;
    copy_row(change_.old_row, operation.old_row);
    copy_row(change_.new_row, operation.new_row);
    check(changed, operation);
    return !changed.copied &&
           (changed.partly.ranges.empty() || leave_out_copied(changed, operation));
}

/// Rows of a table that was copied in ranges, each under its own snapshot. A row that moves between
/// two ranges is half done already. False: nothing is left.
bool OperationReader::leave_out_copied(const Relation& relation, RowOperation& operation) const {
    using Kind = RowOperation::Kind;
    const auto& before = operation.has_old ? operation.old_row : operation.new_row;
    const bool gone = operation.kind == Kind::Insert || is_copied(relation, before);
    const bool here = operation.kind == Kind::Delete || is_copied(relation, operation.new_row);
    if (operation.kind != Kind::Update || gone == here) {
        return !(gone && here);
    }
    if (here) {
        operation.kind = Kind::Delete;
        return true;
    }
    operation.kind = Kind::Insert;
    operation.has_old = false;
    for (const Field& field : operation.new_row) {
        if (field.kind == Field::Kind::Unchanged) {
            throw LacksTable(relation.shape.name, place() + " changes keys of " +
                                                      printable(relation.shape.name.to_string()) +
                                                      " while it was being copied");
        }
    }
    return true;
}

bool OperationReader::is_copied(const Relation& relation, const std::vector<Field>& row) const {
    const Field& field = row[relation.key];
    const auto key = protocol::decode_number(field.text);
    if (field.kind != Field::Kind::Text || !key) {
        contradicts_itself();
    }
    return relation.partly.contains(*key);
}

/// What follows relies on each row having as many fields as its table has columns.
void OperationReader::check(const Relation& relation, const RowOperation& operation) const {
    const size_t columns = relation.shape.columns.size();
    const bool is_delete = operation.kind == RowOperation::Kind::Delete;
    const bool new_fits = is_delete || operation.new_row.size() == columns;
    const bool old_fits = operation.has_old ? operation.old_row.size() == columns : !is_delete;
    if (!new_fits || !old_fits) {
        contradicts_itself();
    }
}

std::string OperationReader::describe(const RowOperation& operation) const {
    const auto found = shapes_.find(operation.relation);
    if (found == shapes_.end()) {
        return place();
    }
    const RelationShape& shape = found->second;
    const auto& row = operation.has_old ? operation.old_row : operation.new_row;
    std::string key;
    for (size_t i = 0; i < row.size(); ++i) {
        if (shape.columns[i].key) {
            key +=
                (key.empty() ? "" : ", ") + printable(shape.columns[i].name) + " = " + show(row[i]);
        }
    }
    return place() + ", " + printable(shape.name.to_string()) +
           (key.empty() ? "" : ", key (" + key + ")");
}

}  // namespace antipode::secondary
