#include "apps/antipode/database.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>

#include <nlohmann/json.hpp>
#include <pwd.h>
#include <unistd.h>

#include "adapters/postgres/capture_setup.hpp"
#include "adapters/postgres/ddl_setup.hpp"
#include "adapters/postgres/replica_setup.hpp"
#include "adapters/postgres/source_control.hpp"
#include "base/error.hpp"
#include "failover/epoch.hpp"
#include "primary/database/requirements.hpp"

namespace antipode::cli {
namespace {

/// nullopt: cannot be read.
std::optional<bool> is_primary(const Config& config, const OpenBucket& open) {
    const Config::Site* const site = config.find_site(config.site);
    try {
        const auto bucket = open(site == nullptr ? Config::Site{} : *site, false);
        if (const auto epoch = failover::read_epoch(*bucket, config.cluster)) {
            return epoch->record.primary() == config.site;
        }
    } catch (const Error&) {
        // Said by who needs it.
    }
    return std::nullopt;
}

bool is_for_secondary(const std::optional<bool>& primary, const DatabaseSetupOptions& options) {
    if (options.role) {
        return *options.role == "secondary";
    }
    if (primary) {
        return !*primary;
    }
    throw CommandError(ExitCode::Usage,
                       "whether this site is the primary cannot be read from its nats-server",
                       "antipode database setup --as primary, or --as secondary");
}

/// What a setup is, and what it leaves to say.
struct Plan {
    std::string sql;
    std::function<void(const std::string& url)> run;
    std::string done;
};

postgres::Identities identities_of(const Config::Database& store) {
    return store.replica_identity == "set" ? postgres::Identities::Given
                                           : postgres::Identities::Chosen;
}

Plan plan_primary(const std::string& role, const Config::Database& store) {
    const postgres::CaptureSetup setup{role, store.publication, store.replica_identity == "set"};
    return {
        postgres::ddl_setup_sql(role, identities_of(store)) + postgres::capture_setup_sql(setup),
        [setup, store](const std::string& url) {
            postgres::run_ddl_setup(url, setup.role, identities_of(store));
            postgres::run_capture_setup(url, setup);
        },
        "rows are published and changes of the structure (DDL) are captured from now on; the "
        "daemon's role " +
            role + " needs no more rights for it"};
}

/// It may become the primary, too. `is_primary`: it still is, and others go on writing.
Plan plan_secondary(const std::string& role, const Config::Database& store, bool is_primary,
                    const DatabaseSetupOptions& options) {
    const postgres::ReplicaSetup setup{role, options.owners, store.readers, store.publication,
                                       !is_primary};
    return {
        postgres::ddl_setup_sql(role, identities_of(store)) + postgres::replica_setup_sql(setup),
        [setup, store](const std::string& url) {
            postgres::run_ddl_setup(url, setup.role, identities_of(store));
            postgres::run_replica_setup(url, setup);
        },
        "the daemon's role " + role + " can copy and apply without being a superuser; " +
            (is_primary ? "once this site is a secondary, " : "") +
            "nobody else may write, and only the roles in \"readers\" may connect"};
}

/// As a shell reads it.
std::string word(const std::string& name) {
    std::string quoted = "'";
    for (const char c : name) {
        quoted += c == '\'' ? "'\\''" : std::string(1, c);
    }
    const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
        return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
    });
    return plain ? name : quoted + "'";
}

/// What the secondaries' setup has to name.
std::string owners_of(const std::string& url) {
    std::string options;
    for (const std::string& owner : postgres::owners_in(url)) {
        options += " --owner " + word(owner);
    }
    return options;
}

}  // namespace

const Config::Database& find_database(const Config& config, const std::optional<std::string>& name,
                                      const std::string& command) {
    const Config::Database* found = nullptr;
    for (const Config::Database& store : config.databases) {
        if (name && store.name != *name) {
            continue;
        }
        if (found != nullptr) {
            throw CommandError(ExitCode::Usage, "there are several databases; name one",
                               command + " --store " + store.name);
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

std::string operator_name() {
    const char* const before_sudo = std::getenv("SUDO_USER");
    const passwd* const user = getpwuid(geteuid());
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    return std::string(before_sudo != nullptr ? before_sudo
                       : user != nullptr      ? user->pw_name
                                              : std::to_string(geteuid())) +
           " on " + host.data();
}

TableName table_of(const std::string& text, const std::string& example) {
    const size_t dot = text.find('.');
    if (dot == std::string::npos || dot == 0 || dot + 1 == text.size()) {
        throw CommandError(ExitCode::Usage, "\"" + text + "\" is no schema.table", example);
    }
    return {text.substr(0, dot), text.substr(dot + 1)};
}

ExitCode setup_database(const Config& config, const OpenBucket& open, const Output& output,
                        const DatabaseSetupOptions& options) {
    const Config::Database& store = find_database(config, options.store, "antipode database setup");
    const std::optional<bool> primary = is_primary(config, open);
    const bool secondary = is_for_secondary(primary, options);
    const std::string role = postgres::role_of(store.url);
    const std::string url = options.url.value_or(store.url);
    Plan plan = secondary ? plan_secondary(role, store, primary.value_or(false), options)
                          : plan_primary(role, store);
    if (!options.dry_run) {
        plan.run(url);
        if (const std::string owners = secondary ? "" : owners_of(url); !owners.empty()) {
            plan.done += "\non each secondary: antipode database setup --url URL" + owners;
        }
    }
    if (output.json()) {
        output.out << nlohmann::ordered_json{{"schema", "antipode.database-setup/1"},
                                             {"store", "database/" + store.name},
                                             {"for", secondary ? "secondary" : "primary"},
                                             {"role", role},
                                             {"done", !options.dry_run},
                                             {"sql", plan.sql}}
                          .dump()
                   << "\n";
    } else if (options.dry_run) {
        output.out << plan.sql;
    } else {
        output.out << "database/" << store.name << ": " << plan.done << "\n";
    }
    return ExitCode::Ok;
}

ExitCode make_new_slot(const Config& config, const OpenBucket& open, const Output& output,
                       const std::optional<std::string>& name) {
    const Config::Database& store = find_database(config, name, "antipode database new-slot");
    // Where that cannot be read the slot is looked at all the same.
    if (is_primary(config, open) == false) {
        throw CommandError(ExitCode::Usage,
                           config.site + " is not the primary, and has no slot to make anew",
                           "antipode sites list, then the same on the primary");
    }
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
