#include "secondary/database/structure.hpp"

#include <string>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "secondary/database/operation_reader.hpp"

namespace antipode::secondary {
namespace {

constexpr size_t shown_bytes = 300;
constexpr int shown_objects = 3;

DdlStatement statement_of(const v1::Ddl& from, const std::string& place) {
    DdlStatement statement;
    statement.place = place;
    statement.sql = from.sql();
    statement.tag = from.tag();
    statement.objects.assign(from.objects().begin(), from.objects().end());
    statement.role = from.role();
    for (const v1::Ddl::Setting& setting : from.settings()) {
        statement.settings.push_back({setting.name(), setting.value()});
    }
    for (const v1::Ddl::Fill& fill : from.fills()) {
        statement.fills.push_back({{fill.schema(), fill.table()}, fill.column(), fill.value()});
    }
    statement.problem = from.problem();
    for (const v1::Ddl::Table& table : from.copies()) {
        statement.copies.push_back({table.schema(), table.table()});
    }
    return statement;
}

/// "transaction 741 at 0/15F2A98, ALTER TABLE (table public.items): ALTER TABLE items ADD ..."
std::string describe(const v1::Ddl& ddl, const v1::Transaction& transaction) {
    std::string objects;
    for (int i = 0; i < ddl.objects_size() && i < shown_objects; ++i) {
        objects += (i == 0 ? "" : ", ") + printable(ddl.objects(i));
    }
    const bool cut = ddl.sql().size() > shown_bytes;
    return describe_place(transaction) + ", " + ddl.tag() +
           (objects.empty() ? "" : " (" + objects + ")") + ": " +
           printable(ddl.sql().substr(0, shown_bytes)) + (cut ? "..." : "");
}

std::string skip_command(const v1::Transaction& transaction) {
    return "antipode database skip --lsn " + Lsn{transaction.commit_lsn()}.to_string();
}

[[noreturn]] void refuse(const v1::Ddl& ddl, const v1::Transaction& transaction,
                         const std::string& where) {
    throw Error(
        Reaction::Stop,
        "this change of the structure cannot be repeated here: " + ddl.problem() + "; " + where,
        "the next time add a column without a default, then UPDATE, then SET DEFAULT; now run it "
        "here as a superuser (PGOPTIONS='-c default_transaction_read_only=off -c "
        "session_replication_role=replica' psql), then leave the transaction out, which copies "
        "its tables again: " +
            skip_command(transaction));
}

}  // namespace

void run_statements(ReplicaSession& session, const v1::Transaction& transaction, DdlPolicy policy) {
    int nth = 0;
    for (const v1::Ddl& ddl : transaction.statements()) {
        const std::string place = Lsn{transaction.commit_lsn()}.to_string() + " part " +
                                  std::to_string(transaction.part()) + " statement " +
                                  std::to_string(++nth);
        const std::string where = describe(ddl, transaction);
        if (policy == DdlPolicy::Halt) {
            throw Error(Reaction::Stop,
                        "the primary changed the structure, and ddl = \"halt\": " + where,
                        "look at the statement, then set ddl = \"apply\" in [[database]] and "
                        "restart antipoded: it runs the statement and goes on");
        }
        if (!ddl.problem().empty() && ddl.copies().empty()) {
            refuse(ddl, transaction, where);
        }
        try {
            const DdlStatement statement = statement_of(ddl, place);
            session.run_ddl(statement);
            for (const TableName& table : statement.copies) {
                session.await_copy(table);
            }
        } catch (const Error& error) {
            const bool stops = error.reaction() == Reaction::Stop;
            throw Error(
                error.reaction(), std::string(error.what()) + "; " + where,
                error.next_step() +
                    (stops ? "; or leave the transaction out, and make the change by hand: " +
                                 skip_command(transaction)
                           : ""));
        }
    }
}

std::vector<SequenceState> sequence_states(const v1::Transaction& transaction, bool exact) {
    std::vector<SequenceState> states;
    for (const v1::SequenceState& state : transaction.sequences()) {
        states.push_back({{{state.schema(), state.name()}, state.value(), state.called()},
                          exact && state.exact()});
    }
    return states;
}

}  // namespace antipode::secondary
