#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "adapters/postgres/connection.hpp"

namespace antipode::postgres {

/// A server that has not answered by then hangs: the statements' own timeouts are shorter.
constexpr std::chrono::seconds longest_control_wait(12);

/// One lazily made connection; dropped after an error, so that the next call begins afresh.
class Control {
  public:
    /// `patience`: for the connection, and for each answer; none: as is best for a server that is
    /// busy.
    Control(std::string url, std::string application_name,
            std::optional<std::chrono::seconds> patience = {})
        : url_(std::move(url)),
          application_name_(std::move(application_name)),
          patience_(patience) {}

    /// Runs `use(connection)` in a transaction with bounded waits and returns its result.
    template <typename Use>
    auto transaction(Use use) {
        try {
            if (!connection_) {
                const std::chrono::seconds longest = patience_.value_or(longest_control_wait);
                connection_.emplace(url_, application_name_, Connection::Mode::Plain,
                                    Connection::Waits{patience_, longest});
            }
            connection_->execute("beginning a control transaction",
                                 "BEGIN; SET LOCAL lock_timeout = '2s'; "
                                 "SET LOCAL statement_timeout = '" +
                                     std::string(patience_ ? "2s" : "10s") +
                                     "'; SET LOCAL synchronous_commit = local");
            auto result = use(*connection_);
            connection_->execute("committing a control transaction", "COMMIT");
            return result;
        } catch (...) {
            connection_.reset();
            throw;
        }
    }
    void execute(const std::string& doing, const std::string& sql) {
        transaction([&](Connection& connection) {
            connection.execute(doing, sql);
            return true;
        });
    }

  private:
    std::string url_;
    std::string application_name_;
    std::optional<std::chrono::seconds> patience_;
    std::optional<Connection> connection_;
};

}  // namespace antipode::postgres
