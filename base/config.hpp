#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_owner.hpp"
#include "base/ids.hpp"

namespace antipode {

/// What only others can say of a configuration; what is empty is not checked.
struct ConfigChecks {
    /// Why a text is no connection string; nullopt: it is one. libpq knows, and stops at its
    /// adapter.
    std::function<std::optional<std::string>(const std::string& url)> database_url{};
    /// Why this process cannot give files to an owner; nullopt: it can.
    std::function<std::optional<std::string>(const FileOwner& owner)> owner{};
};

/// The daemon's and the CLI's configuration, one TOML file per node. The defaults stand here; the
/// whole file is validated before anything connects. docs/CONFIG.md explains each key to operators.
struct Config {
    struct Site {
        std::string name;
        std::string nats;  ///< URL of the site's own nats-server
        std::string http;  ///< URL of the site's antipoded, without a trailing slash
    };
    struct Nats {
        std::string url;
        /// JetStream's directory when the server runs on this machine: appended messages are then
        /// synced to disk before they count as safe. Empty: the server's own interval decides.
        std::filesystem::path store_dir;
        std::filesystem::path credentials_file;
        uint64_t stream_max_bytes = 10ULL << 30;
    };
    /// A nats-server at a third place, without users' data: it arbitrates the loss of a site.
    struct Witness {
        std::string nats;
        std::filesystem::path credentials_file;  ///< default: that of [nats]
    };
    struct Http {
        std::string listen = "127.0.0.1:8840";
        std::filesystem::path token_file;  ///< needed when `listen` is not on loopback
    };
    /// Where programs of this machine say that they changed something, and who may.
    struct Notify {
        std::filesystem::path socket;  ///< default: notify.sock in state_dir
        unsigned socket_mode = 0660;
    };
    struct Database {
        std::string name;
        std::string url;          ///< libpq connection string
        std::string slot;         ///< default: antipode_<cluster>_<name>
        std::string publication;  ///< default: antipode_<name>
        /// "set": give tables without a usable replica identity one; "check": refuse and name them.
        std::string replica_identity = "set";
        /// What a secondary does with changes of the structure: "apply", or "halt" at them.
        std::string ddl = "apply";
        /// How the service connects, for whoever looks whether a fence keeps it out; empty: nobody
        /// tries.
        std::string write_check_url{};
        /// On a secondary: the roles that may connect besides the daemon's, to read.
        std::vector<std::string> readers{};
        /// How long a reader may hold up what needs a table for itself (TRUNCATE, DDL).
        std::chrono::milliseconds lock_grace{std::chrono::seconds(30)};
        /// How often a secondary compares everything with the primary; 0: never by itself.
        std::chrono::milliseconds check_every{std::chrono::hours(7 * 24)};
        /// The primary warns when the slot keeps more write-ahead log than this.
        uint64_t slot_warn_bytes = 16ULL << 30;
        /// And lets go of sites that need more than this of it; 0: of none.
        uint64_t slot_max_bytes = 0;
        /// So many numbers of each sequence are passed over when the site takes the place of a
        /// primary that was lost, which may have given them out; 0: none.
        uint64_t sequence_headroom = 1000;
        /// The primary's commits may wait until they are safe on every site: capture is a
        /// synchronous standby of PostgreSQL.
        bool synchronous = false;
        /// By which name synchronous_standby_names knows it.
        std::string standby_name() const { return "antipode_" + name; }
    };
    /// On the primary: when deletions are so many that an operator has to release them.
    struct Deletions {
        bool hold = true;
        unsigned percent = 5;  ///< of a store's items within a minute: more than this, and
        uint64_t least = 100;  ///< no fewer than these
    };
    struct Repositories {
        std::string name;
        std::filesystem::path root;
        /// How often a secondary reads everything and compares it with what was applied; 0: never
        /// by itself.
        std::chrono::milliseconds check_every{std::chrono::hours(7 * 24)};
        Deletions deletions{};
    };
    /// A bucket of an S3-compatible server in the place of a root.
    struct Bucket {
        std::string endpoint;  ///< URL of the server, without a trailing slash
        std::string bucket;
        std::string prefix;  ///< of all keys; empty, or ends with a slash
        std::string region = "us-east-1";
        std::filesystem::path credentials_file;
        bool path_style = true;  ///< false: the bucket is a part of the host's name
        bool operator==(const Bucket&) const = default;
    };
    struct Blobs {
        std::string name;
        std::filesystem::path root;          ///< empty when there is a bucket
        std::vector<std::string> include{};  ///< of files; empty: all. As `exclude`
        std::vector<std::string> exclude;    ///< fnmatch(3) patterns on the path below the root
        /// "as-needed": directories exist through their files; "all": each is mirrored.
        std::string directories = "as-needed";
        bool all_directories() const { return directories == "all"; }
        /// On a secondary: whose what is made here becomes, as it is written, and as it is known to
        /// the system; empty: the daemon's.
        std::string owner{};
        std::optional<FileOwner> owner_ids{};
        std::chrono::milliseconds check_every{std::chrono::hours(7 * 24)};  ///< as above
        Deletions deletions{};
        /// How long a secondary keeps what was deleted, below .antipode/deleted; 0: not at all.
        std::chrono::milliseconds keep_deleted{0};
        std::optional<Bucket> bucket{};
    };
    /// Commands of the site (programs with their arguments, no shell), and how long things may take
    /// when another site becomes primary.
    struct Failover {
        std::vector<std::string> fence_command;        ///< makes the service unable to write here
        std::vector<std::string> unfence_command;      ///< undoes it
        std::vector<std::string> write_check_command;  ///< writes as the service would; 0: it could
        std::vector<std::string> before_open_command;  ///< this site is about to be primary
        std::vector<std::string> after_open_command;   ///< it is
        std::vector<std::string> secondary_command;    ///< it is a secondary now, not primary
        std::chrono::milliseconds command_timeout{30'000};
        /// An old primary whose writes are in quarantine: "ask" waits for the operator to let it
        /// follow the new one; "automatic" does not.
        std::string rejoin = "ask";
        /// From the fence until the other site has everything; then the primary serves on.
        std::chrono::milliseconds switchover_timeout{60'000};
    };
    struct Tuning {
        std::string consistency = "causal";  ///< or "eager"
        std::chrono::milliseconds max_hold{std::chrono::minutes(10)};
        std::chrono::milliseconds reconcile_interval{std::chrono::minutes(10)};
        std::chrono::milliseconds marker_interval{1000};
        unsigned capture_workers = 2;  ///< per store of repositories or blobs
        unsigned apply_workers = 2;    ///< per store of repositories or blobs
        unsigned pull_workers = 4;
        unsigned copy_workers = 2;                 ///< of one database's initial copy
        uint64_t bulk_bytes_per_second = 0;        ///< cap on all bulk pulls of this site; 0 = none
        uint64_t bulk_serve_bytes_per_second = 0;  ///< the same on what this site serves
        /// What checks of files read at most, each store's by itself; 0 = as fast as it goes.
        uint64_t check_bytes_per_second = 50'000'000;
        bool watch_mirrors = true;  ///< on a secondary: for changes by hand
    };

    std::string cluster;
    std::string site;
    std::filesystem::path state_dir;
    Nats nats;
    Http http;
    Notify notify;
    std::vector<Site> sites;
    std::vector<Database> databases;
    std::vector<Repositories> repositories;
    std::vector<Blobs> blobs;
    Failover failover;
    Tuning tuning;
    std::optional<Witness> witness{};  ///< nullopt: the operator's word arbitrates

    const Site* find_site(std::string_view name) const;
    std::vector<StoreId> stores() const;

    /// `source` names the text in errors. Throws Error{Stop} with line, column and, for an unknown
    /// key, the nearest known one.
    static Config parse(std::string_view text, const std::string& source,
                        const ConfigChecks& checks = {});
    static Config load(const std::filesystem::path& file, const ConfigChecks& checks = {});
};

}  // namespace antipode
