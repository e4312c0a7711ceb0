#include "tests/end_to_end/site.hpp"

#include <sstream>
#include <stdexcept>

#include <gtest/gtest.h>

#include "adapters/http/client.hpp"
#include "base/error.hpp"
#include "tests/support/git_program.hpp"
#include "tests/support/jq.hpp"

namespace antipode::test {
namespace {

constexpr std::chrono::seconds start_timeout(30);
constexpr std::chrono::milliseconds role_timeout(500);

const std::string schema =
    "CREATE TABLE uploads (id int PRIMARY KEY, oid text NOT NULL, path text NOT NULL, note text);"
    "CREATE TABLE journal (what text)";

std::string shell(const std::string& script, const std::filesystem::path& directory) {
    Process::Options options;
    options.directory = directory;
    options.environment = {{"LC_ALL", "C"}, {"GIT_CONFIG_NOSYSTEM", "1"}};
    return must_run({"sh", "-c", script}, {}, options);
}

void must_succeed(const Site& site, const std::vector<std::string>& command) {
    const CommandResult done = site.antipode(command);
    if (done.status != 0) {
        throw std::runtime_error("antipode " + command.front() + ": " + done.error + done.output);
    }
}

std::filesystem::path made(const std::filesystem::path& path) {
    std::filesystem::create_directories(path);
    return path;
}

}  // namespace

Site::Site(const std::filesystem::path& root, std::string site_name,
           PostgresServer::Options postgres_options)
    : name(std::move(site_name)),
      network(postgres_options.network),
      directory(made(root / name)),
      git_root(made(directory / "git")),
      files_root(made(directory / "files")),
      nats(directory / "nats", network),
      postgres(directory / "pg", std::move(postgres_options)),
      http_port_(free_port()) {
    postgres.psql("CREATE DATABASE app");
}

void Site::configure(const std::vector<const Site*>& sites, const std::string& more,
                     const std::string& of_database) {
    std::ostringstream text;
    text << "cluster = \"test\"\nsite = \"" << name << "\"\n"
         << "state_dir = \"" << (directory / "state").string() << "\"\n";
    for (const Site* site : sites) {
        text << "[[sites]]\nname = \"" << site->name << "\"\nnats = \"" << site->nats.url()
             << "\"\nhttp = \"http://" << site->address() << "\"\n";
    }
    text << "[nats]\nstream_max_bytes = 1000000000\nstore_dir = \"" << (directory / "nats").string()
         << "\"\n"
         << "[http]\nlisten = \"" << address() << "\"\n"
         << line_of_token() << "[[database]]\nname = \"app\"\nurl = \""
         << postgres.local_url("app", database_role) << "\"\n"
         << of_database << "[[repositories]]\nname = \"git\"\nroot = \"" << git_root.string()
         << "\"\n"
         << "[[blobs]]\nname = \"uploads\"\nroot = \"" << files_root.string() << "\"\n"
         << more;
    write_file(config(), text.str());
}

/// Off loopback the daemon wants one.
std::string Site::line_of_token() const {
    if (network.descriptor < 0) {
        return {};
    }
    namespace fs = std::filesystem;
    const fs::path file = directory / "token";
    write_file(file, "the secret of these sites\n");
    fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
    return "token_file = \"" + file.string() + "\"\n";
}

void Site::launch(const std::vector<std::string>& tracer) {
    const InNetwork inside(network);
    std::vector<std::string> command = tracer;
    command.insert(command.end(), {ANTIPODED, "--config", config().string()});
    Process::Options options;
    options.log = directory / "antipoded.log";
    options.environment = environment;
    daemon_ = Process(command, options);
}

void Site::start(const std::vector<std::string>& tracer) {
    launch(tracer);
    // A traced daemon may be killed before it answers: that is for the caller to see.
    const bool answers = eventually(
        [&] { return status(".site").has_value() || (!tracer.empty() && !daemon_.running()); },
        start_timeout);
    if (!answers) {
        throw std::runtime_error("antipoded of " + name +
                                 " does not answer: " + read_file(directory / "antipoded.log"));
    }
    // What it does it says a moment later, where it knows its role.
    eventually([&] { return status("select(.stores != []) | .site").has_value(); }, role_timeout);
}

std::vector<std::string> Site::command_of(const std::vector<std::string>& arguments) const {
    std::vector<std::string> command = {ANTIPODE, "--config", config().string()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
}

CommandResult Site::antipode(const std::vector<std::string>& arguments) const {
    const InNetwork inside(network);
    return run(command_of(arguments));
}

Process Site::begin(const std::vector<std::string>& arguments) const {
    const InNetwork inside(network);
    return {command_of(arguments), {}};
}

std::optional<std::string> Site::get(const std::string& target) const {
    const InNetwork inside(network);
    try {
        http::HttpAnswer answer =
            http::http_get("http://" + address() + target, std::chrono::seconds(3));
        return answer.status == 200 ? std::optional(std::move(answer.body)) : std::nullopt;
    } catch (const Error&) {
        return std::nullopt;
    }
}

std::optional<std::string> Site::status(const std::string& filter) const {
    const auto answer = get("/v1/status");
    return answer ? jq_if_true(filter, *answer) : std::nullopt;
}

std::string Site::rows() const {
    std::string all;
    for (const char* table : {"uploads", "journal"}) {
        all += sql("SELECT '" + std::string(table) + "', t::text FROM " + table +
                   " t ORDER BY t::text COLLATE \"C\"") +
               "\n";
    }
    return all;
}

std::string Site::repositories() const {
    std::string all;
    std::istringstream found(
        shell("find . -name .antipode -prune -o -name '*.git' -type d -print | sort", git_root));
    for (std::string path; std::getline(found, path);) {
        const std::filesystem::path repository = git_root / path;
        all += path + " " + read_file(repository / "HEAD") +
               git({"-C", repository.string(), "for-each-ref"}) + "\n" + damage_of(repository);
    }
    return all;
}

std::string Site::files() const {
    return shell(
        "find . -name .antipode -prune -o -type f -printf '%m %p\\n' | sort;"
        "find . -name .antipode -prune -o -type f -print0 | sort -z | xargs -0 -r sha256sum",
        files_root);
}

TwoSites::TwoSites(const std::string& more, const std::string& of_database, Daemons daemons)
    : london(temporary.path(), "london"), sydney(temporary.path(), "sydney") {
    if (daemons == Daemons::Unprivileged) {
        make_roles();
    }
    london.configure({&london, &sydney}, more, of_database);
    sydney.configure({&london, &sydney}, more, of_database);
    london.sql(daemons == Daemons::Unprivileged ? "SET ROLE app_owner; " + schema : schema);
    must_succeed(london, {"sites", "init", "--primary", "london"});
    set_up_databases(daemons);
    london.start();
    sydney.start();
}

void TwoSites::make_roles() {
    for (Site* site : {&london, &sydney}) {
        site->sql(
            "CREATE ROLE antipode LOGIN; CREATE ROLE app_owner LOGIN; CREATE ROLE report LOGIN; "
            "GRANT pg_read_all_data TO report; ALTER DATABASE app OWNER TO app_owner");
        site->database_role = "antipode";
    }
}

void TwoSites::set_up_databases(Daemons daemons) {
    if (daemons == Daemons::Superusers) {
        must_succeed(london, {"database", "setup"});
        return;
    }
    // Once would do.
    for (int i = 0; i < 2; ++i) {
        must_succeed(london, {"database", "setup", "--url", london.postgres.url("app")});
        must_succeed(sydney, {"database", "setup", "--owner", "app_owner", "--url",
                              sydney.postgres.url("app")});
    }
}

bool TwoSites::caught_up(std::chrono::milliseconds timeout) const {
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now().time_since_epoch());
    return eventually(
        [&] {
            const auto point = sydney.status(".recovery_point_us");
            return point && std::stoll(*point) > now.count();
        },
        timeout);
}

std::string TwoSites::describe() const {
    return london.antipode({"status"}).output + sydney.antipode({"status"}).output +
           sydney.antipode({"lag"}).output + sydney.status(".exceptions,.workers").value_or("") +
           read_file(london.directory / "antipoded.log") +
           read_file(sydney.directory / "antipoded.log");
}

void TwoSites::expect_equal() const {
    EXPECT_EQ(london.rows(), sydney.rows());
    EXPECT_EQ(london.repositories(), sydney.repositories());
    EXPECT_EQ(london.files(), sydney.files());
}

Application::Application(Site& site) : site_(site), clone_(site.directory / "work") {
    std::filesystem::create_directories(site.directory / "template/hooks");
    must_run({"git", "init", "-q", "--bare", "-b", "main", (site.git_root / "app.git").string()});
    site_.antipode({"hooks", "install"});
    must_run({"git", "init", "-q", "-b", "main", clone_.string()});
    Process::Options options;
    options.directory = clone_;
    must_run({"git", "config", "user.name", "Test"}, {}, options);
    must_run({"git", "config", "user.email", "test@example.org"}, {}, options);
}

void Application::write() {
    const int id = next_++;
    const std::string path = "u/" + std::to_string(id) + ".bin";
    // Every tenth is too large to travel in its event.
    const size_t size = id % 10 == 9 ? 700'000 : 1000 + static_cast<size_t>(id);
    std::string content(size, '\0');
    for (size_t i = 0; i < size; ++i) {
        content[i] = static_cast<char>((i * 131 + static_cast<size_t>(id) * 7919) >> 3);
    }
    write_file(site_.files_root / ".tmp-upload", content);
    std::filesystem::create_directories(site_.files_root / "u");
    std::filesystem::rename(site_.files_root / ".tmp-upload", site_.files_root / path);
    Process::Options options;
    options.directory = clone_;
    write_file(clone_ / "log.txt", path);
    must_run({"git", "add", "log.txt"}, {}, options);
    must_run({"git", "commit", "-q", "-m", "names " + path}, {}, options);
    must_run({"git", "push", "-q", (site_.git_root / "app.git").string(), "HEAD:refs/heads/main"},
             {}, options);
    const std::string oid = must_run({"git", "rev-parse", "HEAD"}, {}, options);
    insert("INSERT INTO uploads VALUES (" + std::to_string(id) + ", '" + oid + "', '" + path +
           "') ON CONFLICT DO NOTHING");
}

void Application::remove_oldest() {
    const std::string id = std::to_string(oldest_++);
    insert("DELETE FROM uploads WHERE id = " + id);
    std::filesystem::remove(site_.files_root / ("u/" + id + ".bin"));
}

void Application::insert(const std::string& statement) {
    const bool done = eventually([&] {
        try {
            site_.sql(statement);
            return true;
        } catch (const std::runtime_error&) {
            return false;  // the server was killed; statements may run twice
        }
    });
    if (!done) {
        throw std::runtime_error("the application cannot write: " + statement);
    }
}

}  // namespace antipode::test
