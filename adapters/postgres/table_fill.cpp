#include "adapters/postgres/table_fill.hpp"

#include "adapters/postgres/awaited_copy.hpp"
#include "adapters/postgres/connection.hpp"

namespace antipode::postgres {
namespace {

constexpr const char* unique_violation = "23505";

std::string bound(const std::optional<int64_t>& key) {
    return key ? std::to_string(*key) : std::string();
}

std::optional<int64_t> bound_of(const Rows& rows, int row, int column) {
    return rows.text(row, column).empty() ? std::nullopt : std::optional(rows.integer(row, column));
}

/// What there is to know of a table before it is filled.
struct Here {
    bool exists = false;
    bool of_extension = false;
    bool may_truncate = false;
};

Here look(const TableFill::Place& place, const std::string& doing, const TableName& table) {
    const Rows rows = place.connection.query(doing, R"(
        SELECT to_regclass($1) IS NOT NULL,
          EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass
                  AND objid = to_regclass($1) AND deptype = 'e'),
          coalesce(has_table_privilege(to_regclass($1), 'TRUNCATE'), false)
            AND NOT EXISTS (SELECT FROM pg_constraint WHERE contype = 'f'
                            AND confrelid = to_regclass($1)))",
                                             {qualified(table)});
    return {rows.boolean(0, 0), rows.boolean(0, 1), rows.boolean(0, 2)};
}

bool types_fit(const TableFill::Place& place, const std::string& doing,
               const CopyBeginning& beginning) {
    const Rows rows = place.connection.query(
        doing, "SELECT attname, atttypid FROM pg_attribute WHERE attrelid = $1::regclass",
        {qualified(beginning.copied.name)});
    for (size_t i = 0; i < beginning.binary_types.size(); ++i) {
        int row = 0;
        while (row < rows.size() && rows.text(row, 0) != beginning.columns.at(i)) {
            ++row;
        }
        if (row == rows.size() || rows.text(row, 1) != std::to_string(beginning.binary_types[i])) {
            return false;
        }
    }
    return true;
}

/// Other ranges may be committed meanwhile: rows and what is remembered of them are looked at in
/// one statement.
void refuse_foreign_rows(const TableFill::Place& place, const std::string& doing,
                         const CopiedTable& copied) {
    const Rows rows = place.connection.query(
        doing,
        "SELECT EXISTS (SELECT FROM ONLY " + qualified(copied.name) +
            ") AND NOT EXISTS (SELECT FROM antipode.copied_table WHERE store = $1 AND "
            "schema_name = $2 AND table_name = $3 AND after_key <> $4)",
        {place.store, copied.name.schema, copied.name.table, bound(copied.range.after)});
    if (rows.boolean(0, 0)) {
        throw Error(Reaction::Stop,
                    doing +
                        ": the table on this site holds rows that were not "
                        "copied from the primary; they are not overwritten",
                    "give the store an empty database, or empty the table by hand");
    }
}

/// Makes sure that nobody else's rows are there. True: it is empty, made so in this transaction, so
/// that rows may be frozen from the beginning: nobody needs to write to them again.
bool make_ready(const TableFill::Place& place, const std::string& doing,
                const CopyBeginning& beginning, const Here& here) {
    const std::string table = qualified(beginning.copied.name);
    if (here.of_extension) {
        // The rows that came with the extension; the primary's copy has them too.
        place.connection.query(doing, "DELETE FROM ONLY " + table);
        return false;
    }
    if (!beginning.copied.range.whole() || !here.may_truncate) {
        refuse_foreign_rows(place, doing, beginning.copied);
        return false;
    }
    place.connection.query(doing, "LOCK TABLE ONLY " + table + " IN ACCESS EXCLUSIVE MODE");
    refuse_foreign_rows(place, doing, beginning.copied);
    place.connection.query(doing, "TRUNCATE ONLY " + table);
    return true;
}

std::string copy_statement(const CopyBeginning& beginning, bool freeze) {
    std::string list;
    for (const std::string& column : beginning.columns) {
        list += (list.empty() ? " (" : ", ") + quote_identifier(column);
    }
    std::string options;
    if (!beginning.binary_types.empty()) {
        options += "FORMAT binary";
    }
    if (freeze) {
        options += options.empty() ? "FREEZE" : ", FREEZE";
    }
    return "COPY " + qualified(beginning.copied.name) + list + (list.empty() ? "" : ")") +
           " FROM STDIN" + (options.empty() ? "" : " WITH (" + options + ")");
}

}  // namespace

std::unique_ptr<TableFill> TableFill::begin(const Place& place, const CopyBeginning& beginning) {
    const std::string doing = "copying " + beginning.copied.name.to_string();
    const Here here = look(place, doing, beginning.copied.name);
    if (!here.exists) {
        throw Error(Reaction::Stop, doing + ": there is no such table on this site",
                    "make the table here as it is on the primary (pg_dump --schema-only "
                    "--table=...); the copy then goes on by itself");
    }
    if (!types_fit(place, doing, beginning)) {
        return nullptr;
    }
    postgres::remember_copied(place, beginning.copied);
    note_awaited_copied(place, beginning.copied.name);
    const bool freeze = make_ready(place, doing, beginning, here);
    return std::unique_ptr<TableFill>(
        new TableFill(place, beginning.copied,
                      CopyIn(place.connection, doing, copy_statement(beginning, freeze))));
}

uint64_t TableFill::end() {
    const uint64_t rows = copy_.finish();
    place_.connection.query(
        "remembering what was copied",
        "UPDATE antipode.copied_table SET rows = $5 WHERE store = $1 AND schema_name = $2 AND "
        "table_name = $3 AND after_key = $4",
        {place_.store, copied_.name.schema, copied_.name.table, bound(copied_.range.after),
         std::to_string(rows)});
    return rows;
}

void renew_copied_table(Connection& connection) {
    connection.execute("renewing the schema antipode", R"(
        ALTER TABLE antipode.copied_table
          ADD key_column text NOT NULL DEFAULT '',
          ADD after_key text NOT NULL DEFAULT '',
          ADD up_to_key text NOT NULL DEFAULT '',
          DROP CONSTRAINT copied_table_pkey,
          ADD PRIMARY KEY (store, schema_name, table_name, after_key))");
}

std::vector<CopiedTable> read_copied(Connection& connection, const std::string& store) {
    const Rows rows = connection.query(
        "reading what is copied",
        "SELECT schema_name, table_name, snapshot, wal_end, key_column, after_key, up_to_key "
        "FROM antipode.copied_table WHERE store = $1",
        {store});
    std::vector<CopiedTable> tables;
    for (int row = 0; row < rows.size(); ++row) {
        tables.push_back({{rows.string(row, 0), rows.string(row, 1)},
                          rows.string(row, 2),
                          Lsn::parse(rows.text(row, 3)).value_or(Lsn{}),
                          {rows.string(row, 4), bound_of(rows, row, 5), bound_of(rows, row, 6)}});
    }
    return tables;
}

void remember_copied(const TableFill::Place& place, const CopiedTable& copied) {
    try {
        const Rows remembered = place.connection.query(
            "remembering a snapshot",
            std::string("INSERT INTO antipode.copied_table (store, schema_name, table_name, "
                        "snapshot, wal_end, rows, key_column, after_key, up_to_key) "
                        "SELECT $1, $2, $3, $4, $5, 0, $6, $7, $8 WHERE $9::int = 0 OR EXISTS "
                        "(SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted "
                        "AND pid = $9::int AND (classid, objid) = (") +
                writers_lock + "))",
            {place.store, copied.name.schema, copied.name.table, copied.snapshot,
             copied.wal_end.to_string(), copied.range.column, bound(copied.range.after),
             bound(copied.range.up_to), std::to_string(place.writer)});
        if (remembered.affected() != 1) {
            throw Error(Reaction::Retry, "the writing session of the database is gone");
        }
    } catch (const SqlError& error) {
        if (error.sqlstate() == unique_violation) {
            throw Error(Reaction::Retry,
                        copied.name.to_string() + " was copied by another session meanwhile");
        }
        throw;
    }
}

bool clear_copied(const TableFill::Place& place, const TableName& table) {
    const std::string doing = "emptying " + table.to_string();
    place.connection.query(doing,
                           "DELETE FROM antipode.copied_table WHERE store = $1 "
                           "AND schema_name = $2 AND table_name = $3",
                           {place.store, table.schema, table.table});
    const Here here = look(place, doing, table);
    if (here.exists) {
        place.connection.query(
            doing, (here.may_truncate ? "TRUNCATE ONLY " : "DELETE FROM ONLY ") + qualified(table));
    }
    return here.exists;
}

}  // namespace antipode::postgres
