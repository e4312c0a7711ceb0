#include "base/config.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <set>
#include <span>
#include <sstream>

#include <toml++/toml.h>

#include "base/address.hpp"
#include "base/config_reader.hpp"
#include "base/error.hpp"

namespace antipode {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

constexpr size_t longest_postgres_name = 63;  // NAMEDATALEN - 1

void read_sites(TableReader& root, Config& config) {
    root.tables("sites", config.sites, [](TableReader& site, Config::Site& value) {
        site.read_name("name", value.name);
        site.read("nats", value.nats);
        site.require("nats", value.nats);
        site.check("nats", why_no_nats_url(value.nats));
        site.read("http", value.http);
        site.require("http", value.http);
        site.check("http", why_no_daemon_url(value.http));
    });
}

void read_servers(TableReader& root, Config& config) {
    root.table("nats", [&](TableReader& nats) {
        nats.read("url", config.nats.url);
        if (!config.nats.url.empty()) {
            nats.check("url", why_no_nats_url(config.nats.url));
        }
        nats.read("store_dir", config.nats.store_dir);
        nats.read("credentials_file", config.nats.credentials_file);
        nats.read_integer("stream_max_bytes", config.nats.stream_max_bytes, 1 << 20, INT64_MAX);
    });
    root.table("http", [&](TableReader& http) {
        http.read("listen", config.http.listen);
        http.read("token_file", config.http.token_file);
        http.check("listen", why_no_listen_address(config.http.listen));
        if (config.http.token_file.empty() &&
            !is_loopback(HostPort::parse(config.http.listen)->host)) {
            http.check("listen",
                       "is not on loopback and http.token_file is not set: everybody who reaches "
                       "it could read the stores",
                       "openssl rand -hex 32 > /etc/antipode/token; chmod 600 it; name it as "
                       "http.token_file, the same secret on all sites");
        }
    });
}

/// A site's own server would be lost together with the site.
void read_witness(TableReader& root, Config& config) {
    root.table("witness", [&](TableReader& table) {
        Config::Witness witness{{}, config.nats.credentials_file};
        table.read("nats", witness.nats);
        table.require("nats", witness.nats);
        table.check("nats", why_no_nats_url(witness.nats));
        table.read("credentials_file", witness.credentials_file);
        for (const Config::Site& site : config.sites) {
            const bool same = witness.nats == site.nats ||
                              (site.name == config.site && witness.nats == config.nats.url);
            table.check("nats", same ? std::optional("is the nats-server of " + site.name +
                                                     ": a witness is lost with no site")
                                     : std::nullopt);
        }
        config.witness = std::move(witness);
    });
}

void read_notify(TableReader& root, Config& config) {
    config.notify.socket = config.state_dir / "notify.sock";
    root.table("notify", [&](TableReader& notify) {
        notify.read("socket", config.notify.socket);
        std::string text = "0660";
        notify.read("socket_mode", text);
        const auto mode = parse_mode(text);
        notify.check(
            "socket_mode",
            mode ? std::nullopt : std::optional("must be permission bits such as \"0660\""s));
        config.notify.socket_mode = mode.value_or(0);
    });
}

/// PostgreSQL's rule for the names of replication slots.
std::optional<std::string> why_no_slot(const std::string& name) {
    const bool clean = std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
    if (name.empty() || name.size() > longest_postgres_name || !clean) {
        return "must be 1 to 63 of a-z, 0-9 and _; it is \"" + name + "\"";
    }
    return std::nullopt;
}

std::optional<std::string> why_no_publication(const std::string& name) {
    return name.empty() || name.size() > longest_postgres_name
               ? std::optional<std::string>("must have 1 to 63 bytes")
               : std::nullopt;
}

/// What can be said without libpq; the rest says `check`, when there is one.
std::optional<std::string> why_no_database_url(const std::string& url, const ConfigChecks& checks) {
    if (url.find('=') == std::string::npos && !url.starts_with("postgresql://") &&
        !url.starts_with("postgres://")) {
        return "must be \"host=... dbname=... user=...\" or postgresql://user@host/dbname";
    }
    auto why = checks.database_url ? checks.database_url(url) : std::nullopt;
    return why ? "is no connection string of PostgreSQL: " + *why : why;
}

/// A directory that the configuration names, and where.
struct Directory {
    std::string what;  ///< "blobs.root of \"uploads\""
    fs::path path;
    toml::source_region where;
    bool is_root = false;
};

/// Without symbolic links, ".." and slashes at its end, as far as it exists.
fs::path plain(const fs::path& path) {
    std::error_code error;
    const fs::path real = fs::weakly_canonical(path, error);
    const fs::path normal = error ? path.lexically_normal() : real;
    return normal.has_filename() ? normal : normal.parent_path();
}

bool is_within(const fs::path& path, const fs::path& other) {
    const auto [end, ignored] = std::mismatch(other.begin(), other.end(), path.begin(), path.end());
    return end == other.end();
}

/// A root inside another would be replicated twice; one with the daemon's or the server's own files
/// in it would feed on itself.
void check_apart(const std::vector<Directory>& directories, const std::string& source) {
    for (size_t i = 0; i < directories.size(); ++i) {
        for (size_t j = 0; j < i; ++j) {
            const fs::path one = plain(directories[i].path);
            const fs::path other = plain(directories[j].path);
            const bool matters = directories[i].is_root || directories[j].is_root;
            if (matters && (is_within(one, other) || is_within(other, one))) {
                throw Error(Reaction::Stop,
                            at(source, directories[i].where) + directories[i].what + ", " +
                                directories[i].path.string() + ", and " + directories[j].what +
                                ", " + directories[j].path.string() +
                                ", must not lie in each other",
                            "give each a directory of its own");
            }
        }
    }
}

void read_check_every(TableReader& store, std::chrono::milliseconds& value) {
    store.read_or_never("check_every", value, std::chrono::seconds(1),
                        std::chrono::hours(365 * 24));
}

void read_owner(TableReader& store, Config::Blobs& value, const ConfigChecks& checks) {
    store.read("owner", value.owner);
    if (value.owner.empty()) {
        return;
    }
    const auto found = find_owner(value.owner);
    if (const auto* why = std::get_if<std::string>(&found)) {
        store.check("owner", "is not known on this machine: " + *why,
                    "getent passwd, getent group; or numbers, \"USER:GROUP\"");
    }
    value.owner_ids = std::get<FileOwner>(found);
    store.check("owner", checks.owner ? checks.owner(*value.owner_ids) : std::nullopt,
                "start the daemon as root, or with AmbientCapabilities=CAP_CHOWN CAP_FOWNER "
                "CAP_DAC_OVERRIDE");
}

constexpr std::array bucket_keys = {"endpoint", "bucket",           "prefix",
                                    "region",   "credentials_file", "path_style"};

void refuse_keys(const TableReader& store, std::span<const char* const> keys,
                 const std::string& why) {
    for (const char* key : keys) {
        store.check(key, store.has(key) ? std::optional(why) : std::nullopt);
    }
}

std::optional<std::string> why_no_prefix(const std::string& prefix) {
    const bool clean = prefix.empty() || (prefix.ends_with('/') && !prefix.starts_with('/') &&
                                          prefix.find("//") == std::string::npos);
    return clean ? std::nullopt
                 : std::optional<std::string>(
                       "must be empty, or begin without and end with a slash: \"uploads/\"");
}

void read_bucket(TableReader& store, Config::Blobs& value) {
    constexpr std::array files_keys = {"root", "directories", "owner", "keep_deleted"};
    refuse_keys(store, files_keys, "is only for a store of type \"files\"");
    value.bucket = Config::Bucket{};
    Config::Bucket& bucket = *value.bucket;
    store.read("endpoint", bucket.endpoint);
    store.require("endpoint", bucket.endpoint);
    store.check("endpoint", why_no_bucket_endpoint(bucket.endpoint));
    store.read("bucket", bucket.bucket);
    store.require("bucket", bucket.bucket);
    store.check("bucket", why_no_bucket_name(bucket.bucket));
    store.read("prefix", bucket.prefix);
    store.check("prefix", why_no_prefix(bucket.prefix));
    store.read("region", bucket.region);
    store.require("region", bucket.region);
    store.read("credentials_file", bucket.credentials_file);
    store.require("credentials_file", bucket.credentials_file);
    store.read("path_style", bucket.path_style);
}

/// Two stores on one part of a bucket would replicate it twice.
void check_buckets_apart(const TableReader& root, const std::vector<Config::Blobs>& stores) {
    for (size_t i = 0; i < stores.size(); ++i) {
        for (size_t j = 0; j < i; ++j) {
            const auto& one = stores[i].bucket;
            const auto& other = stores[j].bucket;
            const bool same =
                one && other && one->endpoint == other->endpoint && one->bucket == other->bucket &&
                (one->prefix.starts_with(other->prefix) || other->prefix.starts_with(one->prefix));
            root.check("blobs",
                       same ? std::optional("stores \"" + stores[j].name + "\" and \"" +
                                            stores[i].name + "\" must not share a part of a bucket")
                            : std::nullopt);
        }
    }
}

void read_stores(TableReader& root, Config& config, const ConfigChecks& checks,
                 std::vector<Directory>& directories) {
    root.tables("database", config.databases, [&](TableReader& store, Config::Database& value) {
        store.read_name("name", value.name);
        store.read("url", value.url);
        store.require("url", value.url);
        store.check("url", why_no_database_url(value.url, checks));
        store.read("write_check_url", value.write_check_url);
        store.check("write_check_url", value.write_check_url.empty()
                                           ? std::nullopt
                                           : why_no_database_url(value.write_check_url, checks));
        value.slot = "antipode_" + config.cluster + "_" + value.name;
        value.publication = "antipode_" + value.name;
        std::replace(value.slot.begin(), value.slot.end(), '-', '_');
        store.read("slot", value.slot);
        store.check("slot", why_no_slot(value.slot));
        store.read("publication", value.publication);
        store.check("publication", why_no_publication(value.publication));
        store.read_choice("replica_identity", value.replica_identity, {"set", "check"});
        store.read_choice("ddl", value.ddl, {"apply", "halt"});
        store.read("readers", value.readers);
        store.read("lock_grace", value.lock_grace, std::chrono::seconds(1), std::chrono::hours(24));
        read_check_every(store, value.check_every);
        store.read_integer("slot_warn_bytes", value.slot_warn_bytes, 1 << 20, 1LL << 50);
        store.read_integer("slot_max_bytes", value.slot_max_bytes, 0, 1LL << 50);
        store.read_integer("sequence_headroom", value.sequence_headroom, 0, 1'000'000'000);
        store.read("synchronous", value.synchronous);
        store.check("synchronous", value.synchronous && value.slot_max_bytes > 0
                                       ? std::optional<std::string>(
                                             "commits cannot wait for sites that slot_max_bytes "
                                             "lets go of: leave one of the two away")
                                       : std::nullopt);
    });
    const auto read_items = [&](TableReader& store, auto& value) {
        store.read_name("name", value.name);
        read_check_every(store, value.check_every);
        store.read("hold_deletions", value.deletions.hold);
        store.read_integer("hold_deletions_percent", value.deletions.percent, 0, 100);
        store.read_integer("hold_deletions_least", value.deletions.least, 1, INT64_MAX);
    };
    const auto read_root = [&](TableReader& store, const std::string& kind, auto& value) {
        store.read("root", value.root);
        store.require("root", value.root);
        directories.push_back(
            {kind + ".root of \"" + value.name + "\"", value.root, store.where("root"), true});
    };
    root.tables("repositories", config.repositories,
                [&](TableReader& store, Config::Repositories& value) {
                    read_items(store, value);
                    read_root(store, "repositories", value);
                });
    root.tables("blobs", config.blobs, [&](TableReader& store, Config::Blobs& value) {
        read_items(store, value);
        std::string type = "files";
        store.read_choice("type", type, {"files", "s3"});
        if (type == "s3") {
            read_bucket(store, value);
        } else {
            refuse_keys(store, bucket_keys, "is only for a store of type \"s3\"");
            read_root(store, "blobs", value);
        }
        store.read("include", value.include);
        store.read("exclude", value.exclude);
        store.read_or_never("keep_deleted", value.keep_deleted, std::chrono::seconds(1),
                            std::chrono::hours(3650 * 24));
        store.read_choice("directories", value.directories, {"all", "as-needed"});
        read_owner(store, value, checks);
    });
    check_buckets_apart(root, config.blobs);
}

void read_failover(TableReader& root, Config::Failover& failover) {
    root.table("failover", [&](TableReader& table) {
        const auto command = [&](const char* key, std::vector<std::string>& value) {
            table.read(key, value);
            table.check(key, !value.empty() && !fs::path(value.front()).is_absolute()
                                 ? std::optional<std::string>(
                                       "must begin with a program's absolute path (no shell runs "
                                       "it)")
                                 : std::nullopt);
        };
        command("fence_command", failover.fence_command);
        command("unfence_command", failover.unfence_command);
        command("write_check_command", failover.write_check_command);
        command("before_open_command", failover.before_open_command);
        command("after_open_command", failover.after_open_command);
        command("secondary_command", failover.secondary_command);
        using namespace std::chrono_literals;
        table.read("command_timeout", failover.command_timeout, 1s, 1h);
        table.read_choice("rejoin", failover.rejoin, {"ask", "automatic"});
        table.read("switchover_timeout", failover.switchover_timeout, 5s, 1h);
        table.check("fence_command",
                    failover.fence_command.empty() && !failover.unfence_command.empty()
                        ? std::optional<std::string>("is missing: there is an unfence_command")
                        : std::nullopt);
    });
}

void read_tuning(TableReader& root, Config::Tuning& tuning) {
    root.table("tuning", [&](TableReader& table) {
        table.read_choice("consistency", tuning.consistency, {"causal", "eager"});
        using namespace std::chrono_literals;
        table.read("max_hold", tuning.max_hold, 1s, 24h * 7);
        table.read("reconcile_interval", tuning.reconcile_interval, 1s, 24h * 7);
        table.read("marker_interval", tuning.marker_interval, 100ms, 60s);
        table.read_integer("capture_workers", tuning.capture_workers, 1, 64);
        table.read_integer("apply_workers", tuning.apply_workers, 1, 64);
        table.read_integer("pull_workers", tuning.pull_workers, 1, 64);
        table.read_integer("copy_workers", tuning.copy_workers, 1, 64);
        table.read_integer("bulk_bytes_per_second", tuning.bulk_bytes_per_second, 0, INT64_MAX);
        table.read_integer("bulk_serve_bytes_per_second", tuning.bulk_serve_bytes_per_second, 0,
                           INT64_MAX);
        table.read_integer("check_bytes_per_second", tuning.check_bytes_per_second, 0, INT64_MAX);
        table.read("watch_mirrors", tuning.watch_mirrors);
    });
}

}  // namespace

const Config::Site* Config::find_site(std::string_view name) const {
    const auto found = std::find_if(sites.begin(), sites.end(),
                                    [&](const Site& candidate) { return candidate.name == name; });
    return found == sites.end() ? nullptr : &*found;
}

std::vector<StoreId> Config::stores() const {
    std::vector<StoreId> ids;
    for (const Database& store : databases) {
        ids.push_back({StoreKind::Database, store.name});
    }
    for (const Repositories& store : repositories) {
        ids.push_back({StoreKind::Repositories, store.name});
    }
    for (const Blobs& store : blobs) {
        ids.push_back({StoreKind::Blobs, store.name});
    }
    return ids;
}

Config Config::parse(std::string_view text, const std::string& source, const ConfigChecks& checks) {
    toml::table table;
    try {
        table = toml::parse(text, std::string_view(source));
    } catch (const toml::parse_error& error) {
        throw Error(Reaction::Stop, at(source, error.source()) + std::string(error.description()),
                    mend_the_line);
    }
    Config config;
    TableReader root(table, "", source);
    root.read_name("cluster", config.cluster);
    root.read_name("site", config.site);
    root.read("state_dir", config.state_dir);
    root.require("state_dir", config.state_dir);
    read_servers(root, config);
    read_notify(root, config);
    read_sites(root, config);
    read_witness(root, config);
    std::vector<Directory> directories = {
        {"state_dir", config.state_dir, root.where("state_dir"), false}};
    if (!config.nats.store_dir.empty()) {
        directories.push_back({"nats.store_dir", config.nats.store_dir, root.where("nats"), false});
    }
    read_stores(root, config, checks, directories);
    read_failover(root, config.failover);
    read_tuning(root, config.tuning);
    root.finish();
    const Site* own = config.find_site(config.site);
    if (own == nullptr) {
        root.fail(table, "sites", "has no entry for this site, \"" + config.site + "\"");
    }
    if (config.nats.url.empty()) {
        config.nats.url = own->nats;
    }
    if (config.stores().empty()) {
        root.fail(table, "database", "or [[repositories]] or [[blobs]] must name a store");
    }
    check_apart(directories, source);
    return config;
}

Config Config::load(const std::filesystem::path& file, const ConfigChecks& checks) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) {
        throw Error(Reaction::Stop, "cannot read the configuration " + file.string(),
                    "antipoded --config FILE, with a file that this user may read");
    }
    std::ostringstream text;
    text << stream.rdbuf();
    return parse(text.str(), file.string(), checks);
}

}  // namespace antipode
