#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace antipode::postgres {

/// Keeps everybody but the daemon's role out of a database, and lets them in again. CONNECT is
/// taken from every role that has it and their sessions are ended; superusers cannot be kept out
/// like that. Not ALLOW_CONNECTIONS: that would lock the daemon out as well at its next connection.
/// One thread. Errors: Retry (the server is away), Stop (the role may not, or somebody can still
/// get in).
class ServiceFence {
  public:
    /// `patience`: for the connection and for each answer of the server, where a lease is about to
    /// end; none: a server that is busy is waited for.
    ServiceFence(std::string url, std::string application_name,
                 std::optional<std::chrono::seconds> patience = {});
    ~ServiceFence();

    /// Who may connect now, a line each; for open(). Keep it before close() is called.
    std::string grants();
    /// Nobody else is connected, or may connect, when it returns.
    void close();
    /// Lets those in that `grants` names.
    void open(const std::string& grants);
    /// Why it does not hold now; nullopt: it holds.
    std::optional<std::string> leak();

    struct Problem {
        std::string what;
        std::string next_step;
    };
    /// Why close() would fail.
    std::vector<Problem> problems();
    /// The part of it that does not come and go with sessions: what the role may not do.
    std::vector<Problem> lacking_rights();

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace antipode::postgres
