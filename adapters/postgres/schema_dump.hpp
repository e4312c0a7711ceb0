#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/seams/database.hpp"

namespace antipode::postgres {

/// Chooses the lines of a pg_dump script that belong to one SchemaSection. pg_dump knows pre-data
/// and post-data; foreign keys are told from the rest of post-data by the comment that pg_dump
/// writes above each entry. psql's own commands (\restrict) are left out: the script is run as SQL.
class SectionFilter {
  public:
    explicit SectionFilter(SchemaSection section) : section_(section) {}
    /// Whether `line` (with or without its newline) belongs to the section.
    bool keep(std::string_view line);

  private:
    SchemaSection section_;
    bool in_entry_ = false;
    bool in_foreign_key_ = false;
    bool own_ = false;  ///< what `antipode database setup` made
    bool own_rights_ = false;
};

/// Runs pg_dump, streaming its output. The password goes through the environment, never the command
/// line. A failure of pg_dump is an Error with its words at the end of the output.
/// `pg_dump`: the program, at least as new as the server. `only`: of this table and what belongs to
/// it (indexes, owned sequences), but not the types that it uses. `more`: SQL that follows.
std::unique_ptr<ByteReader> dump_schema(const std::string& url, const std::string& pg_dump,
                                        SchemaSection section,
                                        const std::optional<TableName>& only = std::nullopt,
                                        std::string more = {});

/// The pg_dump of the server's version where Debian puts it, else the one in PATH.
std::string find_pg_dump(int server_version);

}  // namespace antipode::postgres
