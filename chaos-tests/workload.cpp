#include "chaos-tests/workload.hpp"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace antipode::chaos {
namespace {

using Kind = Operation::Kind;
using Outcome = Operation::Outcome;

/// What writes holds a site's gate, so that the command that stops the service waits for it.
class Gate {
  public:
    explicit Gate(const Site& site)
        : fd_(open(test::Pair::gate(site).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
        flock(fd_, LOCK_SH);
    }
    ~Gate() { close(fd_); }
    Gate(const Gate&) = delete;
    Gate& operator=(const Gate&) = delete;

  private:
    int fd_;
};

/// Below it all of a file is drawn.
constexpr size_t most_drawn = 700'000;
/// Larger than the ranges of 8 MiB in which content is pulled.
constexpr size_t large_bytes = 9'000'000;
/// Of each writer, so that the memory which disks are made of holds it.
constexpr int most_large = 6;
/// What a row of a large transaction holds, in pieces of 32 bytes: all its rows are more than is
/// decoded at once.
constexpr int bulk_pieces = 375;
/// Of each writer, so that rows stay rows.
constexpr int most_structures = 10;
/// Those of a writer: this, a hundred of its number, and less than large_objects.
constexpr int first_large_object = 1'000'000;
constexpr size_t large_objects = 3;

test::Process::Options in(const std::filesystem::path& directory) {
    test::Process::Options options;
    options.directory = directory;
    options.environment = {{"GIT_CONFIG_NOSYSTEM", "1"}, {"GIT_CONFIG_GLOBAL", "/dev/null"}};
    return options;
}

std::string sum_of(const std::filesystem::path& file) {
    return test::must_run({"sha256sum", file.string()}).substr(0, 64);
}

/// A file, or a directory's entries. Throws when not.
void sync(const std::filesystem::path& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    const bool synced = fd >= 0 && fsync(fd) == 0;
    const int problem = errno;
    if (fd >= 0) {
        close(fd);
    }
    if (!synced) {
        throw std::system_error(problem, std::generic_category(), "syncing " + path.string());
    }
}

/// "7|xid 741"
void read_numbers(const std::string& said, Operation& operation) {
    if (operation.outcome == Outcome::Ok) {
        const size_t bar = said.find('|');
        operation.ticket = std::stoll(said);
        operation.xid = said.substr(bar + 1, said.find('\n') - bar - 1);
    }
}

}  // namespace

Writer::Writer(Sites& sites, History& history, std::mutex& structure, int number, uint64_t seed)
    : sites_(sites),
      history_(history),
      structure_(structure),
      number_(number),
      chance_(seed),
      clone_(sites.pair.temporary / ("work" + std::to_string(number))) {
    test::must_run({"git", "init", "-q", "-b", "main", clone_.string()});
    const auto options = in(clone_);
    test::must_run({"git", "config", "user.name", "Writer"}, {}, options);
    test::must_run({"git", "config", "user.email", "writer@example.org"}, {}, options);
}

bool Writer::write_once() {
    const Site* const site = sites_.primary();
    if (site == nullptr) {
        return false;
    }
    const Gate gate(*site);
    if (!std::filesystem::exists(test::Pair::opened(*site))) {
        return false;
    }
    // The application is there.
    const test::InNetwork inside(site->network);
    write_to(*site);
    ++attempted_;
    return true;
}

void Writer::write_to(const Site& site) {
    const size_t draw = chance_.below(20);
    if (chance_.one_in(20) && structures_ < most_structures) {
        change_structure(site);
    } else if (chance_.one_in(20)) {
        change_large_object(site);
    } else if (draw < 2 && mine_.size() > 3) {
        remove(site);
    } else if (draw < 5) {
        transfer(site);
    } else if (draw < 6 && !commits_.empty()) {
        move(site);
    } else if (draw < 8) {
        overwrite(site);
    } else {
        put(site);
    }
}

Operation Writer::make(Operation::Kind kind, const Site& site) const {
    Operation operation;
    operation.kind = kind;
    operation.writer = number_;
    operation.site = site.name;
    operation.repository = Sites::repository(number_);
    return operation;
}

void Writer::note(size_t place, Operation& operation) {
    if (operation.outcome == Outcome::Ok) {
        ++acknowledged_;
    }
    history_.end(place, operation);
}

void Writer::write_content(const Site& site, Operation& operation, size_t bytes) {
    const std::filesystem::path path = site.files_root / operation.path;
    const std::filesystem::path whole =
        site.files_root / (".tmp-upload-" + std::to_string(number_));
    std::string content = operation.path + " " + std::to_string(versions_++) + " ";
    while (content.size() < std::min(bytes, most_drawn)) {
        content += std::to_string(chance_.next());
    }
    // No two parts of a large one are the same.
    const std::string drawn = content;
    for (int part = 0; content.size() < bytes; ++part) {
        content += std::to_string(part) + drawn;
    }
    std::filesystem::create_directories(path.parent_path());
    test::write_file(whole, content);
    operation.sha256 = sum_of(whole);
    operation.bytes = content.size();
    // As a service does that acknowledges uploads.
    sync(whole);
    std::filesystem::rename(whole, path);
    for (auto directory = path.parent_path(); directory != site.files_root;
         directory = directory.parent_path()) {
        sync(directory);
    }
    sync(site.files_root);
}

bool Writer::commit_and_push(const Site& site, Operation& operation) {
    test::write_file(clone_ / "log.txt", operation.path + " " + operation.sha256);
    const std::string there = (site.git_root / operation.repository).string();
    const test::CommandResult pushed =
        test::run({"sh", "-c",
                   "git add log.txt && git commit -q -m \"names $1\" && git rev-parse HEAD && "
                   "git push -q --receive-pack=\"$3\" \"$2\" HEAD:refs/heads/main",
                   "push", operation.path, there, sites_.receive_pack().string()},
                  {}, in(clone_));
    operation.commit = pushed.output.substr(0, pushed.output.find('\n'));
    if (pushed.status != 0) {
        operation.error = pushed.error;
        return false;
    }
    commits_.push_back(operation.commit);
    return true;
}

std::string Writer::run_sql(const Site& site, const std::string& sql, Operation& operation) {
    test::Process::Options options;
    options.environment = {{"PGCONNECT_TIMEOUT", "5"}};
    const test::CommandResult done =
        test::run({test::PostgresServer::program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1",
                   site.postgres.url("app", "app")},
                  sql, options);
    // 3: the server refused the statement; any other failure is one of the connection.
    const bool ended = done.error.find("terminating connection") != std::string::npos;
    operation.outcome = done.status == 0             ? Outcome::Ok
                        : done.status == 3 && !ended ? Outcome::Failed
                                                     : Outcome::Unknown;
    operation.error = done.error;
    return done.output;
}

/// Some are too large to travel in their event, few so large that they travel by ranges.
size_t Writer::draw_size() {
    if (chance_.one_in(60) && large_ < most_large) {
        ++large_;
        return large_bytes + chance_.below(large_bytes);
    }
    return chance_.one_in(8) ? 600'000 : 100 + chance_.below(4000);
}

/// It uses what this writer has added; some are large transactions.
std::string Writer::insertion(Operation& operation) {
    const std::string key = std::to_string(number_) + ", " + std::to_string(operation.number);
    std::string columns = "writer, number, repository, path, sha256, commit";
    std::string values = key + ", '" + operation.repository + "', '" + operation.path + "', '" +
                         operation.sha256 + "', '" + operation.commit + "'";
    if (!column_.empty()) {
        const std::string value = "v" + std::to_string(operation.number);
        operation.note = column_ + "=" + value;
        columns += ", " + column_;
        values += ", '" + value + "'";
    }
    std::string more;
    if (!table_.empty()) {
        operation.structure = table_;
        more = "INSERT INTO " + table_ + " VALUES (" + key + "); ";
    }
    if (chance_.one_in(60)) {
        const std::string writer = std::to_string(number_);
        more += "DELETE FROM bulk WHERE writer = " + writer + "; INSERT INTO bulk SELECT " + key +
                ", i, (SELECT string_agg(md5('" + key +
                "' || i || piece), '') FROM generate_series(1, " + std::to_string(bulk_pieces) +
                ") piece) FROM generate_series(1, " + std::to_string(View::bulk_rows) + ") i; ";
    }
    return "BEGIN; " + more + "INSERT INTO writes (" + columns + ") VALUES (" + values +
           "); SELECT nextval('tickets'), 'xid ' || pg_current_xact_id(); COMMIT";
}

void Writer::put(const Site& site) {
    Operation operation = make(Kind::Put, site);
    operation.number = next_++;
    const std::string file = std::to_string(operation.number);
    operation.path = "w" + std::to_string(number_) + "/" + std::to_string(operation.number / 10) +
                     "/" + file + ".bin";
    const size_t place = history_.begin(operation);
    operation.outcome = Outcome::Failed;
    try {
        write_content(site, operation, draw_size());
        if (commit_and_push(site, operation)) {
            read_numbers(run_sql(site, insertion(operation), operation), operation);
        }
    } catch (const std::exception& error) {
        operation.error = error.what();  // no space: the application's request fails
    }
    if (operation.outcome == Outcome::Ok) {
        mine_.push_back(operation);
    }
    note(place, operation);
}

void Writer::remove(const Site& site) {
    const size_t chosen = chance_.below(mine_.size());
    Operation operation = make(Kind::Remove, site);
    operation.number = mine_[chosen].number;
    operation.path = mine_[chosen].path;
    mine_.erase(mine_.begin() + static_cast<std::ptrdiff_t>(chosen));
    const size_t place = history_.begin(operation);
    run_sql(site,
            "DELETE FROM writes WHERE writer = " + std::to_string(number_) +
                " AND number = " + std::to_string(operation.number),
            operation);
    if (operation.outcome == Outcome::Ok) {
        const std::filesystem::path file = site.files_root / operation.path;
        // Where a promotion has lost the file its directory may never have been.
        if (std::filesystem::remove(file)) {
            sync(file.parent_path());
        }
    }
    note(place, operation);
}

void Writer::transfer(const Site& site) {
    Operation operation = make(Kind::Transfer, site);
    const size_t place = history_.begin(operation);
    const size_t from = chance_.below(Sites::accounts);
    const size_t to = (from + 1 + chance_.below(Sites::accounts - 1)) % Sites::accounts;
    const long amount = static_cast<long>(chance_.below(90)) + 1;
    const auto change = [](size_t account, long by) {
        return "UPDATE accounts SET balance = balance + " + std::to_string(by) +
               " WHERE id = " + std::to_string(account + 1) + ";";
    };
    // In one order, so that writers do not wait for each other in a circle.
    const std::string both = from < to ? change(from, -amount) + change(to, amount)
                                       : change(to, amount) + change(from, -amount);
    run_sql(site, "BEGIN;" + both + "COMMIT", operation);
    note(place, operation);
}

void Writer::move(const Site& site) {
    Operation operation = make(Kind::Move, site);
    operation.commit = commits_[chance_.below(commits_.size())];
    const size_t place = history_.begin(operation);
    const test::CommandResult pushed = test::run(
        {"git", "push", "-q", "-f", "--receive-pack=" + sites_.receive_pack().string(),
         (site.git_root / operation.repository).string(), operation.commit + ":refs/heads/side"},
        {}, in(clone_));
    operation.outcome = pushed.status == 0 ? Outcome::Ok : Outcome::Unknown;
    operation.error = pushed.error;
    note(place, operation);
}

void Writer::overwrite(const Site& site) {
    const size_t bytes = 10 + chance_.below(2000);
    if (chance_.one_in(10) && large_ < most_large) {
        ++large_;
        // What comes next replaces it while it is pulled.
        overwrite(site, large_bytes + chance_.below(large_bytes));
    }
    overwrite(site, bytes);
}

void Writer::overwrite(const Site& site, size_t bytes) {
    Operation operation = make(Kind::Overwrite, site);
    operation.path = "mutable/" + std::to_string(number_);
    const size_t place = history_.begin(operation);
    try {
        write_content(site, operation, bytes);
        operation.outcome = Outcome::Ok;
    } catch (const std::exception& error) {
        operation.outcome = Outcome::Unknown;
        operation.error = error.what();
    }
    note(place, operation);
}

void Writer::change_structure(const Site& site) {
    const size_t kind = chance_.below(5);
    const std::unique_lock held(structure_, std::try_to_lock);
    if (!held) {
        return;
    }
    const std::string end = std::to_string(number_) + "_" + std::to_string(structures_++);
    Operation operation = make(Kind::Structure, site);
    operation.number = structures_ - 1;
    std::string sql;
    if (kind < 2) {
        operation.structure = "note_" + end;
        // Rows that are there get the default without being written.
        sql = "ALTER TABLE writes ADD COLUMN " + operation.structure + " text" +
              (kind == 0 ? "" : " DEFAULT 'none'");
    } else if (kind == 2) {
        operation.structure = "more_" + end;
        sql = "CREATE TABLE " + operation.structure +
              " (writer int, number int, PRIMARY KEY (writer, number))";
    } else {
        operation.structure = "by_" + end;
        sql = std::string("CREATE INDEX ") + (kind == 3 ? "" : "CONCURRENTLY ") +
              operation.structure + " ON writes (path, number)";
    }
    const size_t place = history_.begin(operation);
    // As a careful operator does: who waits for a lock holds up all others.
    run_sql(site, "SET lock_timeout = '5s'; " + sql, operation);
    if (operation.outcome == Outcome::Ok && kind < 2) {
        column_ = operation.structure;
    } else if (operation.outcome == Outcome::Ok && kind == 2) {
        table_ = operation.structure;
    }
    note(place, operation);
}

/// Whatever a promotion has left of it: what is there behind it depends on nothing before.
void Writer::change_large_object(const Site& site) {
    Operation operation = make(Kind::LargeObject, site);
    operation.number =
        first_large_object + 100 * number_ + static_cast<int>(chance_.below(large_objects));
    const std::string oid = std::to_string(operation.number);
    const std::string there = " FROM pg_largeobject_metadata WHERE oid = " + oid;
    const size_t kind = chance_.below(4);
    std::string sql = "BEGIN;";
    if (kind < 2) {
        sql += "SELECT lo_unlink(oid)" + there + ";";
    }
    if (kind > 0) {
        const std::string part = std::to_string(chance_.next()) + " ";
        const size_t times = 1 + chance_.below(10'000);
        const size_t behind = 1 + chance_.below(times);  // where the second half begins
        const auto put = [&](size_t at, size_t count) {
            return "SELECT lo_put(" + oid + ", " + std::to_string(at * part.size()) + ", repeat('" +
                   part + "', " + std::to_string(count) + ")::bytea);";
        };
        std::string content;
        for (size_t i = 0; i < times; ++i) {
            content += part;
        }
        operation.bytes = content.size();
        operation.sha256 = test::must_run({"sha256sum"}, content).substr(0, 64);
        sql += "SELECT lo_create(" + oid + ") WHERE NOT EXISTS (SELECT" + there +
               "); SELECT lo_truncate64(lo_open(" + oid + ", x'20000'::int), " +
               std::to_string(content.size()) + ");" + put(0, behind) + put(behind, times - behind);
    }
    const size_t place = history_.begin(operation);
    run_sql(site, sql + "COMMIT", operation);
    note(place, operation);
}

Workload::Workload(Sites& sites, History& history, int writers, uint64_t seed) {
    for (int number = 0; number < writers; ++number) {
        writers_.push_back(std::make_unique<Writer>(sites, history, structure_, number,
                                                    seed * 100 + static_cast<uint64_t>(number)));
    }
}

void Workload::start() {
    for (const auto& writer : writers_) {
        threads_.emplace_back([&writer = *writer](const std::stop_token& stop) {
            while (!stop.stop_requested()) {
                // While no site is open there is nothing to do.
                test::eventually([&] { return stop.stop_requested() || writer.write_once(); });
            }
        });
    }
}

void Workload::stop() {
    for (std::jthread& thread : threads_) {
        thread.request_stop();  // none of them goes on while another one ends
    }
    threads_.clear();
}

bool Workload::go_on(int count, std::chrono::milliseconds limit) {
    const int target = acknowledged() + count;
    return test::eventually([&] { return acknowledged() >= target; }, limit);
}

int Workload::acknowledged() const {
    int sum = 0;
    for (const auto& writer : writers_) {
        sum += writer->acknowledged();
    }
    return sum;
}

int Workload::attempted() const {
    int sum = 0;
    for (const auto& writer : writers_) {
        sum += writer->attempted();
    }
    return sum;
}

}  // namespace antipode::chaos
