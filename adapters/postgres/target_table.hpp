#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/seams/database.hpp"

namespace antipode::postgres {

class Connection;

/// A table that rows are applied to, matched with the source's description of it, and the SQL that
/// changes one row of it.
///
/// A row is found by a unique index over the source's identity columns, with the index's own
/// equality operators. Where there is none (no primary key, REPLICA IDENTITY FULL), it is found by
/// the text of every column, and exactly one of several equal rows is taken; another index serves
/// to look at fewer of them.
class TargetTable {
  public:
    /// A parameter of a statement: a field of the old or the new row.
    struct Parameter {
        bool of_old = false;
        size_t column = 0;
    };
    struct Statement {
        std::string sql;
        std::vector<Parameter> parameters;
    };

    /// Reads the catalog. nullopt and `problem` set when table or columns are missing.
    static std::optional<TargetTable> find(Connection& connection, const RelationShape& source,
                                           std::string& problem);

    const std::string& oid() const { return oid_; }
    const std::string& truncate_name() const { return from_; }
    const std::string& alter_name() const { return into_; }
    /// It has triggers or rules that fire in sessions of replication too.
    bool fires_always() const { return fires_always_; }
    /// The columns that the rows' own key finds them by; empty: they are found by text.
    std::vector<size_t> key() const;
    /// Whether rows are told apart by all that they hold, so that copies of whole rows can be taken
    /// and put in their place.
    bool is_bag() const { return is_bag_; }
    /// Whether finding one row means to look at all of them.
    bool is_scanned() const { return key_.empty() && finder_.empty(); }

    Statement insert() const;
    /// `unchanged[i]`: the source did not send column i; it keeps its value. `has_old`: the row is
    /// found by the old row, else by the key in the new row.
    Statement update(bool has_old, const std::vector<bool>& unchanged) const;
    Statement remove() const;

    // The same for many rows at once: each parameter is an array with a field of every row.
    /// Statement of COPY; its parameters are the columns, in order.
    Statement copy() const;
    /// nullopt: no column would change, or rows must be changed one by one.
    std::optional<Statement> update_many(const std::vector<bool>& unchanged) const;
    Statement remove_many() const;
    /// Of a bag: as many copies of each row as the arrays have. It looks at the whole table once,
    /// between scans_settings() and `unscans_settings`.
    Statement remove_copies() const;
    std::string scans_settings() const;
    static constexpr const char* unscans_settings =
        "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; "
        "SET LOCAL enable_nestloop = on";

  private:
    struct Column {
        std::string name;  ///< quoted
        std::string type;
        bool in_array = false;  ///< an array literal can hold its values
        bool generated = false;
        bool identity_always = false;
        bool not_null = false;
    };
    struct KeyColumn {
        size_t column = 0;     ///< of the source
        std::string equality;  ///< OPERATOR(schema.op)
    };

    bool read_table(Connection& connection, const RelationShape& source, std::string& problem);
    bool read_columns(Connection& connection, const RelationShape& source, std::string& problem);
    void choose_key(Connection& connection, const RelationShape& source);
    void choose_finder(Connection& connection, const RelationShape& source);
    bool is_key(size_t column) const;
    bool may_change_identity(bool has_old) const;
    Statement replace(bool has_old, const std::vector<bool>& unchanged) const;
    std::string where(Statement& statement, bool of_old) const;
    std::string is_any_of_array(const KeyColumn& key) const;
    std::string arrays_of(const Statement& statement) const;
    std::string join_by_key(const Statement& statement) const;
    std::string value_of(const Statement& statement, size_t parameter) const;

    std::string oid_;
    bool partitioned_ = false;
    bool fires_always_ = false;
    std::string from_;              ///< quoted name, with ONLY where children must be left out
    std::string into_;              ///< quoted name
    std::vector<Column> columns_;   ///< in the source's order
    std::vector<KeyColumn> key_;    ///< empty: found by text
    std::vector<size_t> identity_;  ///< columns compared by text when there is no key
    /// Of an index that is not unique, when there is no key.
    std::vector<KeyColumn> finder_;
    std::string known_sql_;  ///< whether there are statistics of the finder
    bool is_bag_ = false;
};

}  // namespace antipode::postgres
