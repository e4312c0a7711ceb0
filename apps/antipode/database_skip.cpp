#include "apps/antipode/database_skip.hpp"

#include <nlohmann/json.hpp>

#include "adapters/postgres/skip_log.hpp"
#include "apps/antipode/database.hpp"
#include "apps/antipode/format.hpp"

namespace antipode::cli {
namespace {

std::string id_of(const Config::Database& store) {
    return StoreId{StoreKind::Database, store.name}.to_string();
}

postgres::Stopped require_stopped(postgres::Connection& connection, const std::string& store,
                                  Lsn lsn) {
    const auto stopped = postgres::stopped_at(connection, store);
    if (!stopped) {
        throw CommandError(ExitCode::Unknown, store + " stands at no transaction that failed",
                           "antipode status");
    }
    if (stopped->lsn != lsn) {
        throw CommandError(ExitCode::Unknown,
                           store + " stands at " + stopped->lsn.to_string() + ", not at " +
                               lsn.to_string() + ": " + stopped->problem,
                           "antipode database skip --lsn " + stopped->lsn.to_string());
    }
    return *stopped;
}

}  // namespace

ExitCode skip_transaction(const Config& config, const Output& output, const SkipOptions& options) {
    const Config::Database& store = find_database(config, options.store, "antipode database skip");
    const auto lsn = Lsn::parse(options.lsn);
    if (!lsn) {
        throw CommandError(ExitCode::Usage, "\"" + options.lsn + "\" is no LSN",
                           "antipode status names it: 0/15F2A98");
    }
    SkipRequest request{*lsn, std::nullopt, options.repair, operator_name(), {}};
    if (options.table) {
        request.table = table_of(*options.table, "antipode database skip --table public.items");
    }
    postgres::Connection connection(store.url, "antipode database skip");
    const postgres::Stopped stopped = require_stopped(connection, id_of(store), *lsn);
    const std::string what =
        (options.table ? "the changes of " + *options.table + " in " : std::string()) +
        "the transaction at " + lsn->to_string();
    if (!options.yes) {
        throw CommandError(ExitCode::Usage,
                           "this leaves out " + what + " for ever: " + stopped.problem,
                           "the same command with --yes");
    }
    postgres::request_skip(connection, id_of(store), request);
    if (output.json()) {
        output.out << nlohmann::ordered_json{{"schema", "antipode.database-skip/1"},
                                             {"store", id_of(store)},
                                             {"lsn", lsn->to_string()},
                                             {"table", options.table.value_or("")},
                                             {"repair", options.repair},
                                             {"asked_by", request.asked_by}}
                          .dump()
                   << "\n";
    } else {
        output.out << id_of(store) << ": apply leaves out " << what << " at its next try"
                   << (options.repair ? ", and copies its tables again" : "")
                   << "; antipode database skipped\n";
    }
    return ExitCode::Ok;
}

ExitCode list_skipped(const Config& config, const Output& output,
                      const std::optional<std::string>& name) {
    const Config::Database& store = find_database(config, name, "antipode database skipped");
    postgres::Connection connection(store.url, "antipode database skipped");
    const auto list = postgres::list_skipped(connection, id_of(store));
    if (output.json()) {
        nlohmann::ordered_json document = {{"schema", "antipode.database-skipped/1"},
                                           {"store", id_of(store)},
                                           {"skipped", nlohmann::ordered_json::array()}};
        for (const postgres::Skipped& one : list) {
            document["skipped"].push_back({{"lsn", one.lsn.to_string()},
                                           {"xid", one.xid},
                                           {"table", one.table},
                                           {"tables", one.tables},
                                           {"changes", one.changes},
                                           {"keys", one.keys},
                                           {"problem", one.problem},
                                           {"asked_by", one.asked_by},
                                           {"asked_at", one.asked_at},
                                           {"skipped_at", one.skipped_at},
                                           {"repair", one.repair}});
        }
        output.out << document.dump(-1, ' ', false,
                                    nlohmann::ordered_json::error_handler_t::replace)
                   << "\n";
        return ExitCode::Ok;
    }
    Table table({{"LSN"}, {"SKIPPED"}, {"BY"}, {"CHANGES", Table::Align::Right}, {"REPAIR"}});
    std::string details;
    for (const postgres::Skipped& one : list) {
        table.add({one.lsn.to_string(), one.skipped_at, one.asked_by, std::to_string(one.changes),
                   one.repair});
        details += one.lsn.to_string() + ": " + harmless(one.problem) + "\n" + one.keys;
    }
    output.out << (list.empty() ? "nothing was skipped\n"
                                : table.render(output.coloured) + details);
    return ExitCode::Ok;
}

}  // namespace antipode::cli
