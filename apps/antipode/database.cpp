#include "apps/antipode/database.hpp"

#include <nlohmann/json.hpp>

#include "adapters/postgres/ddl_setup.hpp"

namespace antipode::cli {
namespace {

const Config::Database& find_store(const Config& config, const std::optional<std::string>& name) {
    const Config::Database* found = nullptr;
    for (const Config::Database& store : config.databases) {
        if (name && store.name != *name) {
            continue;
        }
        if (found != nullptr) {
            throw CommandError(ExitCode::Usage, "there are several databases; name one",
                               "antipode database setup --store " + store.name);
        }
        found = &store;
    }
    if (found == nullptr) {
        throw CommandError(ExitCode::Usage,
                           name ? "there is no database \"" + *name + "\" in the configuration"
                                : "there is no database in the configuration",
                           "antipode config show");
    }
    return *found;
}

}  // namespace

ExitCode setup_database(const Config& config, const Output& output,
                        const DatabaseSetupOptions& options) {
    const Config::Database& store = find_store(config, options.store);
    const std::string role = postgres::role_of(store.url);
    const std::string sql = postgres::ddl_setup_sql(role);
    if (!options.dry_run) {
        postgres::run_ddl_setup(options.url.value_or(store.url), role);
    }
    if (output.json()) {
        output.out << nlohmann::ordered_json{{"schema", "antipode.database-setup/1"},
                                             {"store", "database/" + store.name},
                                             {"role", role},
                                             {"done", !options.dry_run},
                                             {"sql", sql}}
                          .dump()
                   << "\n";
    } else if (options.dry_run) {
        output.out << sql;
    } else {
        output.out
            << "database/" << store.name
            << ": changes of the structure (DDL) are captured from now on; the daemon's role "
            << role << " needs no more rights for it\n";
    }
    return ExitCode::Ok;
}

}  // namespace antipode::cli
