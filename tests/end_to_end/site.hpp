#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/nats_server.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::test {

/// One whole site: nats-server, PostgreSQL, a root of repositories, a root of files, antipoded. All
/// real.
class Site {
  public:
    /// Everything of it is in the network of its PostgreSQL.
    Site(const std::filesystem::path& directory, std::string name,
         PostgresServer::Options postgres_options = {});

    /// Writes the configuration; `sites`: all of the cluster; `of_database`: lines for its table.
    void configure(const std::vector<const Site*>& sites, const std::string& more = {},
                   const std::string& of_database = {});

    /// Starts antipoded and waits until it answers. `tracer`: a command that runs it (strace ...).
    void start(const std::vector<std::string>& tracer = {});
    /// Starts it and does not wait.
    void launch(const std::vector<std::string>& tracer);
    void kill() { daemon_.kill(); }
    Process& daemon() { return daemon_; }

    /// `antipode --config ... arguments`.
    CommandResult antipode(const std::vector<std::string>& arguments) const;
    /// The same, and does not wait for it.
    Process begin(const std::vector<std::string>& arguments) const;
    /// What the daemon answers; nullopt: nothing, or an error.
    std::optional<std::string> get(const std::string& target) const;
    /// A jq expression on /v1/status; nullopt when the daemon does not answer or the value is null.
    std::optional<std::string> status(const std::string& filter) const;

    std::string http_port() const { return std::to_string(http_port_); }

    // Independent views.
    std::string sql(const std::string& statement) const { return postgres.psql(statement, "app"); }
    std::string rows() const;          ///< all users' rows, as SQL
    std::string repositories() const;  ///< refs, HEADs, fsck of every repository
    std::string files() const;         ///< mode, hash and path of every file

    /// Whom the daemon logs in as; before configure().
    std::string database_role = "postgres";
    /// Of its daemon, from the next start on.
    std::map<std::string, std::string> environment;
    const std::string name;
    const Network network;
    const std::filesystem::path directory;
    const std::filesystem::path git_root;
    const std::filesystem::path files_root;
    NatsServer nats;
    PostgresServer postgres;

  private:
    std::filesystem::path config() const { return directory / "antipode.toml"; }
    std::vector<std::string> command_of(const std::vector<std::string>& arguments) const;
    std::string line_of_token() const;
    std::string address() const { return network.address + ":" + std::to_string(http_port_); }
    int http_port_;
    Process daemon_;
};

/// Two sites, london (primary) and sydney, with a schema on london and daemons that run.
class TwoSites {
  public:
    /// Who the daemons are to PostgreSQL. Unprivileged: the role "antipode", as `antipode database
    /// setup` leaves it; "app_owner" owns the schema, "report" may read it.
    enum class Daemons { Superusers, Unprivileged };
    /// `more`: lines added to both configurations; `of_database`: to their tables of it.
    explicit TwoSites(const std::string& more = {}, const std::string& of_database = {},
                      Daemons daemons = Daemons::Superusers);

    /// sydney has everything that london had when this was called. False after `timeout`.
    bool caught_up(std::chrono::milliseconds timeout = std::chrono::seconds(60)) const;
    /// gtest expectations: rows, repositories and files are equal on both sites.
    void expect_equal() const;
    /// What both daemons say, for messages.
    std::string describe() const;

    TemporaryDirectory temporary;
    Site london;
    Site sydney;

  private:
    void make_roles();
    void set_up_databases(Daemons daemons);
};

/// What an application does: uploads a file, pushes a commit that names it, inserts a row that
/// names both.
class Application {
  public:
    explicit Application(Site& site);
    /// One such write; retried until everything is acknowledged, however often servers are killed.
    void write();
    /// Deletes the oldest write: its row, then its file.
    void remove_oldest();
    int writes() const { return next_; }

  private:
    void insert(const std::string& statement);
    Site& site_;
    std::filesystem::path clone_;
    int next_ = 0;
    int oldest_ = 0;
};

}  // namespace antipode::test
