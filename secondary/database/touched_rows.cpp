#include "secondary/database/touched_rows.hpp"

#include <algorithm>
#include <unordered_map>

#include "protocol/rows.hpp"

namespace antipode::secondary {
namespace {

constexpr size_t most_rows = 100'000;

/// The columns that name a row of this table, and their places in a change's rows.
struct Naming {
    TouchedRows* rows = nullptr;
    std::vector<size_t> places;
};

Naming naming_of(const v1::Relation& relation, Touched& touched) {
    Naming naming;
    naming.rows = &touched[{relation.schema(), relation.table()}];
    const auto is_key = [](const v1::Column& column) { return column.key(); };
    const auto& columns = relation.columns();
    const bool any_key = std::any_of(columns.begin(), columns.end(), is_key);
    std::vector<std::string> names;
    for (int i = 0; i < columns.size(); ++i) {
        if (!any_key || columns[i].key()) {
            naming.places.push_back(static_cast<size_t>(i));
            names.push_back(columns[i].name());
        }
    }
    if (naming.rows->rows.empty()) {
        naming.rows->columns = names;
    }
    // The table changed between two transactions.
    naming.rows->all = naming.rows->all || naming.rows->columns != names;
    return naming;
}

/// `other` has what is unchanged in `row`.
void add(const Naming& naming, const protocol::Row& row, const protocol::Row& other) {
    TouchedRows& touched = *naming.rows;
    if (touched.all) {
        return;
    }
    std::vector<std::optional<std::string>> named;
    for (const size_t place : naming.places) {
        const protocol::Value* value = place < row.size() ? &row[place] : nullptr;
        if (value != nullptr && value->kind == protocol::Value::Kind::Unchanged) {
            value = place < other.size() ? &other[place] : nullptr;
        }
        if (value == nullptr || value->kind == protocol::Value::Kind::Unchanged) {
            touched.all = true;
            return;
        }
        named.push_back(value->kind == protocol::Value::Kind::Null
                            ? std::nullopt
                            : std::optional(std::string(value->text)));
    }
    touched.rows.push_back(std::move(named));
    touched.all = touched.rows.size() > most_rows;
}

}  // namespace

void add_touched_rows(const Relations& relations, std::string_view changes, Touched& touched) {
    std::unordered_map<uint32_t, Naming> namings;
    for (const v1::Relation& relation : relations) {
        namings[relation.id()] = naming_of(relation, touched);
    }
    protocol::ChangeReader reader(changes);
    for (protocol::Change change; reader.next(change);) {
        if (change.op == protocol::Op::Truncate) {
            for (const uint32_t id : change.truncated) {
                if (const auto found = namings.find(id); found != namings.end()) {
                    found->second.rows->all = true;
                }
            }
            continue;
        }
        const auto found = namings.find(change.relation);
        if (found == namings.end()) {
            continue;
        }
        if (change.op != protocol::Op::Insert && change.old_kind != protocol::OldRow::None) {
            add(found->second, change.old_row, {});
        }
        if (change.op != protocol::Op::Delete) {
            add(found->second, change.new_row, change.old_row);
        }
    }
}

}  // namespace antipode::secondary
