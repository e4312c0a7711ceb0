#include "adapters/postgres/awaited_copy.hpp"

#include "adapters/postgres/connection.hpp"

namespace antipode::postgres {

std::vector<AwaitedTable> read_awaited(Connection& connection, const std::string& store) {
    const Rows rows = connection.query("reading which tables are to be copied again", R"(
        WITH dropped AS (DELETE FROM antipode.awaited_copy a WHERE store = $1
            AND NOT EXISTS (SELECT FROM pg_class WHERE oid = a.relation))
        SELECT n.nspname, c.relname, a.copied FROM antipode.awaited_copy a
        JOIN pg_class c ON c.oid = a.relation JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE a.store = $1 ORDER BY 1, 2)",
                                       {store});
    std::vector<AwaitedTable> tables;
    for (int row = 0; row < rows.size(); ++row) {
        tables.push_back({{rows.string(row, 0), rows.string(row, 1)}, rows.boolean(row, 2)});
    }
    return tables;
}

void await_copy(const TableFill::Place& place, const TableName& table) {
    const std::string doing = "remembering to copy " + table.to_string() + " again";
    place.connection.query(doing,
                           "DELETE FROM antipode.copied_table WHERE store = $1 "
                           "AND schema_name = $2 AND table_name = $3",
                           {place.store, table.schema, table.table});
    place.connection.query(doing,
                           "INSERT INTO antipode.awaited_copy (store, relation) "
                           "VALUES ($1, $2::regclass) "
                           "ON CONFLICT (store, relation) DO UPDATE SET copied = false",
                           {place.store, qualified(table)});
}

void note_awaited_copied(const TableFill::Place& place, const TableName& table) {
    place.connection.query("remembering that " + table.to_string() + " is copied",
                           "UPDATE antipode.awaited_copy SET copied = true WHERE store = $1 "
                           "AND relation = $2::regclass",
                           {place.store, qualified(table)});
}

void forget_awaited(const TableFill::Place& place) {
    place.connection.query("forgetting what was copied again",
                           "DELETE FROM antipode.awaited_copy WHERE store = $1 AND copied",
                           {place.store});
}

}  // namespace antipode::postgres
