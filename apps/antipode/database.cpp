#include "apps/antipode/database.hpp"

#include <nlohmann/json.hpp>

#include "adapters/postgres/ddl_setup.hpp"
#include "adapters/postgres/source_control.hpp"
#include "primary/database/requirements.hpp"

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
    const auto identities = store.replica_identity == "set" ? postgres::Identities::Given
                                                            : postgres::Identities::Chosen;
    const std::string sql = postgres::ddl_setup_sql(role, identities);
    if (!options.dry_run) {
        postgres::run_ddl_setup(options.url.value_or(store.url), role, identities);
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

ExitCode make_new_slot(const Config& config, const Output& output,
                       const std::optional<std::string>& name) {
    const Config::Database& store = find_store(config, name);
    postgres::SourceSetup control(
        {store.url, store.slot, store.publication, "antipode database new-slot"});
    const SourceFacts facts = control.facts();
    if (facts.slot && !primary::is_slot_lost(facts)) {
        throw CommandError(ExitCode::Failed,
                           "the slot " + store.slot + " is there, and nothing of it is lost",
                           "antipode doctor");
    }
    control.give_up_slot();
    if (output.json()) {
        output.out << nlohmann::ordered_json{{"schema", "antipode.database-new-slot/1"},
                                             {"store", "database/" + store.name},
                                             {"slot", store.slot}}
                          .dump()
                   << "\n";
    } else {
        output.out << "database/" << store.name << ": antipoded makes the slot " << store.slot
                   << " anew, at once when it runs; secondaries then compare their rows with this "
                      "site's and transfer what differs\n";
    }
    return ExitCode::Ok;
}

}  // namespace antipode::cli
