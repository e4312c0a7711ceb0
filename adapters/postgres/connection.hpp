#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/seams/database.hpp"

struct pg_conn;
struct pg_result;

namespace antipode::postgres {

/// An error that the server reported, with its SQLSTATE.
class SqlError : public Error {
  public:
    SqlError(Reaction reaction, const std::string& what, std::string next_step, std::string state)
        : Error(reaction, what, std::move(next_step)), sqlstate_(std::move(state)) {}
    const std::string& sqlstate() const noexcept { return sqlstate_; }

  private:
    std::string sqlstate_;
};

/// What to do about an SQLSTATE: Retry for a lost connection (no SQLSTATE at all), a shutdown, lack
/// of resources, a lock or serialization failure; Stop for everything else.
Reaction reaction_to(std::string_view sqlstate);

/// Why `url` is no connection string (libpq's own reading of it, nothing connects); nullopt: it is.
std::optional<std::string> why_no_connection_string(const std::string& url);

/// The user that a connection string names; nullopt: none, or it is no connection string.
std::optional<std::string> user_of(const std::string& url);

/// PostgreSQL's message in one line, without the line ends that it is laid out with.
std::string one_line(const char* message);

/// A result read whole: for small ones.
class Rows {
  public:
    struct Clear {
        void operator()(pg_result* result) const noexcept;
    };
    using Result = std::unique_ptr<pg_result, Clear>;

    explicit Rows(Result result) : result_(std::move(result)) {}
    int size() const;
    bool is_null(int row, int column) const;
    std::string_view text(int row, int column) const;
    std::string string(int row, int column) const { return std::string(text(row, column)); }
    bool boolean(int row, int column) const { return text(row, column) == "t"; }
    int64_t integer(int row, int column) const;
    uint64_t affected() const;

  private:
    Result result_;
};

using Parameters = std::vector<std::optional<std::string>>;

/// One libpq connection with the settings that replication depends on pinned: text forms of dates,
/// floats and bytes, UTF-8, a search_path without user schemas, no timeouts of the role or
/// database. Owner: one thread. Every failure throws; after a lost connection make a new object.
class Connection {
  public:
    enum class Mode { Plain, Replication };
    /// How long a server is waited for that hangs. `answer`: query() and execute() throw
    /// Error{Retry} behind it; the connection is of no use then. Not for COPY.
    struct Waits {
        std::optional<std::chrono::seconds> connect{};  ///< in place of the url's; at least 2
        std::optional<std::chrono::milliseconds> answer{};
    };
    /// `url`: a libpq connection string. Throws Error{Retry} with libpq's words when it fails.
    Connection(const std::string& url, const std::string& application_name, Mode mode,
               const Waits& waits);
    Connection(const std::string& url, const std::string& application_name, Mode mode = Mode::Plain)
        : Connection(url, application_name, mode, Waits{}) {}
    ~Connection();
    Connection(Connection&&) noexcept;
    Connection& operator=(Connection&&) noexcept;

    /// `doing` says for the error text what the statement is for.
    Rows query(const std::string& doing, const std::string& sql, const Parameters& parameters = {});
    /// One or more statements without parameters.
    void execute(const std::string& doing, const std::string& sql);

    /// From now on query() and execute() cancel what they wait for and throw Stopped when `stop`
    /// fires. The connection is of no use then. Not for COPY.
    void heed(std::stop_token stop) { stop_ = std::move(stop); }

    /// Sets again what the constructor set: after a script of someone else's.
    void pin_settings();

    pg_conn* raw() const { return connection_.get(); }
    int server_version() const;
    /// Whether the role that acts now is one.
    bool is_superuser() const;
    /// Throws what the connection's last error, or `result`'s, was.
    [[noreturn]] void fail(const std::string& doing, const pg_result* result = nullptr) const;

    /// Readable within `timeout`, or `wake_fd` (may be -1) is. Reads what is there.
    enum class Ready { Input, Woken, Nothing };
    Ready wait_for_input(std::chrono::milliseconds timeout, int wake_fd);

    /// Asks the server to cancel what this connection does. Best effort.
    void cancel() noexcept;

  private:
    struct Close {
        void operator()(pg_conn* connection) const noexcept;
    };
    Rows::Result run(const std::string& doing, const std::string& sql);
    Rows::Result run(const std::string& doing, const std::string& sql, int count,
                     const char* const* values);
    bool waits_freely() const { return !limit_ && !stop_.stop_possible(); }
    void begin_run() const;
    Rows::Result finish(const std::string& doing, int sent);
    void wait_for_result(const std::string& doing, std::chrono::steady_clock::time_point until);
    void cancel_and_wait();

    std::unique_ptr<pg_conn, Close> connection_;
    std::optional<std::chrono::milliseconds> limit_;
    std::stop_token stop_;
};

/// "name" with its quotes doubled; 'text' as a literal (standard_conforming_strings, E'' when it
/// holds a backslash).
std::string quote_identifier(std::string_view name);
/// "schema"."table"
std::string qualified(const TableName& name);
std::string quote_literal(std::string_view text);

}  // namespace antipode::postgres
