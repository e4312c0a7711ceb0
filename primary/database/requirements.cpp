#include "primary/database/requirements.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/limits.hpp"

namespace antipode::primary {
namespace {

constexpr int oldest_version = 140000;
/// Tables named in one message.
constexpr size_t named_tables = 5;

using Needs = std::vector<UnmetNeed>;

std::string quoted(const TableName& table) {
    return "\"" + table.schema + "\".\"" + table.table + "\"";
}

std::string join_some(const std::vector<std::string>& names) {
    std::string text;
    for (size_t i = 0; i < std::min(names.size(), named_tables); ++i) {
        text += (i == 0 ? "" : ", ") + names[i];
    }
    return names.size() > named_tables
               ? text + " and " + std::to_string(names.size() - named_tables) + " more"
               : text;
}

/// "16.0 GiB"
std::string in_gib(uint64_t bytes) {
    const uint64_t tenths = bytes / (limits::mib * 1024 / 10);
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " GiB";
}

template <typename Select>
std::string name_tables(const std::vector<SourceTable>& tables, Select select) {
    std::vector<std::string> names;
    for (const SourceTable& table : tables) {
        if (select(table)) {
            names.push_back(quoted(table.name));
        }
    }
    return join_some(names);
}

void check_server(const SourceFacts& facts, Needs& needs) {
    if (facts.server_version < oldest_version) {
        needs.push_back({"the server is older than PostgreSQL 14", "upgrade the server"});
    }
    if (facts.in_recovery) {
        needs.push_back({"the server is a standby", "point the store's url at its primary"});
    }
    if (facts.wal_level != "logical") {
        needs.push_back({"wal_level is \"" + facts.wal_level + "\", not \"logical\"",
                         "ALTER SYSTEM SET wal_level = logical, then restart PostgreSQL"});
    }
    if (!facts.may_replicate) {
        needs.push_back({"the role \"" + facts.role + "\" may not replicate",
                         "ALTER ROLE \"" + facts.role + "\" REPLICATION"});
    }
    const bool connected = facts.slot && facts.slot->active;
    if (!connected && facts.senders_used >= facts.senders_most) {
        needs.push_back(
            {"no walsender is free (max_wal_senders = " + std::to_string(facts.senders_most) + ")",
             "raise max_wal_senders and restart PostgreSQL"});
    }
}

void check_slot(const SourceFacts& facts, const Config::Database& config, Needs& needs) {
    if (!facts.slot) {
        if (facts.publication && facts.publication->slot_made == config.slot) {
            needs.push_back({"the replication slot " + config.slot +
                                 " is gone: changes since then cannot be read any more",
                             "find out why: after a restore from a backup the secondaries may "
                             "hold more than this database, and would lose it. Then antipode "
                             "database new-slot --store " +
                                 config.name +
                                 ": secondaries compare their rows with this site's and transfer "
                                 "what differs"});
        } else if (facts.slots_used >= facts.slots_most) {
            needs.push_back({"no replication slot is free (max_replication_slots = " +
                                 std::to_string(facts.slots_most) + ")",
                             "raise max_replication_slots and restart PostgreSQL, or drop an "
                             "unused one (SELECT * FROM pg_replication_slots)"});
        }
        return;
    }
    if (facts.slot->plugin != "pgoutput" || facts.slot->database != facts.database) {
        needs.push_back({"the replication slot " + config.slot + " exists, but for the plugin \"" +
                             facts.slot->plugin + "\" and the database \"" + facts.slot->database +
                             "\"",
                         "choose another name (slot = \"...\" in [[database]])"});
    }
}

void check_publication(const SourceFacts& facts, const Config::Database& config, Needs& needs) {
    const std::string create =
        "as a superuser: CREATE PUBLICATION \"" + config.publication + "\" FOR ALL TABLES";
    if (!facts.publication) {
        if (!facts.may_publish) {
            needs.push_back(
                {"the publication " + config.publication +
                     " does not exist, and only a superuser may publish all tables",
                 "antipode database setup --url URL, with a superuser's URL; or " + create});
        }
        return;
    }
    const auto& publication = *facts.publication;
    if (!publication.all_operations || publication.via_root || publication.filtered) {
        needs.push_back({"the publication " + config.publication +
                             " leaves out operations, rows or columns, or publishes via the "
                             "partition root",
                         "drop it, then " + create});
    }
    if (!publication.all_tables) {
        const std::string names =
            name_tables(facts.tables, [](const SourceTable& table) { return !table.published; });
        if (!names.empty()) {
            needs.push_back({"the publication " + config.publication + " leaves out " + names,
                             "drop it, then " + create});
        }
    }
}

void check_identities(const SourceFacts& facts, const Config::Database& config, Needs& needs) {
    const bool may_set = config.replica_identity == "set";
    const std::string names = name_tables(facts.tables, [&](const SourceTable& table) {
        return !table.identity_usable && !(may_set && table.owned);
    });
    if (!names.empty()) {
        needs.push_back(
            {"without a replica identity, updates and deletes would fail on " + names,
             std::string("ALTER TABLE ... REPLICA IDENTITY USING INDEX ... (unique, not null) or "
                         "FULL") +
                 (may_set ? ", as the tables' owner" : ", or replica_identity = \"set\"")});
    }
}

}  // namespace

std::vector<UnmetNeed> unmet_needs(const SourceFacts& facts, const Config::Database& config) {
    Needs needs;
    check_server(facts, needs);
    check_slot(facts, config, needs);
    check_publication(facts, config, needs);
    check_identities(facts, config, needs);
    return needs;
}

std::vector<UnmetNeed> lesser_needs(const SourceFacts& facts) {
    Needs needs;
    if (!facts.ddl_captured) {
        needs.push_back({ddl_not_captured, ddl_remedy});
    }
    if (!facts.unreadable_sequences.empty()) {
        std::vector<std::string> names;
        for (const TableName& name : facts.unreadable_sequences) {
            names.push_back(quoted(name));
        }
        needs.push_back({"the role \"" + facts.role + "\" may not read the sequences " +
                             join_some(names) +
                             ": mirrors learn of them only from rows, and cannot be set exactly "
                             "at a switchover",
                         ddl_remedy});
    }
    return needs;
}

std::string keyless_note(const SourceFacts& facts) {
    const auto travels_whole = [](const SourceTable& table) {
        return table.replica_identity == 'f' || !table.identity_usable;
    };
    const std::string none = name_tables(facts.tables, [&](const SourceTable& table) {
        return travels_whole(table) && !table.candidate;
    });
    const std::string unused = name_tables(facts.tables, [&](const SourceTable& table) {
        return table.replica_identity == 'f' && table.candidate;
    });
    std::string note;
    if (!none.empty()) {
        note = "no key tells the rows apart of " + none +
               ": each row that is changed or deleted travels whole (REPLICA IDENTITY FULL), and a "
               "mirror looks through the table for every few thousand of them; a primary key, or a "
               "unique index over columns that are NOT NULL, spares both";
    }
    if (!unused.empty()) {
        note += (note.empty() ? "" : "; ") +
                std::string("rows travel whole although a unique index tells them apart of ") +
                unused + " (ALTER TABLE ... REPLICA IDENTITY USING INDEX ..., or DEFAULT)";
    }
    return note;
}

void refuse_unmet(const std::vector<UnmetNeed>& needs) {
    if (needs.empty()) {
        return;
    }
    std::string what = "the primary's database cannot be captured: ";
    std::string remedy;
    for (const UnmetNeed& need : needs) {
        what += (remedy.empty() ? "" : "; ") + need.what;
        remedy += (remedy.empty() ? "" : "; ") + need.remedy;
    }
    throw Error(Reaction::Stop, what, remedy);
}

std::vector<IdentityChange> missing_identities(const std::vector<SourceTable>& tables) {
    std::vector<IdentityChange> changes;
    for (const SourceTable& table : tables) {
        if (!table.identity_usable) {
            changes.push_back({table.name, table.candidate});
        }
    }
    return changes;
}

std::optional<UnmetNeed> slot_problem(const SourceFacts::Slot& slot,
                                      const Config::Database& config) {
    constexpr const char* find_who =
        "antipode sites list, to see who is away: start that site, or take it out of [[sites]]; "
        "slot_max_bytes in [[database]] lets go of it by itself";
    const std::string kept =
        "the slot " + config.slot + " keeps " + in_gib(slot.retained_bytes) + " of log";
    if (slot.wal_status == "lost") {
        return UnmetNeed{
            "the slot " + config.slot +
                " is lost: the server removed log that it needs (max_slot_wal_keep_size)",
            "start antipoded: it makes a new one, and secondaries compare their rows with this "
            "site's and transfer what differs"};
    }
    if (slot.wal_status == "unreserved") {
        return UnmetNeed{kept +
                             ", more than max_slot_wal_keep_size: the next checkpoint of the "
                             "server may end it",
                         "raise max_slot_wal_keep_size now (reload); " + std::string(find_who)};
    }
    if (slot.retained_bytes >= config.slot_warn_bytes) {
        return UnmetNeed{kept + " (slot_warn_bytes is " + in_gib(config.slot_warn_bytes) + ")",
                         find_who};
    }
    return std::nullopt;
}

std::optional<UnmetNeed> synchronous_problem(const SourceFacts& facts,
                                             const Config::Database& config) {
    const std::string name = config.standby_name();
    const bool waits = facts.synchronous_standby_names.find(name) != std::string::npos;
    if (config.synchronous && !waits) {
        return UnmetNeed{
            "synchronous = true, but commits do not wait: synchronous_standby_names "
            "does not name " +
                name,
            "ALTER SYSTEM SET synchronous_standby_names = '\"" + name +
                "\"'; SELECT pg_reload_conf()"};
    }
    if (!config.synchronous && waits) {
        return UnmetNeed{"commits wait for " + name +
                             ", which is in synchronous_standby_names, but synchronous is false",
                         "synchronous = true in [[database]], or take it out of "
                         "synchronous_standby_names and reload"};
    }
    return std::nullopt;
}

std::optional<UnmetNeed> uncapped_slot(const SourceFacts& facts, const Config::Database& config) {
    if (facts.log_is_capped || config.slot_max_bytes > 0) {
        return std::nullopt;
    }
    return UnmetNeed{
        "nothing caps the write-ahead log that the slot keeps while a site is away: it can fill "
        "the primary's disk",
        "slot_max_bytes in [[database]]: sites that need more are let go of, and come back by "
        "comparing; PostgreSQL's max_slot_wal_keep_size, larger, is the last resort"};
}

bool is_slot_lost(const SourceFacts& facts) {
    return facts.slot && facts.slot->plugin == "pgoutput" &&
           facts.slot->database == facts.database && facts.slot->wal_status == "lost";
}

}  // namespace antipode::primary
