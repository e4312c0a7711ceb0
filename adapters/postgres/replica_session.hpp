#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/seams/database.hpp"

namespace antipode::postgres {

/// The writing session of one replicated database. What it remembers stands in the schema
/// "antipode" of that database, in the same transactions as the data. Triggers and foreign keys do
/// not fire (session_replication_role). Row operations are prepared statements, sent in pipelines.
class ReplicaWriter final : public ReplicaSession {
  public:
    struct Options {
        std::string url;
        std::string store;
        /// An earlier session of the same name is ended when it still holds the database: it
        /// belongs to a process that died. Unique per store and node.
        std::string application_name;
        /// The backend of the writing session that this one copies beside; 0: it is that itself.
        int writer = 0;
        /// A statement that waits longer for others gives up, and all is begun again.
        std::chrono::milliseconds lock_timeout{10000};
    };
    explicit ReplicaWriter(Options options);
    ~ReplicaWriter() override;

    ReplicaState load() override;
    void begin() override;
    void commit() override;
    void rollback() noexcept override;
    MappedRelation map(const RelationShape& relation) override;
    std::optional<RowProblem> apply(std::span<const RowOperation> operations) override;
    std::optional<RowProblem> settle() override;
    void run_ddl(const DdlStatement& statement) override;
    void follow_sequences(std::span<const SequenceState> states) override;
    void save_position(const Position& position, Lsn lsn, uint64_t transactions) override;
    void save(const ReplicaState& state) override;
    void forget_tables() override;
    void await_copy(const TableName& table) override;
    std::vector<AwaitedTable> awaited() override;
    void remember_copied(const CopiedTable& table) override;
    std::vector<LocalTable> tables() override;
    void run_script(const std::string& sql) override;
    std::string schema(SchemaSection section) override;
    ChunkDigests digests(const ChunkPlan& plan) override;
    void set_sequence(const SequenceValue& sequence) override;
    bool begin_copy(const CopyBeginning& beginning) override;
    void copy_bytes(std::string_view bytes) override;
    uint64_t end_copy() override;
    bool clear_copied(const TableName& table) override;
    bool give_up_repair(const TableName& table) override;
    void record_skip(const SkippedTransaction& skipped) override;
    void note_stopped(Lsn commit_lsn, const std::string& problem) override;
    void begin_mend(const ChunkPlan& plan) override;
    void mend_bytes(std::string_view bytes) override;
    MendedRows end_mend(const std::set<uint32_t>& chunks, const TouchedRows& touched) override;
    void edit_structure(const std::function<void(StructureEditor&)>& edit) override;
    int server_major() override;
    std::unique_ptr<ReplicaSession> beside() override;

  private:
    struct State;
    template <typename Use>
    auto guarded(Use use);
    std::unique_ptr<State> state_;
};

}  // namespace antipode::postgres
