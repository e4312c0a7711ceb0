#pragma once

#include <memory>
#include <string>

#include "base/seams/database.hpp"

namespace antipode::postgres {

/// Looks at a primary's server and sets up what replication needs, through plain queries on a
/// connection of its own. Each call is one short transaction.
class SourceSetup final : public SourceControl {
  public:
    struct Options {
        std::string url;
        std::string slot;
        std::string publication;
        std::string application_name;
    };
    explicit SourceSetup(Options options);
    ~SourceSetup() override;

    SourceFacts facts() override;
    std::vector<SourceTable> tables_without_identity() override;
    std::optional<SourceFacts::Slot> slot() override;
    void set_identity(const TableName& table, const std::optional<std::string>& index) override;
    void create_publication() override;
    void create_slot() override;
    void record_slot() override;
    void give_up_slot() override;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Reads the end of the write-ahead log on a connection of its own.
class WalEnd final : public WalPosition {
  public:
    WalEnd(std::string url, std::string application_name);
    ~WalEnd() override;
    Lsn flushed_end() override;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace antipode::postgres
