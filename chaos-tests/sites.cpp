#include "chaos-tests/sites.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "chaos-tests/tracing.hpp"
#include "tests/support/git_program.hpp"

namespace antipode::chaos {
namespace {

using test::must_run;

/// Some things take the daemons longer by default than a test's patience.
constexpr const char* patience = "switchover_timeout = \"20s\"\n";

int port_of(const std::string& url) {
    return std::stoi(url.substr(url.rfind(':') + 1));
}

void replace(std::string& text, const std::string& what, const std::string& by) {
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
        text.replace(at, what.size(), by);
        at += by.size();
    }
}

/// Several writers share the gate without a pause: a service stops admitting, then waits for those
/// that are in.
void stop_admitting_first(std::string& text, const Site& site) {
    const std::string gate = test::Pair::gate(site).string();
    const std::string opened = test::Pair::opened(site).string();
    const size_t begin = text.find("fence_command");
    const size_t end = text.find('\n', begin);
    text.replace(begin, end - begin,
                 "fence_command = [\"/bin/sh\", \"-c\", \"rm -f " + opened + " && flock " + gate +
                     " true\"]");
}

std::vector<std::string> split(const std::string& line, char separator) {
    std::vector<std::string> parts;
    std::istringstream stream(line);
    for (std::string part; std::getline(stream, part, separator);) {
        parts.push_back(part);
    }
    return parts;
}

std::vector<std::string> git(const Site& site, const std::string& repository) {
    return {"git", "-c", "safe.directory=*", "-C", (site.git_root / repository).string()};
}

std::string shell(const std::string& script, const std::filesystem::path& directory) {
    test::Process::Options options;
    options.directory = directory;
    options.environment = {{"LC_ALL", "C"}, {"GIT_CONFIG_NOSYSTEM", "1"}};
    return must_run({"sh", "-c", script}, {}, options);
}

/// "HASH  PATH" lines of sha256sum.
void take_files(const std::string& listing, View& view) {
    std::istringstream lines(listing);
    for (std::string line; std::getline(lines, line);) {
        std::string path = line.substr(66);
        if (path.starts_with("./")) {
            path.erase(0, 2);
        }
        view.files[path] = line.substr(0, 64);
    }
}

void take_commits(const Site& site, const std::string& repository, View& view) {
    std::vector<std::string> command = git(site, repository);
    command.insert(command.end(), {"rev-list", "refs/heads/main"});
    std::istringstream lines(test::run(command).output);
    std::set<std::string>& commits = view.commits[repository];
    for (std::string line; std::getline(lines, line);) {
        commits.insert(line);
    }
}

void take_repositories(const Site& site, View& view) {
    const std::string listing = shell(
        "find . -name .antipode -prune -o -name '*.git' -type d -prune -print | sort | "
        "while read -r r; do"
        "  echo \"ref ${r#./} HEAD $(cat \"$r/HEAD\")\";"
        "  git -c safe.directory='*' -C \"$r\" for-each-ref"
        "    --format=\"ref ${r#./} %(refname) %(objectname)\";"
        "done",
        site.git_root);
    std::istringstream lines(listing);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string kind;
        std::string repository;
        std::string name;
        words >> kind >> repository >> name >> std::ws;
        std::getline(words, view.refs[repository + " " + name]);
        view.commits[repository];
    }
    for (auto& [repository, commits] : view.commits) {
        take_commits(site, repository, view);
        const std::string damage = test::damage_of(site.git_root / repository);
        if (!damage.empty()) {
            view.broken.push_back(site.name + ": " + repository + ": " + damage);
        }
    }
}

void take_accounts(const Site& site, View& view) {
    std::istringstream accounts(site.sql("SELECT id, balance FROM accounts"));
    for (std::string line; std::getline(accounts, line);) {
        const std::vector<std::string> parts = split(line, '|');
        view.accounts[std::stoi(parts.at(0))] = std::stoll(parts.at(1));
        view.sum += std::stoll(parts.at(1));
    }
}

void take_bulk(const Site& site, View& view) {
    std::istringstream rows(
        site.sql("SELECT writer, number, version, left(content, 40) FROM bulk"));
    for (std::string line; std::getline(rows, line);) {
        const std::vector<std::string> parts = split(line, '|');
        view.bulk[{std::stoi(parts.at(0)), std::stoi(parts.at(1))}] =
            parts.at(2) + " " + parts.at(3);
    }
}

/// What writers added. An index that was made half, when its server died, is none.
void take_structure(const Site& site, View& view) {
    std::istringstream names(site.sql(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'writes'::regclass"
        " AND attname LIKE 'note\\_%' AND NOT attisdropped "
        "UNION ALL SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'more\\_%' "
        "UNION ALL SELECT relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid"
        " WHERE indisvalid AND relname LIKE 'by\\_%'"));
    for (std::string name; std::getline(names, name);) {
        view.structure.insert(name);
    }
}

/// Behind take_structure().
void take_more(const Site& site, View& view) {
    for (const std::string& table : view.structure) {
        if (table.starts_with("more_")) {
            std::istringstream rows(site.sql("SELECT writer || '/' || number FROM " + table));
            for (std::string row; std::getline(rows, row);) {
                view.more.insert(table + " " + row);
            }
        }
    }
}

/// pg_dump, ordered, without what differs by design: its own settings, and publications.
std::string ordered_dump(const Site& site) {
    const std::string dump =
        site.postgres.dump("app", {"--inserts", "--no-publications", "--no-subscriptions",
                                   "--no-privileges", "--schema=public", "--restrict-key=chaos"});
    std::vector<std::string> lines = split(dump, '\n');
    std::erase_if(lines, [](const std::string& line) {
        return line.starts_with("--") || line.starts_with("SELECT pg_catalog.setval");
    });
    std::sort(lines.begin(), lines.end());
    std::string text;
    for (const std::string& line : lines) {
        text += line + "\n";
    }
    return text;
}

}  // namespace

Sites::Sites(int writers, Ground ground)
    : ground_(std::move(ground)),
      lines_(make_lines()),
      pair(patience, test::Pair::Daemons::Superusers, ground_.third,
           [this](const std::filesystem::path& site) { return prepare(site); }) {
    for (Site* site : all()) {
        site->daemon().stop();
    }
    make_witness();
    for (Site* site : all()) {
        adapt_configuration(*site);
    }
    stand_on_ground();
    put_program(receive_pack(), plain_receive_pack);
    make_content(writers);
    for (Site* site : all()) {
        start_fencer(*site);
        site->start();
    }
    for (const auto& [name, disk] : disks_) {
        disk->sync();
    }
}

Sites::~Sites() {
    for (Site* site : all()) {
        kill(*site);
    }
    witness_.reset();
    // Else the directories could not be removed.
    disks_.clear();
}

std::unique_ptr<Lines> Sites::make_lines() {
    if (ground_.networks) {
        auto lines = std::make_unique<PacketLines>();
        packets_ = lines.get();
        return lines;
    }
    auto lines = std::make_unique<ProxyLines>();
    proxies_ = lines.get();
    return lines;
}

test::Network Sites::prepare(const std::filesystem::path& site) {
    const std::string name = site.filename().string();
    ahead_us_[name] = 0;
    if (ground_.disks) {
        make_disks(site);
    }
    return packets_ == nullptr ? test::Network{} : packets_->add(name);
}

void Sites::make_disks(const std::filesystem::path& site) {
    const std::string name = site.filename().string();
    const std::filesystem::path images = site.parent_path() / "disks";
    std::filesystem::create_directories(images);
    for (const char* part : parts) {
        disks_[{name, part}] =
            std::make_unique<Disk>(*ground_.disks, site / part, images / (name + "-" + part));
    }
}

/// Its daemons do not run.
void Sites::stand_on_ground() {
    const bool loses_power = ground_.disks == Disk::Kind::Loop;
    if (!loses_power && ground_.clocks.empty()) {
        return;
    }
    for (Site* site : all()) {
        site->postgres.stop();
        if (loses_power) {
            site->postgres.set("fsync", "on");
        }
        if (!ground_.clocks.empty()) {
            set_clock(*site, std::chrono::seconds(0));
            const std::map<std::string, std::string> clock = {
                {"LD_PRELOAD", ground_.clocks},
                {"FAKETIME_TIMESTAMP_FILE", (site->directory / "clock").string()},
                {"FAKETIME_CACHE_DURATION", "1"},
                {"FAKETIME_DONT_RESET", "1"},
                {"FAKETIME_DONT_FAKE_MONOTONIC", "1"},
                {"DONT_FAKE_MONOTONIC", "1"},
                {"NO_FAKE_STAT", "1"},
                {"ASAN_OPTIONS", "verify_asan_link_order=0"}};
            site->environment = clock;
            site->postgres.set_environment(clock);
        }
        site->postgres.start();
    }
}

void Sites::cut_power(Site& site) {
    // Nobody sees anything between the first of it and the last.
    kill(site);
    for (const char* part : parts) {
        disk(site, part).cut_power();
    }
    for (const char* part : parts) {
        disk(site, part).mount_again();
    }
}

void Sites::kill(Site& site) {
    site.kill();
    fencers_[site.name].kill();
    site.nats.kill();
    site.postgres.kill();
}

void Sites::start_servers(Site& site) {
    site.nats.start();
    site.postgres.start();
    start_fencer(site);
}

void Sites::boot(Site& site) {
    start_servers(site);
    site.start();
}

/// Where there is no witness there is nothing to start.
void Sites::start_fencer(const Site& site) {
    if (witness_ == nullptr) {
        return;
    }
    const test::InNetwork inside(site.network);
    test::Process::Options options;
    options.log = site.directory / "fencer.log";
    options.environment = site.environment;
    fencers_[site.name] = test::Process(
        {ANTIPODE_FENCER, "--config", (site.directory / "antipode.toml").string()}, options);
}

void Sites::set_clock(const Site& site, std::chrono::seconds ahead) {
    const std::filesystem::path file = site.directory / "clock";
    const std::string sign = ahead.count() < 0 ? "" : "+";
    test::write_file(file.string() + ".new", sign + std::to_string(ahead.count()) + "\n");
    std::filesystem::rename(file.string() + ".new", file);
    ahead_us_.at(site.name) = ahead.count() * 1'000'000;
}

int64_t Sites::clock_us(const std::string& site) const {
    return now_us() + ahead_us_.at(site);
}

bool Sites::caught_up(const Site& site, std::chrono::milliseconds timeout) {
    Site* const open = primary();
    if (open == nullptr) {
        throw std::runtime_error("no site takes writes");
    }
    const int64_t now = clock_us(open->name);
    return test::eventually(
        [&] {
            const auto point = site.status(".recovery_point_us");
            return point && std::stoll(*point) > now;
        },
        timeout);
}

void Sites::make_witness() {
    if (!ground_.witness) {
        return;
    }
    const auto directory = pair.temporary / "witness";
    const auto network = packets_ == nullptr ? test::Network{} : packets_->add("witness");
    witness_ = std::make_unique<test::NatsServer>(directory, network);
}

/// Its daemon does not run.
void Sites::adapt_configuration(const Site& site) {
    std::string text = test::read_file(site.directory / "antipode.toml");
    if (proxies_ != nullptr) {
        join_by_proxies(site, text);
    }
    // Writers remove more than a hundred files a minute on a fast machine.
    replace(text, "name = \"uploads\"\n", "name = \"uploads\"\nhold_deletions_least = 2000\n");
    stop_admitting_first(text, site);
    if (witness_ != nullptr) {
        name_witness(site, text);
    }
    test::write_file(site.directory / "antipode.toml", text);
}

void Sites::name_witness(const Site& site, std::string& text) {
    std::string url = witness_->url();
    if (proxies_ != nullptr) {
        const int port = proxies_->join(site, place_of_witness(), witness_->port());
        url = "nats://127.0.0.1:" + std::to_string(port);
    }
    text += "[witness]\nnats = \"" + url + "\"\n";
}

void Sites::join_by_proxies(const Site& site, std::string& text) {
    for (const Site* other : others(site)) {
        const std::string http = "http://127.0.0.1:" + other->http_port();
        for (const auto& [url, scheme] :
             {std::pair<std::string, std::string>(other->nats.url(), "nats"), {http, "http"}}) {
            const int port = proxies_->join(site, *other, port_of(url));
            replace(text, "\"" + url + "\"",
                    "\"" + scheme + "://127.0.0.1:" + std::to_string(port) + "\"");
        }
    }
}

void Sites::make_content(int writers) {
    app(london(),
        "CREATE SEQUENCE tickets;"
        "CREATE TABLE writes (writer int, number int, repository text NOT NULL, path text NOT NULL,"
        " sha256 text NOT NULL, commit text NOT NULL, PRIMARY KEY (writer, number));"
        "CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL);"
        "INSERT INTO accounts SELECT i, 1000 FROM generate_series(1, " +
            std::to_string(accounts) +
            ") i;"
            "CREATE TABLE bulk (writer int, version int NOT NULL, number int, content text NOT "
            "NULL,"
            " PRIMARY KEY (writer, number));"
            "CREATE TABLE ballast (id int PRIMARY KEY, content text NOT NULL);"
            "INSERT INTO ballast SELECT i, repeat(md5(i::text), 20) FROM generate_series(0, " +
            std::to_string(ballast - 1) + ") i");
    for (int number = 0; number < ballast; ++number) {
        test::write_file(london().files_root / ballast_file(number),
                         std::string(20'000, 'b') + std::to_string(number));
    }
    for (int writer = 0; writer < writers; ++writer) {
        must_run({"git", "init", "-q", "--bare", "-b", "main",
                  (london().git_root / repository(writer)).string()});
    }
    london().antipode({"hooks", "install"});
}

std::vector<Site*> Sites::others(const Site& site) {
    std::vector<Site*> others = all();
    std::erase(others, &site);
    return others;
}

void Sites::set_flow(const Site& from, bool passes) {
    for (const Site* to : others(from)) {
        lines_->set_flow(from, *to, passes);
    }
}

void Sites::cut() {
    for (const Site* site : all()) {
        set_flow(*site, false);
    }
}

void Sites::reset(const Site& site) {
    for (const Site* other : others(site)) {
        lines_->reset(site, *other);
    }
}

void Sites::reset_all() {
    for (const Site* site : all()) {
        reset(*site);
    }
}

OtherSettings::OtherSettings(const Site& site, const std::string& what, const std::string& by)
    : file_(site.directory / "antipode.toml"), before_(test::read_file(file_)) {
    std::string text = before_;
    replace(text, what, by);
    if (text == before_) {
        throw std::runtime_error(file_.string() + " does not hold " + what);
    }
    test::write_file(file_, text);
}

OtherSettings::~OtherSettings() {
    test::write_file(file_, before_);
}

std::vector<Place> Sites::places_beside(const Site& site) {
    std::vector<Place> places;
    for (const Site* other : others(site)) {
        places.emplace_back(*other);
    }
    if (witness_ != nullptr) {
        places.push_back(place_of_witness());
    }
    return places;
}

void Sites::isolate(const Site& site, bool silently, const Site* seen) {
    for (const Place& place : places_beside(site)) {
        if (seen != nullptr && place.name == seen->name) {
            continue;
        }
        if (silently) {
            lines_->set_flow(site, place, false);
            lines_->set_flow(place, site, false);
        } else {
            lines_->reset(site, place);
        }
    }
}

void Sites::cut_witness() {
    for (const Site* site : all()) {
        lines_->set_flow(place_of_witness(), *site, false);
        lines_->set_flow(*site, place_of_witness(), false);
    }
}

View look_at_rows(const Site& site) {
    View view;
    std::istringstream rows(
        site.sql("SELECT writer, number, repository, path, sha256, commit,"
                 " (SELECT string_agg(key || '=' || value, ',' ORDER BY key COLLATE \"C\")"
                 "  FROM jsonb_each_text(to_jsonb(w)) WHERE key LIKE 'note\\_%'), '' "
                 "FROM writes w ORDER BY 1, 2"));
    for (std::string row; std::getline(rows, row);) {
        const std::vector<std::string> parts = split(row, '|');
        view.rows[{std::stoi(parts.at(0)), std::stoi(parts.at(1))}] = {
            parts.at(2), parts.at(3), parts.at(4), parts.at(5), parts.at(6)};
    }
    return view;
}

void look_at_latest(const Site& site, View& view) {
    take_structure(site, view);
    const std::string listing =
        shell("find mutable -type f -exec sha256sum {} + 2>/dev/null || true", site.files_root);
    take_files(listing, view);
    const std::string refs = shell(
        "for r in *.git; do git -c safe.directory='*' -C \"$r\" for-each-ref "
        "--format=\"$r %(refname) %(objectname)\" refs/heads/side; done",
        site.git_root);
    std::istringstream lines(refs);
    for (std::string line; std::getline(lines, line);) {
        const size_t end = line.rfind(' ');
        view.refs[line.substr(0, end)] = line.substr(end + 1);
    }
}

void look_at_references(const Site& site, View& view) {
    std::vector<std::string> command = {"sha256sum", "--"};
    for (const auto& [key, row] : view.rows) {
        command.push_back(row.path);
        view.commits[row.repository];
    }
    test::Process::Options options;
    options.directory = site.files_root;
    if (!view.rows.empty()) {
        take_files(test::run(command, {}, options).output, view);
    }
    for (auto& [repository, commits] : view.commits) {
        take_commits(site, repository, view);
    }
}

void look_at_large_objects(const Site& site, View& view) {
    std::istringstream objects(
        site.sql("SELECT oid, encode(sha256(lo_get(oid)), 'hex'), pg_get_userbyid(lomowner)"
                 " FROM pg_largeobject_metadata"));
    view.large_objects.clear();
    for (std::string line; std::getline(objects, line);) {
        const std::vector<std::string> parts = split(line, '|');
        view.large_objects[std::stoi(parts.at(0))] = {parts.at(1), parts.at(2)};
    }
}

View look(const Site& site) {
    View view = look_at_rows(site);
    take_files(shell("find . -name .antipode -prune -o -type f -print0 | sort -z | "
                     "xargs -0 -r sha256sum",
                     site.files_root),
               view);
    take_repositories(site, view);
    take_accounts(site, view);
    take_bulk(site, view);
    take_structure(site, view);
    take_more(site, view);
    view.dump = ordered_dump(site);
    look_at_large_objects(site, view);
    return view;
}

}  // namespace antipode::chaos
