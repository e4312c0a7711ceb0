#include "verify/database/table_digest.hpp"

namespace antipode::verify {
namespace {

void put(std::string& bytes, uint64_t value) {
    for (int shift = 56; shift >= 0; shift -= 8) {
        bytes += static_cast<char>(value >> shift);
    }
}

}  // namespace

TableDigest table_digest(postgres::Connection& connection, const TableName& table) {
    const std::string doing = "computing the digest of " + table.to_string();
    const std::string name =
        postgres::quote_identifier(table.schema) + "." + postgres::quote_identifier(table.table);
    const auto columns = connection.query(
        doing,
        "SELECT attname FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 "
        "AND NOT attisdropped AND attgenerated = '' ORDER BY attname COLLATE \"C\"",
        {name});
    std::string row;
    for (int i = 0; i < columns.size(); ++i) {
        row += (row.empty() ? "" : ", ") + postgres::quote_identifier(columns.text(i, 0));
    }
    const auto result =
        connection.query(doing, "SELECT count(*), coalesce(bit_xor(hashtextextended(ROW(" + row +
                                    ")::text COLLATE \"C\", 0)), 0) FROM ONLY " + name);
    TableDigest digest;
    digest.rows = static_cast<uint64_t>(result.integer(0, 0));
    digest.digest.algorithm = "rows-1";
    put(digest.digest.value, digest.rows);
    put(digest.digest.value, static_cast<uint64_t>(result.integer(0, 1)));
    return digest;
}

}  // namespace antipode::verify
