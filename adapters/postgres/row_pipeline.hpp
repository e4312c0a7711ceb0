#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "adapters/postgres/target_table.hpp"
#include "base/seams/database.hpp"

namespace antipode::postgres {

/// Turns row operations into prepared statements and sends them in libpq pipelines, a bounded
/// window at a time: the server's answers to a window are small enough never to fill a socket, so
/// that neither side can wait for the other. One thread; as old as its connection.
class RowPipeline {
  public:
    explicit RowPipeline(Connection& connection) : connection_(connection) {}

    uint32_t add(TargetTable table);
    const TargetTable& table(uint32_t relation) const { return tables_.at(relation); }

    using Wanted = std::function<bool(const RowOperation&)>;
    /// Those that are wanted, in order, up to the first problem. Throws when the connection is lost
    /// or the server asks to try again.
    std::optional<RowProblem> run(
        std::span<const RowOperation> operations,
        const Wanted& wanted = [](const RowOperation&) { return true; });

  private:
    struct Prepared {
        std::string name;
        TargetTable::Statement statement;
    };
    struct Expected {
        size_t operation = 0;
        bool counted = false;  ///< must touch exactly one row; not so when a statement is prepared
    };

    void send(size_t index, const RowOperation& operation);
    void send_truncate(const RowOperation& operation);
    const Prepared& prepared(size_t index, const RowOperation& operation);
    void send_prepared(const Prepared& prepared, const RowOperation& operation);
    void finish_window();
    void take_result(const Expected& expected);
    void check(int sent);

    Connection& connection_;
    std::vector<TargetTable> tables_;
    std::unordered_map<std::string, Prepared> statements_;
    uint64_t next_name_ = 0;

    std::vector<Expected> window_;
    size_t window_bytes_ = 0;
    std::optional<RowProblem> problem_;
    // Reused from row to row.
    std::string key_;
    std::string values_;
    std::vector<const char*> pointers_;
    std::vector<size_t> offsets_;
};

}  // namespace antipode::postgres
