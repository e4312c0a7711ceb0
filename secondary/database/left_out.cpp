#include "secondary/database/left_out.hpp"

#include <array>
#include <map>

#include "base/digest.hpp"
#include "base/limits.hpp"
#include "protocol/rows.hpp"

namespace antipode::secondary {
namespace {

constexpr size_t most_key_bytes = 256 * limits::kib;
constexpr size_t shown_value_bytes = 60;

std::string key_of(const v1::Relation& relation, const protocol::Row& row) {
    std::string key;
    for (int i = 0; i < relation.columns_size() && static_cast<size_t>(i) < row.size(); ++i) {
        const protocol::Value& value = row[static_cast<size_t>(i)];
        if (relation.columns(i).key()) {
            key += (key.empty() ? "" : ", ") + printable(relation.columns(i).name()) + " = " +
                   (value.kind == protocol::Value::Kind::Text
                        ? printable(value.text.substr(0, shown_value_bytes))
                        : "null");
        }
    }
    return key.empty() ? "" : " (" + key + ")";
}

const char* verb(protocol::Op op) {
    switch (op) {
        case protocol::Op::Insert:
            return "insert ";
        case protocol::Op::Update:
            return "update ";
        case protocol::Op::Delete:
            return "delete ";
        case protocol::Op::Truncate:
            return "truncate ";
    }
    return "";
}

/// Of "table public.items", as PostgreSQL quotes names in identities; nullopt: no table.
std::optional<TableName> table_in(std::string_view object) {
    constexpr std::string_view kind = "table ";
    if (!object.starts_with(kind)) {
        return std::nullopt;
    }
    std::array<std::string, 2> names;
    size_t part = 0;
    bool quoted = false;
    for (size_t i = kind.size(); i < object.size(); ++i) {
        const char c = object[i];
        if (c == '"' && quoted && i + 1 < object.size() && object[i + 1] == '"') {
            names.at(part) += object[++i];
        } else if (c == '"') {
            quoted = !quoted;
        } else if (c == '.' && !quoted && part == 0) {
            ++part;
        } else {
            names.at(part) += c;
        }
    }
    return part == 1 && !names[1].empty() ? std::optional(TableName{names[0], names[1]})
                                          : std::nullopt;
}

}  // namespace

/// What an operator did by hand instead may have given each row something else.
void LeftOut::note_structure(const v1::Ddl& statement) {
    note(statement.tag() + ": " + printable(statement.sql()));
    if (statement.tag() != "ALTER TABLE") {
        return;
    }
    for (const std::string& object : statement.objects()) {
        if (auto table = table_in(object)) {
            tables_.insert(std::move(*table));
        }
    }
}

void LeftOut::note(const std::string& line) {
    if (cut_ || keys_.size() + line.size() > most_key_bytes) {
        cut_ = true;
        return;
    }
    keys_ += line + "\n";
}

void LeftOut::add(const v1::Transaction& message, std::string_view changes,
                  const std::optional<TableName>& only) {
    std::map<uint32_t, const v1::Relation*> relations;
    for (const v1::Relation& relation : message.relations()) {
        relations[relation.id()] = &relation;
    }
    const auto note_change = [&](const protocol::Change& change, uint32_t id) {
        const auto found = relations.find(id);
        if (found == relations.end()) {
            return;
        }
        const v1::Relation& relation = *found->second;
        const TableName name{relation.schema(), relation.table()};
        if (only && !(*only == name)) {
            return;
        }
        tables_.insert(name);
        ++changes_;
        const bool old = change.old_kind != protocol::OldRow::None;
        note(verb(change.op) + printable(name.to_string()) +
             key_of(relation, old ? change.old_row : change.new_row));
    };
    if (!only) {
        for (const v1::Ddl& statement : message.statements()) {
            note_structure(statement);
        }
    }
    protocol::ChangeReader reader(changes);
    for (protocol::Change change; reader.next(change);) {
        if (change.op == protocol::Op::Truncate) {
            for (const uint32_t id : change.truncated) {
                note_change(change, id);
            }
        } else {
            note_change(change, change.relation);
        }
    }
}

SkippedTransaction LeftOut::record(const SkipRequest& request, uint32_t xid) const {
    return {request,
            xid,
            {tables_.begin(), tables_.end()},
            changes_,
            keys_ + (cut_ ? "and more\n" : "")};
}

}  // namespace antipode::secondary
