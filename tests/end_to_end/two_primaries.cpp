#include "tests/end_to_end/two_primaries.hpp"

#include <algorithm>
#include <sstream>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/support/jq.hpp"

namespace antipode::test {
namespace {

using std::chrono::milliseconds;

const std::string schema =
    "CREATE TABLE uploads (id int PRIMARY KEY, oid text NOT NULL, path text NOT NULL, note text);"
    "CREATE TABLE journal (id serial PRIMARY KEY, what text)";

/// Its commands stop and start the service: what writes holds the gate's lock, shared.
std::string commands_of(const Site& site, const std::string& more) {
    const std::string gate = Pair::gate(site).string();
    const std::string opened = Pair::opened(site).string();
    return "[failover]\n"
           "fence_command = [\"/usr/bin/flock\", \"" +
           gate + "\", \"/bin/rm\", \"-f\", \"" + opened +
           "\"]\n"
           "unfence_command = [\"/usr/bin/touch\", \"" +
           opened +
           "\"]\n"
           "after_open_command = [\"/usr/bin/touch\", \"" +
           opened +
           "\"]\n"
           "write_check_command = [\"/usr/bin/test\", \"-e\", \"" +
           opened + "\"]\n" + more;
}

/// Holds a site's gate while it lives.
class Gate {
  public:
    explicit Gate(const Site& site)
        : fd_(open(Pair::gate(site).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
        flock(fd_, LOCK_SH);
    }
    ~Gate() { close(fd_); }
    Gate(const Gate&) = delete;
    Gate& operator=(const Gate&) = delete;

  private:
    int fd_;
};

/// For a site whose directory is ready then.
PostgresServer::Options prepared(const std::filesystem::path& site, const Pair::Ground& ground) {
    PostgresServer::Options options;
    if (ground) {
        options.network = ground(site);
    }
    return options;
}

}  // namespace

std::string value_of(const std::string& json, const std::string& filter) {
    return jq(filter, json).value_or("");
}

std::filesystem::path journal_of(const Site& site) {
    return site.directory / "state/failover.journal";
}

std::string app(const Site& site, const std::string& sql) {
    const InNetwork inside(site.network);
    return must_run({PostgresServer::program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1",
                     site.postgres.url("app", "app")},
                    sql);
}

Pair::Pair(const std::string& more, Daemons daemons, const std::string& third_name,
           const Ground& ground)
    : london(temporary.path(), "london", prepared(temporary / "london", ground)),
      sydney(temporary.path(), "sydney", prepared(temporary / "sydney", ground)),
      third(third_name.empty() ? nullptr
                               : std::make_unique<Site>(temporary.path(), third_name,
                                                        prepared(temporary / third_name, ground))) {
    // What the tests look at by psql is no application.
    setenv("PGAPPNAME", "antipode test", 1);
    for (Site* site : sites()) {
        site->sql("CREATE ROLE app LOGIN; GRANT ALL ON SCHEMA public TO app");
        if (daemons == Daemons::Unprivileged) {
            site->sql("CREATE ROLE antipode LOGIN; ALTER DATABASE app OWNER TO app");
            site->database_role = "antipode";
        }
    }
    const auto all = sites();
    for (Site* site : all) {
        site->configure({all.begin(), all.end()}, commands_of(*site, more),
                        "write_check_url = \"" + site->postgres.url("app", "app") + "\"\n");
    }
    app(london, schema);
    write_file(opened(london), "");
    const CommandResult init = london.antipode({"sites", "init", "--primary", "london"});
    if (init.status != 0) {
        throw std::runtime_error(init.error);
    }
    set_up_databases(daemons);
    for (Site* site : all) {
        site->start();
    }
}

std::vector<Site*> Pair::sites() {
    std::vector<Site*> all = {&london, &sydney};
    if (third) {
        all.push_back(third.get());
    }
    return all;
}

bool Pair::awaits(const Site& site, const std::string& state, milliseconds timeout) {
    return eventually([&] { return site.status(".failover.state") == state; }, timeout);
}

void Pair::set_up_databases(Daemons daemons) {
    const auto set_up = [](const Site& site, std::vector<std::string> more) {
        more.insert(more.begin(), {"database", "setup", "--url", site.postgres.url("app")});
        const CommandResult setup = site.antipode(more);
        if (setup.status != 0) {
            throw std::runtime_error(setup.error);
        }
    };
    set_up(london, {});
    if (daemons == Daemons::Unprivileged) {
        set_up(london, {"--as", "secondary", "--owner", "app"});
        set_up(sydney, {"--as", "secondary", "--owner", "app"});
    }
}

Site* Pair::open_site() {
    for (Site* site : sites()) {
        if (std::filesystem::exists(opened(*site))) {
            return site;
        }
    }
    return nullptr;
}

bool Pair::caught_up(const Site& site, milliseconds timeout) {
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::system_clock::now().time_since_epoch());
    return eventually(
        [&] {
            const auto point = site.status(".recovery_point_us");
            return point && std::stoll(*point) > now.count();
        },
        timeout);
}

bool Pair::ready(const Site& to) {
    return eventually([&] { return london.antipode({"preflight", "--to", to.name}).status == 0; });
}

CommandResult Pair::switch_to(Site& to) {
    return to.antipode({"switchover", "--to", to.name, "--yes", "-o", "json"});
}

bool Pair::has_roles(const Site& primary) {
    const auto all = sites();
    return primary.status(".failover.state") == "serving" &&
           std::all_of(all.begin(), all.end(), [&](const Site* site) {
               return site == &primary || site->status(".failover.state") == "following";
           });
}

void Pair::expect_equal() const {
    EXPECT_EQ(london.rows(), sydney.rows());
    EXPECT_EQ(london.repositories(), sydney.repositories());
    EXPECT_EQ(london.files(), sydney.files());
    if (third) {
        EXPECT_EQ(london.rows(), third->rows());
        EXPECT_EQ(london.repositories(), third->repositories());
        EXPECT_EQ(london.files(), third->files());
    }
}

std::string Pair::describe() const {
    return london.antipode({"status"}).output + sydney.antipode({"status"}).output +
           london.status(".failover").value_or("") +
           sydney.status(".failover,.exceptions").value_or("") +
           read_file(london.directory / "antipoded.log") +
           read_file(sydney.directory / "antipoded.log") +
           (third ? third->antipode({"status"}).output +
                        third->status(".failover,.exceptions").value_or("") +
                        read_file(third->directory / "antipoded.log")
                  : std::string());
}

Writer::Writer(Pair& pair) : pair_(pair), clone_(pair.temporary / "work") {
    must_run(
        {"git", "init", "-q", "--bare", "-b", "main", (pair.london.git_root / "app.git").string()});
    pair.london.antipode({"hooks", "install"});
    must_run({"git", "init", "-q", "-b", "main", clone_.string()});
    Process::Options options;
    options.directory = clone_;
    must_run({"git", "config", "user.name", "Test"}, {}, options);
    must_run({"git", "config", "user.email", "test@example.org"}, {}, options);
}

void Writer::start() {
    thread_ = std::jthread([this](const std::stop_token& stop) {
        auto last = std::chrono::steady_clock::now();
        while (!stop.stop_requested()) {
            try {
                eventually([&] { return stop.stop_requested() || write(); });
            } catch (const std::exception& error) {
                problem_ = error.what();
                return;
            }
            const auto now = std::chrono::steady_clock::now();
            longest_pause_ =
                std::max(longest_pause_, std::chrono::duration_cast<milliseconds>(now - last));
            last = now;
        }
    });
}

void Writer::stop() {
    if (thread_.joinable()) {
        thread_.request_stop();
        thread_.join();
    }
}

bool Writer::write() {
    Site* const site = pair_.open_site();
    if (site == nullptr) {
        return false;
    }
    const Gate gate(*site);
    if (!std::filesystem::exists(Pair::opened(*site))) {
        return false;
    }
    write_to(*site, acknowledged_);
    ++acknowledged_;
    return true;
}

void Writer::write_to(Site& site, int id) {
    const std::string path = "u/" + std::to_string(id) + ".bin";
    std::filesystem::create_directories(site.files_root / "u");
    write_file(site.files_root / path, std::string(id % 10 == 9 ? 400'000 : 500, 'a') + path);
    Process::Options options;
    options.directory = clone_;
    must_run({"git", "commit", "-q", "--allow-empty", "-m", path}, {}, options);
    must_run({"git", "push", "-q", (site.git_root / "app.git").string(), "HEAD:refs/heads/main"},
             {}, options);
    const std::string oid = must_run({"git", "rev-parse", "HEAD"}, {}, options);
    app(site, "INSERT INTO uploads VALUES (" + std::to_string(id) + ", '" + oid + "', '" + path +
                  "'); INSERT INTO journal (what) VALUES ('" + path + "')");
}

bool Writer::go_on(int count) {
    const int target = acknowledged_ + count;
    return eventually([&] { return acknowledged_ >= target || !problem_.empty(); }) &&
           problem_.empty();
}

int Writer::missing(Site& site) const {
    const std::string commits =
        must_run({"git", "-c", "safe.directory=*", "-C", (site.git_root / "app.git").string(),
                  "log", "--format=%H", "main"});
    const std::string ids = std::to_string(acknowledged_ - 1);
    std::istringstream rows(
        site.sql("SELECT id, coalesce(oid, '-'), coalesce(path, '-') FROM generate_series(" + ids +
                 ", 0, -1) id LEFT JOIN uploads USING (id) ORDER BY 1 DESC"));
    for (std::string row; std::getline(rows, row);) {
        const size_t first = row.find('|');
        const size_t second = row.find('|', first + 1);
        const std::string oid = row.substr(first + 1, second - first - 1);
        const bool here = commits.find(oid) != std::string::npos &&
                          std::filesystem::exists(site.files_root / row.substr(second + 1));
        if (!here) {
            return std::stoi(row);
        }
    }
    return -1;
}

}  // namespace antipode::test
