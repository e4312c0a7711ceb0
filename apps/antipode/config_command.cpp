#include "apps/antipode/config_command.hpp"

#include <cerrno>
#include <regex>
#include <sstream>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "adapters/postgres/connection.hpp"
#include "base/error.hpp"
#include "base/words.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;

std::string duration(std::chrono::milliseconds time) {
    const int64_t milliseconds = time.count();
    if (milliseconds % 60'000 == 0 && milliseconds > 0) {
        return std::to_string(milliseconds / 60'000) + "m";
    }
    return milliseconds % 1000 == 0 ? std::to_string(milliseconds / 1000) + "s"
                                    : std::to_string(milliseconds) + "ms";
}

std::string duration_or_never(std::chrono::milliseconds value) {
    return value.count() == 0 ? "never" : duration(value);
}

void add_deletions(Json& store, const Config::Deletions& deletions) {
    store["hold_deletions"] = deletions.hold;
    store["hold_deletions_percent"] = deletions.percent;
    store["hold_deletions_least"] = deletions.least;
}

std::string octal(unsigned mode) {
    std::ostringstream text;
    text << '0' << std::oct << mode;
    return text.str();
}

Json stores_of(const Config& config) {
    Json stores;
    for (const Config::Database& store : config.databases) {
        stores["database"].push_back({{"name", store.name},
                                      {"url", without_password(store.url)},
                                      {"write_check_url", without_password(store.write_check_url)},
                                      {"slot", store.slot},
                                      {"publication", store.publication},
                                      {"replica_identity", store.replica_identity},
                                      {"ddl", store.ddl},
                                      {"readers", store.readers},
                                      {"lock_grace", duration(store.lock_grace)},
                                      {"check_every", duration_or_never(store.check_every)},
                                      {"slot_warn_bytes", store.slot_warn_bytes},
                                      {"slot_max_bytes", store.slot_max_bytes},
                                      {"sequence_headroom", store.sequence_headroom},
                                      {"synchronous", store.synchronous}});
    }
    for (const Config::Repositories& store : config.repositories) {
        stores["repositories"].push_back({{"name", store.name},
                                          {"root", store.root.string()},
                                          {"check_every", duration_or_never(store.check_every)}});
        add_deletions(stores["repositories"].back(), store.deletions);
    }
    for (const Config::Blobs& store : config.blobs) {
        Json shown = {{"name", store.name}, {"type", store.bucket ? "s3" : "files"}};
        if (store.bucket) {
            shown.update({{"endpoint", store.bucket->endpoint},
                          {"bucket", store.bucket->bucket},
                          {"prefix", store.bucket->prefix},
                          {"region", store.bucket->region},
                          {"credentials_file", store.bucket->credentials_file.string()},
                          {"path_style", store.bucket->path_style}});
        } else {
            shown["root"] = store.root.string();
        }
        shown["include"] = store.include;
        shown["exclude"] = store.exclude;
        shown["check_every"] = duration_or_never(store.check_every);
        if (!store.bucket) {
            shown["directories"] = store.directories;
            shown["owner"] = store.owner;
            shown["keep_deleted"] = duration_or_never(store.keep_deleted);
        }
        add_deletions(shown, store.deletions);
        stores["blobs"].push_back(std::move(shown));
    }
    return stores;
}

Json to_json(const Config& config) {
    Json document = {
        {"cluster", config.cluster},
        {"site", config.site},
        {"state_dir", config.state_dir.string()},
        {"nats",
         {{"url", without_password(config.nats.url)},
          {"store_dir", config.nats.store_dir.string()},
          {"credentials_file", config.nats.credentials_file.string()},
          {"stream_max_bytes", config.nats.stream_max_bytes}}},
        {"witness", Json::object()},
        {"http", {{"listen", config.http.listen}, {"token_file", config.http.token_file.string()}}},
        {"notify",
         {{"socket", config.notify.socket.string()},
          {"socket_mode", octal(config.notify.socket_mode)}}},
        {"failover",
         {{"fence_command", config.failover.fence_command},
          {"unfence_command", config.failover.unfence_command},
          {"write_check_command", config.failover.write_check_command},
          {"before_open_command", config.failover.before_open_command},
          {"after_open_command", config.failover.after_open_command},
          {"secondary_command", config.failover.secondary_command},
          {"command_timeout", duration(config.failover.command_timeout)},
          {"rejoin", config.failover.rejoin},
          {"switchover_timeout", duration(config.failover.switchover_timeout)}}},
        {"tuning",
         {{"consistency", config.tuning.consistency},
          {"max_hold", duration(config.tuning.max_hold)},
          {"reconcile_interval", duration(config.tuning.reconcile_interval)},
          {"marker_interval", duration(config.tuning.marker_interval)},
          {"capture_workers", config.tuning.capture_workers},
          {"apply_workers", config.tuning.apply_workers},
          {"pull_workers", config.tuning.pull_workers},
          {"copy_workers", config.tuning.copy_workers},
          {"check_bytes_per_second", config.tuning.check_bytes_per_second},
          {"watch_mirrors", config.tuning.watch_mirrors},
          {"bulk_bytes_per_second", config.tuning.bulk_bytes_per_second},
          {"bulk_serve_bytes_per_second", config.tuning.bulk_serve_bytes_per_second}}}};
    if (config.witness) {
        document["witness"] = {{"nats", without_password(config.witness->nats)},
                               {"credentials_file", config.witness->credentials_file.string()}};
    } else {
        document.erase("witness");
    }
    for (const Config::Site& site : config.sites) {
        document["sites"].push_back(
            {{"name", site.name}, {"nats", without_password(site.nats)}, {"http", site.http}});
    }
    const Json stores = stores_of(config);
    document.insert(stores.begin(), stores.end());
    return document;
}

void print_value(std::ostream& out, const std::string& key, const Json& value) {
    // Strings, numbers and lists of strings look the same in TOML and JSON.
    out << key << " = " << value.dump() << "\n";
}

void print_toml(std::ostream& out, const Json& document) {
    const auto print_table = [&](const Json& table) {
        for (const auto& [key, value] : table.items()) {
            const bool unset =
                value.empty() || (value.is_string() && value.get<std::string>().empty());
            if (!unset) {
                print_value(out, key, value);
            }
        }
    };
    for (const auto& [key, value] : document.items()) {
        if (value.is_string()) {
            print_value(out, key, value);
        } else if (value.is_object()) {
            out << "\n[" << key << "]\n";
            print_table(value);
        } else {
            for (const Json& element : value) {
                out << "\n[[" << key << "]]\n";
                print_table(element);
            }
        }
    }
}

}  // namespace

Config load_config(const std::filesystem::path& file) {
    try {
        return Config::load(file, {.database_url = postgres::why_no_connection_string});
    } catch (const Error& error) {
        std::error_code ignored;
        const bool there = std::filesystem::exists(file, ignored);
        const bool denied = access(file.c_str(), R_OK) != 0 && errno == EACCES;
        if (denied) {
            throw CommandError(ExitCode::Denied, error.what(),
                               "the same command as root, or as the daemon's user");
        }
        throw CommandError(
            ExitCode::Failed, error.what(),
            there ? error.next_step() : "antipode --config FILE, or set ANTIPODE_CONFIG=FILE");
    }
}

ExitCode check_config(const std::filesystem::path& file, const Output& output) {
    const Config config = load_config(file);
    if (output.json()) {
        Json stores = Json::array();
        for (const StoreId& store : config.stores()) {
            stores.push_back(store.to_string());
        }
        output.out << Json{{"schema", "antipode.config-check/1"},
                           {"file", file.string()},
                           {"valid", true},
                           {"cluster", config.cluster},
                           {"site", config.site},
                           {"stores", stores}}
                          .dump()
                   << "\n";
        return ExitCode::Ok;
    }
    output.out << file.string() << " is valid: site " << config.site << " of cluster "
               << config.cluster << ", " << counted(config.sites.size(), "site", "sites")
               << (config.stores().size() == 1 ? ", store" : ", stores");
    for (const StoreId& store : config.stores()) {
        output.out << " " << store.to_string();
    }
    output.out << "\n";
    return ExitCode::Ok;
}

ExitCode show_config(const std::filesystem::path& file, const Output& output) {
    const Json document = to_json(load_config(file));
    if (output.json()) {
        output.out << Json{{"schema", "antipode.config/1"}, {"config", document}}.dump() << "\n";
    } else {
        print_toml(output.out, document);
    }
    return ExitCode::Ok;
}

std::string without_password(const std::string& url) {
    static const std::regex in_url(R"((://[^:/@]*):[^@/]*@)");
    static const std::regex token(R"(^((?:nats|tls)://)[^:/@]+@)");
    static const std::regex in_query(R"(([?&](?:ssl)?password=)[^&]*)", std::regex::icase);
    static const std::regex in_list(R"((\b(?:ssl)?password\s*=\s*)('(?:[^'\\]|\\.)*'|[^'\s]\S*))",
                                    std::regex::icase);
    std::string clean = std::regex_replace(url, in_url, "$1:***@");
    clean = std::regex_replace(clean, token, "$1***@");
    if (clean.find("://") != std::string::npos) {
        return std::regex_replace(clean, in_query, "$1***");
    }
    return std::regex_replace(clean, in_list, "$1***");
}

}  // namespace antipode::cli
