#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <sys/types.h>

#include "tests/support/network.hpp"
#include "tests/support/process.hpp"

namespace antipode::test {

/// A real PostgreSQL cluster on a free port of loopback, in a directory of its own, with wal_level
/// = logical. It runs as user "postgres" when the test runs as root. Superuser "postgres",
/// everybody trusted. Made from a template that each test program initializes once.
class PostgresServer {
  public:
    struct Options {
        bool fsync = false;  ///< kill -9 loses nothing without it; a power cut would
        std::map<std::string, std::string> settings;
        Network network{};  ///< it is on loopback there
    };
    explicit PostgresServer(std::filesystem::path directory) : PostgresServer(directory, {}) {}
    PostgresServer(std::filesystem::path directory, Options options);
    ~PostgresServer();

    /// Starts it, on the same port and data as before, and waits until it answers.
    void start();
    /// A fast shutdown, as a service manager does it. False when it took longer than `timeout`.
    bool stop(std::chrono::milliseconds timeout = std::chrono::seconds(20));
    /// kill -9 of the postmaster; its children follow.
    void kill() { process_.kill(); }
    /// All that run now; the postmaster first.
    std::vector<pid_t> processes() const;
    /// Stops all its processes where they are: connections stay, nothing answers.
    void freeze() { signal_all(19); }
    void thaw() { signal_all(18); }
    /// From the next start on.
    void set(const std::string& name, const std::string& value) { options_.settings[name] = value; }
    void set_environment(std::map<std::string, std::string> environment) {
        environment_ = std::move(environment);
    }

    /// For who is in its network.
    std::string url(const std::string& database = "postgres",
                    const std::string& user = "postgres") const;
    /// Over the server's own socket: as a daemon on the same host is best configured.
    std::string local_url(const std::string& database, const std::string& user) const;
    /// Runs SQL as the superuser and returns what it prints, unaligned, without headers.
    std::string psql(const std::string& sql, const std::string& database = "postgres") const;
    /// pg_dump of a database.
    std::string dump(const std::string& database, const std::vector<std::string>& options) const;

    static std::filesystem::path program(const std::string& name);

  private:
    void initialize();
    void signal_all(int number);

    std::filesystem::path directory_;
    Options options_;
    std::map<std::string, std::string> environment_;
    int port_;
    Process process_;
};

}  // namespace antipode::test
