#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/postgres/copy_in.hpp"
#include "base/seams/database.hpp"

namespace antipode::postgres {

/// One COPY of a table, or of a range of its rows, into this site's table, within the connection's
/// transaction. That it is copied is remembered before its first row, so that two sessions never
/// copy the same; antipode.copied_table holds it. Rows that were not copied are never overwritten.
/// Everything throws as Connection does.
class TableFill {
  public:
    struct Place {
        Connection& connection;
        const std::string& store;
        /// The backend that must hold the writers' lock; 0: this one does.
        int writer = 0;
    };
    /// nullptr: this site's columns have other types, so that the binary format cannot be read.
    static std::unique_ptr<TableFill> begin(const Place& place, const CopyBeginning& beginning);

    void write(std::string_view bytes) { copy_.write(bytes); }
    /// The number of rows.
    uint64_t end();

  private:
    TableFill(const Place& place, const CopiedTable& copied, CopyIn copy)
        : place_(place), copied_(copied), copy_(std::move(copy)) {}

    Place place_;
    CopiedTable copied_;
    CopyIn copy_;
};

/// Held by the one session that may write: "anti", "aply".
inline constexpr const char* writers_lock = "1634628713, 1634757753";

/// Makes the table that remembers what is copied as this version uses it.
void renew_copied_table(Connection& connection);

std::vector<CopiedTable> read_copied(Connection& connection, const std::string& store);
void remember_copied(const TableFill::Place& place, const CopiedTable& copied);
/// Empties a table that was copied, and forgets that it was; false: there is no such table.
bool clear_copied(const TableFill::Place& place, const TableName& table);

}  // namespace antipode::postgres
