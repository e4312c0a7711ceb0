#include "tests/support/postgres_server.hpp"

#include <algorithm>
#include <csignal>
#include <stdexcept>
#include <vector>

#include <unistd.h>

#include "tests/support/temporary_directory.hpp"

namespace antipode::test {
namespace {

const Process::Options unprivileged = {
    .log = {}, .directory = "/", .environment = {}, .as_unprivileged_user = true};

void give_to_postgres(const std::filesystem::path& path) {
    if (geteuid() == 0) {
        must_run({"chown", "-R", "postgres:", path.string()});
    }
}

/// initdb takes a second; a copy of its result takes a fraction of it.
const std::filesystem::path& template_cluster() {
    static const TemporaryDirectory directory;
    static const std::filesystem::path data = [] {
        give_to_postgres(directory.path());
        must_run({PostgresServer::program("initdb"), "-D", (directory / "data").string(), "-A",
                  "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"},
                 {}, unprivileged);
        return directory / "data";
    }();
    return data;
}

}  // namespace

std::filesystem::path PostgresServer::program(const std::string& name) {
    std::vector<std::filesystem::path> found;
    std::error_code ignored;
    for (const auto& version :
         std::filesystem::directory_iterator("/usr/lib/postgresql", ignored)) {
        if (std::filesystem::exists(version.path() / "bin" / name)) {
            found.push_back(version.path() / "bin" / name);
        }
    }
    return found.empty() ? std::filesystem::path(name)
                         : *std::max_element(found.begin(), found.end());
}

PostgresServer::PostgresServer(std::filesystem::path directory, Options options)
    : directory_(std::move(directory)), options_(std::move(options)), port_(free_port()) {
    initialize();
    start();
}

PostgresServer::~PostgresServer() {
    // An immediate shutdown: nobody needs the data any more.
    process_.stop(std::chrono::seconds(10), SIGQUIT);
}

void PostgresServer::initialize() {
    std::filesystem::create_directories(directory_ / "socket");
    must_run({"cp", "-a", template_cluster().string(), (directory_ / "data").string()});
    give_to_postgres(directory_);
}

void PostgresServer::start() {
    const InNetwork inside(options_.network);
    std::vector<std::string> command = {
        program("postgres"),   "-D", (directory_ / "data").string(),  "-p",
        std::to_string(port_), "-k", (directory_ / "socket").string()};
    std::map<std::string, std::string> settings = {
        {"listen_addresses", "127.0.0.1"}, {"wal_level", "logical"},
        {"shared_buffers", "32MB"},        {"max_wal_senders", "8"},
        {"max_replication_slots", "8"},    {"autovacuum_naptime", "5s"},
        {"log_min_messages", "log"},       {"fsync", options_.fsync ? "on" : "off"}};
    for (const auto& [name, value] : options_.settings) {
        settings[name] = value;
    }
    for (const auto& [name, value] : settings) {
        command.insert(command.end(), {"-c", name + "=" + value});
    }
    const std::vector<std::string> ready = {
        program("pg_isready"), "-q", "-h", (directory_ / "socket").string(), "-p",
        std::to_string(port_)};
    const bool started = eventually([&] {
        // After kill -9 the old server's children may hold its memory for a moment.
        if (!process_.running()) {
            Process::Options options = unprivileged;
            options.log = directory_ / "postgres.log";
            options.environment = environment_;
            process_ = Process(command, options);
        }
        return run(ready).status == 0;
    });
    if (!started) {
        throw std::runtime_error("PostgreSQL does not answer; see " + directory_.string());
    }
}

bool PostgresServer::stop(std::chrono::milliseconds timeout) {
    return process_.stop(timeout, SIGINT) == 0;
}

std::vector<pid_t> PostgresServer::processes() const {
    std::vector<pid_t> all = children_of(process_.pid());
    all.insert(all.begin(), process_.pid());
    return all;
}

void PostgresServer::signal_all(int number) {
    // The postmaster first: it makes no new children then.
    process_.signal(number);
    for (const pid_t child : children_of(process_.pid())) {
        ::kill(child, number);
    }
}

std::string PostgresServer::url(const std::string& database, const std::string& user) const {
    return "host=127.0.0.1 port=" + std::to_string(port_) + " user=" + user + " dbname=" + database;
}

std::string PostgresServer::local_url(const std::string& database, const std::string& user) const {
    return "host=" + (directory_ / "socket").string() + " port=" + std::to_string(port_) +
           " user=" + user + " dbname=" + database;
}

std::string PostgresServer::psql(const std::string& sql, const std::string& database) const {
    const InNetwork inside(options_.network);
    return must_run({program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", url(database)}, sql);
}

std::string PostgresServer::dump(const std::string& database,
                                 const std::vector<std::string>& options) const {
    const InNetwork inside(options_.network);
    std::vector<std::string> command = {program("pg_dump"), "-d", url(database)};
    command.insert(command.end(), options.begin(), options.end());
    return must_run(command);
}

}  // namespace antipode::test
