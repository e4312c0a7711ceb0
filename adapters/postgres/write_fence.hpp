#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/seams/write_fence.hpp"

namespace antipode::postgres {

/// SQL that a superuser runs, once: functions that close and open the database, with his rights,
/// and an event trigger that refuses DDL while it is closed. `role`: the daemon's, which may call
/// them. Everything stands in the schema "antipode". See
/// docs/decisions/0008-who-may-write-may-not-connect.md.
std::string fence_setup_sql(const std::string& role);
/// Closes it for the first time; ends others' sessions, outside of a transaction.
std::string close_fence_sql(const std::vector<std::string>& readers);

/// The fence of one database, through the daemon's role.
class DatabaseFence final : public WriteFence {
  public:
    struct Options {
        std::string url;
        std::string application_name;
        std::vector<std::string> readers;  ///< roles that may connect
    };
    explicit DatabaseFence(Options options);
    ~DatabaseFence() override;
    FenceState look() override;
    void close_for_writes() override;
    void open_for_writes() override;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace antipode::postgres
