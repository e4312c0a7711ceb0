#pragma once

#include <cstdint>

#include "adapters/postgres/connection.hpp"
#include "base/digest.hpp"
#include "base/seams/database.hpp"

namespace antipode::verify {

struct TableDigest {
    uint64_t rows = 0;
    Digest digest;  ///< "rows-1"
};

/// The digest "rows-1" of a table's own rows (not its children's) in `connection`'s snapshot: 8
/// bytes number of rows, 8 bytes XOR over hashtextextended(text of the row, 0), big-endian. The row
/// is written with its columns in the order of their names, so that two sites may have them in
/// different orders; generated columns are left out. Equal across PostgreSQL 14 to 17, because
/// Connection pins how values are written. Equal rows cancel out in pairs: the count tells them
/// from none, not from other pairs.
TableDigest table_digest(postgres::Connection& connection, const TableName& table);

}  // namespace antipode::verify
