#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/seams/chunks.hpp"
#include "base/seams/database.hpp"

namespace antipode::secondary {

/// A database in memory: tables of a key and a value. What is not committed is lost with the
/// session.
class FakeSession final : public ReplicaSession {
  public:
    using Rows = std::map<std::string, std::string>;  ///< key -> value
    struct Contents {
        ReplicaState state;
        std::map<std::string, Rows> tables;
    };

    ReplicaState load() override {
        ++loads;
        return committed.state;
    }
    void begin() override {
        EXPECT_FALSE(open);
        open = true;
        working = committed;
    }
    void commit() override {
        step();
        EXPECT_TRUE(open);
        EXPECT_TRUE(running.empty());
        open = false;
        committed = working;
        ++commits;
    }
    void rollback() noexcept override {
        open = false;
        running = {};
    }

    MappedRelation map(const RelationShape& relation) override {
        EXPECT_TRUE(running.empty());
        if (!working.tables.contains(relation.name.table)) {
            return {0, "there is no such table on this site", true};
        }
        names.push_back(relation.name.table);
        return {static_cast<uint32_t>(names.size() - 1), {}, false};
    }
    std::optional<RowProblem> apply(std::span<const RowOperation> operations) override {
        if (auto problem = settle()) {
            return problem;
        }
        EXPECT_TRUE(open);
        running = operations;
        return std::nullopt;
    }
    std::optional<RowProblem> settle() override {
        if (running.empty()) {
            return std::nullopt;
        }
        step();
        const auto operations = std::exchange(running, {});
        for (size_t i = 0; i < operations.size(); ++i) {
            if (!apply_one(operations[i])) {
                return RowProblem{i, RowProblem::Kind::NotFound, "0 rows have this identity"};
            }
        }
        return std::nullopt;
    }
    void save_position(const Position& position, Lsn lsn, uint64_t transactions) override {
        working.state.position = position;
        working.state.lsn = lsn;
        working.state.transactions = transactions;
    }
    void save(const ReplicaState& state) override {
        const auto tables = working.state.tables;
        const auto awaited = working.state.awaited;
        working.state = state;
        working.state.tables = tables;
        working.state.awaited = awaited;
    }
    void forget_tables() override { working.state.tables.clear(); }
    void await_copy(const TableName& table) override {
        working.state.awaited.push_back({table, false});
    }
    std::vector<AwaitedTable> awaited() override { return working.state.awaited; }
    void remember_copied(const CopiedTable& table) override {
        working.state.tables.push_back(table);
    }
    void run_ddl(const DdlStatement& statement) override {
        step();
        scripts.push_back(statement.sql);
        if (statement.sql.starts_with("table ")) {
            working.tables[statement.sql.substr(6)];
        }
    }
    std::vector<LocalTable> tables() override {
        std::vector<LocalTable> result;
        for (const auto& [name, rows] : working.tables) {
            result.push_back({{"public", name}, rows.empty(), false});
        }
        return result;
    }
    void run_script(const std::string& sql) override {
        scripts.push_back(sql);
        if (sql.starts_with("table ")) {
            working.tables[sql.substr(6)];
        }
    }
    void set_sequence(const SequenceValue& sequence) override {
        scripts.push_back("sequence " + sequence.name.table);
    }
    void follow_sequences(std::span<const SequenceState> states) override {
        step();
        for (const SequenceState& state : states) {
            scripts.push_back((state.exact ? "set " : "raise ") + state.at.name.table + " to " +
                              std::to_string(state.at.value));
        }
    }
    bool begin_copy(const CopyBeginning& beginning) override {
        EXPECT_THAT(beginning.columns, testing::ElementsAre("id", "v"));
        copying = beginning.copied.name.table;
        working.state.tables.push_back(beginning.copied);
        return true;
    }
    void copy_bytes(std::string_view bytes) override { copied += bytes; }
    std::string schema(SchemaSection) override { return {}; }
    ChunkDigests digests(const ChunkPlan&) override { return {}; }
    void begin_mend(const ChunkPlan&) override {}
    void mend_bytes(std::string_view) override {}
    MendedRows end_mend(const std::set<uint32_t>&, const TouchedRows&) override { return {}; }
    void edit_structure(const std::function<void(StructureEditor&)>& /*edit*/) override {}
    uint64_t end_copy() override {
        working.tables[copying] = {{copied, "copied"}};
        copied.clear();
        return 1;
    }
    bool clear_copied(const TableName& table) override {
        std::erase_if(working.state.tables,
                      [&](const CopiedTable& known) { return known.name == table; });
        return working.tables.contains(table.table);
    }
    bool give_up_repair(const TableName& /*table*/) override { return false; }
    void record_skip(const SkippedTransaction& /*one*/) override { working.state.skips.clear(); }
    void note_stopped(Lsn commit_lsn, const std::string& /*problem*/) override {
        scripts.push_back("stopped at " + commit_lsn.to_string());
    }
    int server_major() override { return 0; }
    std::unique_ptr<ReplicaSession> beside() override { return nullptr; }

    /// The n-th call of apply() or commit() from now fails as a lost connection.
    int fail_at = 0;
    Contents committed;
    Contents working;
    bool open = false;
    int loads = 0;
    int commits = 0;
    std::vector<std::string> names;
    std::vector<std::string> scripts;
    std::string copying;
    std::string copied;
    std::span<const RowOperation> running;  ///< done when somebody asks for it

  private:
    void step() {
        if (fail_at > 0 && --fail_at == 0) {
            open = false;
            throw Error(Reaction::Retry, "connection lost");
        }
    }
    bool apply_one(const RowOperation& operation) {
        if (operation.kind == RowOperation::Kind::Truncate) {
            for (const uint32_t relation : operation.truncated) {
                working.tables[names[relation]].clear();
            }
            return true;
        }
        Rows& rows = working.tables[names.at(operation.relation)];
        if (operation.kind != RowOperation::Kind::Insert) {
            const auto& old = operation.has_old ? operation.old_row : operation.new_row;
            if (rows.erase(std::string(old[0].text)) == 0) {
                return false;
            }
        }
        if (operation.kind != RowOperation::Kind::Delete) {
            rows[std::string(operation.new_row[0].text)] = operation.new_row[1].text;
        }
        return true;
    }
};

}  // namespace antipode::secondary
