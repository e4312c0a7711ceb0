#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "adapters/postgres/net_changes.hpp"
#include "adapters/postgres/row_bag.hpp"
#include "adapters/postgres/row_pipeline.hpp"

namespace antipode::postgres {

/// Applies many row operations at once: their net changes, a few statements a table. Few
/// operations, and whatever cannot be done so, go through the row pipeline one by one, which also
/// finds out what exactly is wrong when a set of rows is refused. Where each single row would have
/// to be looked for in a whole table, two are many, and a set that is refused is halved until the
/// one is found that it is refused for. One thread, but for prepare(); as old as its connection.
class RowSets {
  public:
    explicit RowSets(Connection& connection) : connection_(connection), pipeline_(connection) {}

    class Batch;

    uint32_t add(TargetTable table);
    /// Works out what the operations amount to, which outlive the batch. Any thread, also while
    /// run() is at work: not during add().
    Batch prepare(std::span<const RowOperation> operations) const;
    /// As RowPipeline::run().
    std::optional<RowProblem> run(const Batch& batch);

  private:
    using Row = NetChanges::Row;
    /// A statement that changes many rows, with its parameters.
    struct Call {
        std::string sql;
        std::vector<std::string> arrays;
        size_t rows;
        std::string settings;  ///< for it alone; empty: none
    };
    /// A COPY, with its rows in its text format.
    struct Copy {
        std::string sql{};
        std::string lines{};
        size_t rows = 0;  ///< 0: there is nothing to copy
    };
    /// A table's part of the operations.
    struct Share {
        std::variant<NetChanges, RowBag> changes;
        bool singly = false;
        // Unless singly, and in this order no key is there twice:
        std::vector<Call> calls{};
        Copy copy{};

        bool add(const RowOperation& operation);
        bool finish(const TargetTable& table);
    };
    using Shares = std::map<uint32_t, Share>;

    std::optional<RowProblem> run_rows(std::span<const RowOperation> operations);
    std::optional<RowProblem> run_many(std::span<const RowOperation> operations,
                                       const Shares& shares);
    std::optional<RowProblem> run_few(std::span<const RowOperation> operations);
    std::optional<RowProblem> run_halves(std::span<const RowOperation> operations);
    bool go_in_sets(std::span<const RowOperation> operations) const;
    bool scan_tables(std::span<const RowOperation> operations) const;
    /// False: refused, or not as many rows as there should be; nothing is done then.
    bool try_sets(std::span<const RowOperation> operations, const Shares& shares);
    /// By table; nullopt when one table goes by two descriptions, or has no such statement.
    std::optional<Shares> shares(std::span<const RowOperation> operations) const;
    bool write(const Share& share);
    bool run_call(const Call& call);
    bool run_copy(const Copy& copy);

    Connection& connection_;
    RowPipeline pipeline_;
};

/// Operations that are ready to be run.
class RowSets::Batch {
  public:
    std::span<const RowOperation> operations() const { return operations_; }

  private:
    friend class RowSets;
    std::span<const RowOperation> operations_;
    std::optional<Shares> shares_{};  ///< of all of them; none: it is not that simple
};

}  // namespace antipode::postgres
