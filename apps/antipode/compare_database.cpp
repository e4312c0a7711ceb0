#include "apps/antipode/compare_database.hpp"

#include <sstream>

#include <nlohmann/json.hpp>

#include "adapters/postgres/check_log.hpp"
#include "apps/antipode/database.hpp"
#include "apps/antipode/format.hpp"
#include "apps/antipode/progress.hpp"
#include "base/error.hpp"
#include "base/words.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;
using SteadyClock = std::chrono::steady_clock;

constexpr const char* command = "antipode database check";
/// How often a daemon that shows no progress is asked whether it is there.
constexpr std::chrono::seconds ask_daemon_every(5);

/// What of a run is known, for people and for JSON.
struct Verdict {
    const postgres::CheckRun& run;
    Json findings;
    size_t differing = 0;
    size_t undecided = 0;
    size_t mended = 0;
    bool by_hand = false;    ///< something of the structure could not be mended
    bool only_here = false;  ///< something that holds data is here alone
    bool not_tried = false;  ///< a mend did not get to it

    explicit Verdict(const postgres::CheckRun& of)
        : run(of), findings(Json::parse(of.findings, nullptr, false)) {
        for (const Json& part : findings) {
            differing += part["verdict"] == "differs" ? 1 : 0;
            undecided += part["verdict"] == "undecided" ? 1 : 0;
            mended += part["detail"].value("mended", false) ? 1 : 0;
            not_tried = not_tried || (part["part"] == "structure" && part["verdict"] == "differs" &&
                                      part["detail"].contains("problem"));
            for (const Json& one : part["detail"].value("differences", Json::array())) {
                by_hand = by_hand || one.contains("not_mended_because");
                only_here = only_here || one.value("holds_data", false);
            }
        }
    }
    std::string word() const {
        return differing > 0 ? "differs" : undecided > 0 ? "undecided" : "equal";
    }
    ExitCode code() const {
        return differing > 0   ? ExitCode::Findings
               : undecided > 0 ? ExitCode::Unknown
                               : ExitCode::Ok;
    }
};

std::string name_of(const Json& part) {
    return part["part"] == "table"
               ? part.value("schema", std::string()) + "." + part.value("table", std::string())
               : part.value("part", std::string());
}

std::string describe_range(const Json& range) {
    std::string text = "  " + range.value("range", std::string()) + ": ";
    const auto rows = range.value("rows_differing", uint64_t{0});
    if (rows == 0) {
        return text + "not looked at row by row\n";
    }
    text += counted(rows, "row", "rows") + ":";
    for (const Json& row : range["rows"]) {
        text +=
            " " + row.value("kind", std::string()) + " " + row.value("key", std::string()) + ",";
    }
    text.back() = '\n';
    return text;
}

/// What stands on one side only, line by line.
std::string lines_not_in(const std::string& text, const std::string& other,
                         const std::string& sign) {
    const std::string lines = "\n" + other + "\n";
    std::string result;
    for (size_t at = 0; at <= text.size();) {
        const size_t end = std::min(text.find("\n", at), text.size());
        const std::string line = text.substr(at, end - at);
        if (!line.empty() && lines.find("\n" + line + "\n") == std::string::npos) {
            result += "    " + sign + line + "\n";
        }
        at = end + 1;
    }
    return result;
}

std::string why_not_mended(const Json& difference) {
    const std::string reason = difference.value("not_mended_because", std::string());
    const std::string by_hand = difference.value("by_hand", std::string());
    return reason.empty() ? ""
                          : "    not mended: " + reason + "\n" +
                                (by_hand.empty() ? "" : "    by hand: " + by_hand + "\n");
}

std::string describe_object(const Json& difference) {
    const std::string there = difference.value("there", std::string());
    const std::string here = difference.value("here", std::string());
    return "  " + difference.value("kind", std::string()) + " " +
           difference.value("object", std::string()) + "\n" +
           lines_not_in(there, here, "primary: ") + lines_not_in(here, there, "here:    ") +
           why_not_mended(difference);
}

std::string describe(const Json& part) {
    const Json& detail = part["detail"];
    const bool mended = detail.value("mended", false);
    std::string text =
        name_of(part) + ": " +
        (part["verdict"] == "equal" && mended ? "differed, is mended and equal now"
                                              : part.value("verdict", std::string()));
    for (const char* key : {"problem", "not_mended_because"}) {
        if (detail.contains(key)) {
            text += (key == std::string_view("problem") ? ": " : "; not mended: ") +
                    detail.value(key, std::string());
        }
    }
    text += "\n";
    for (const Json& range : detail.value("ranges", Json::array())) {
        text += describe_range(range);
    }
    for (const Json& object : detail.value("mended_objects", Json::array())) {
        text += "  mended " + object.get<std::string>() + "\n";
    }
    for (const Json& difference : detail.value("differences", Json::array())) {
        text += describe_object(difference);
    }
    return text;
}

std::string next_step(const Verdict& verdict, const CompareOptions& options) {
    const std::string mend =
        std::string(command) + " --mend" + (options.store ? " --store " + *options.store : "");
    if (verdict.differing > 0 && !options.mend) {
        return mend;
    }
    if (verdict.only_here) {
        return mend + " --drop-extra, which drops what this says is only here, with what it holds";
    }
    if (verdict.not_tried) {
        return mend;
    }
    if (verdict.differing > 0 && verdict.by_hand) {
        return "make it here as it is there, as a superuser (PGOPTIONS='-c "
               "default_transaction_read_only=off -c session_replication_role=replica' psql), "
               "then " +
               std::string(command);
    }
    return verdict.differing > 0   ? "antipode status, and the daemon's log"
           : verdict.undecided > 0 ? "the same again when less is written"
                                   : "";
}

ExitCode print(const Output& output, const std::string& store, const postgres::CheckRun& run,
               const CompareOptions& options) {
    const Verdict verdict(run);
    const std::string step = next_step(verdict, options);
    if (output.json()) {
        output.out << Json{{"schema", "antipode.database-check/1"},
                           {"store", store},
                           {"id", run.id},
                           {"state", "done"},
                           {"verdict", verdict.word()},
                           {"tables", run.tables_done},
                           {"ranges", run.chunks},
                           {"rows", run.rows},
                           {"differing", verdict.differing},
                           {"undecided", verdict.undecided},
                           {"mended", verdict.mended},
                           {"findings", verdict.findings},
                           {"next_step", step}}
                          .dump(-1, ' ', false, Json::error_handler_t::replace)
                   << "\n";
        return verdict.code();
    }
    std::string text;
    for (const Json& part : verdict.findings) {
        text += describe(part);
    }
    // Lines of it may come from rows.
    for (size_t at = 0; at < text.size();) {
        const size_t end = text.find('\n', at);
        output.out << harmless(text.substr(at, end - at)) << "\n";
        at = end + 1;
    }
    output.out << store << ": " << verdict.word() << "; compared "
               << counted(run.tables_done, "table", "tables") << ", "
               << counted(run.chunks, "range", "ranges") << ", " << counted(run.rows, "row", "rows")
               << "; " << verdict.differing << " differ, " << verdict.mended << " mended, "
               << verdict.undecided << " undecided\n";
    if (!step.empty()) {
        output.out << "Try: " << step << "\n";
    }
    return verdict.code();
}

ExitCode print_noted(const Output& output, const std::string& store, int64_t id) {
    if (output.json()) {
        output.out << Json{{"schema", "antipode.database-check/1"},
                           {"store", store},
                           {"id", id},
                           {"state", "waiting"}}
                          .dump()
                   << "\n";
    } else {
        output.out << store << ": the daemon compares it with the primary's; antipode status\n";
    }
    return ExitCode::Ok;
}

std::string progress(const postgres::CheckRun& run) {
    if (!run.problem.empty()) {
        return "it is tried again: " + run.problem;
    }
    if (run.state == postgres::CheckRun::State::Waiting) {
        return "it has not begun yet";
    }
    return std::to_string(run.tables_done) + " of " + counted(run.tables, "table", "tables") +
           ", " + counted(run.rows, "row", "rows");
}

/// The epoch of the primary; 0: the daemon does not answer. Throws CommandError when the site is no
/// secondary. `id`: what is asked for already, if so.
uint64_t require_daemon(const Config& config, const Fetch& fetch, std::optional<int64_t> id) {
    StatusReport report;
    try {
        report = get_status(fetch, local_daemon(config));
    } catch (const CommandError& error) {
        if (!id) {
            return 0;  // said once it is asked for
        }
        throw CommandError(
            ExitCode::Unreachable,
            std::string("the check is asked for and is done when antipoded runs: ") + error.what(),
            "systemctl start antipoded");
    }
    if (report.role == "primary") {
        throw CommandError(ExitCode::Usage,
                           "this site is the primary: its secondaries compare themselves with it",
                           std::string(command) + ", on a secondary's machine");
    }
    if (report.role != "secondary") {
        throw CommandError(ExitCode::Blocked,
                           "this site is \"" + harmless(report.role) + "\", and no secondary now",
                           "antipode status");
    }
    return report.epoch.value_or(0);
}

ExitCode take_back(const Output& output, const std::string& store,
                   postgres::Connection& connection) {
    const auto ids = postgres::take_back_checks(connection, store, operator_name());
    if (output.json()) {
        output.out << Json{{"schema", "antipode.database-check/1"},
                           {"store", store},
                           {"state", "taken back"},
                           {"ids", ids}}
                          .dump()
                   << "\n";
    } else {
        output.out << store << ": "
                   << (ids.empty() ? "there is nothing to take back"
                                   : counted(ids.size(), "request", "requests") + " taken back")
                   << "\n";
    }
    return ExitCode::Ok;
}

ExitCode watch(const Config& config, const Fetch& fetch, const Output& output,
               const CompareOptions& options, postgres::Connection& connection,
               const std::string& store, int64_t id) {
    const auto began = SteadyClock::now();
    auto asked_daemon = began;
    std::string last;
    Progress line(output);
    while (true) {
        const auto run = postgres::look_at_check(connection, id);
        if (!run) {
            throw CommandError(ExitCode::Failed, "the record of this check is gone",
                               "antipode status");
        }
        if (run->state == postgres::CheckRun::State::Done) {
            line.end();
            return print(output, store, *run, options);
        }
        if (run->state == postgres::CheckRun::State::GivenUp) {
            throw CommandError(ExitCode::Failed,
                               "the check was given up: " + harmless(run->problem), command);
        }
        const auto now = SteadyClock::now();
        const std::string text = progress(*run);
        if (text != last) {
            asked_daemon = now;
            last = text;
            line.tell(store + ": " + text, Progress::Share{run->tables_done, run->tables});
        } else if (now - asked_daemon > ask_daemon_every) {
            require_daemon(config, fetch, id);
            asked_daemon = now;
        }
        if (options.timeout_seconds &&
            std::chrono::duration<double>(now - began).count() > *options.timeout_seconds) {
            throw CommandError(ExitCode::TimedOut, "the check is not done yet and goes on: " + text,
                               "antipode status");
        }
        options.pause();
    }
}

/// Only what was listed before is dropped.
void confirm_loss(const Config& config, const Output& output, const CompareOptions& options,
                  const std::string& store, const Json& listed) {
    const auto differences = listed.value("differences", Json::array());
    if (differences.empty()) {
        throw CommandError(ExitCode::Usage,
                           "no check has listed anything of the structure of " + store +
                               " yet that could be only here; nothing was asked for",
                           std::string(command) + " --mend");
    }
    if (options.confirmed == config.site) {
        return;
    }
    output.error << "What of this is only on " << config.site
                 << " (tables, columns, sequences, types, schemas, extensions) is dropped, with "
                    "what it holds:\n";
    for (const Json& difference : differences) {
        std::istringstream lines(describe_object(difference));
        for (std::string line; std::getline(lines, line);) {
            output.error << harmless(line) << "\n";
        }
    }
    output.error << "Type the site's name, " << config.site << ", to go on: ";
    output.error.flush();
    if (!options.read_line || options.read_line() != config.site) {
        throw CommandError(ExitCode::Usage, "not confirmed; nothing was asked for",
                           "the same command with --confirm " + config.site);
    }
}

}  // namespace

ExitCode compare_database(const Config& config, const Fetch& fetch, const Output& output,
                          const CompareOptions& options) {
    const Config::Database& store = find_database(config, options.store, command);
    const std::string id_text = StoreId{StoreKind::Database, store.name}.to_string();
    postgres::CheckRequest request{{}, options.mend, {}, operator_name()};
    for (const std::string& table : options.tables) {
        request.tables.push_back(table_of(table, std::string(command) + " --table public.items"));
    }
    request.epoch = require_daemon(config, fetch, std::nullopt);
    postgres::Connection connection(store.url, command);
    if (!postgres::are_check_tables_there(connection)) {
        throw CommandError(ExitCode::Blocked,
                           "no daemon of a secondary has run with this database yet",
                           "systemctl start antipoded");
    }
    if (options.take_back) {
        return take_back(output, id_text, connection);
    }
    if (options.drop_extra) {
        request.listed = postgres::last_detail(connection, id_text, "structure");
        confirm_loss(config, output, options, id_text, Json::parse(request.listed));
    }
    const int64_t id = postgres::request_check(connection, id_text, request);
    if (!options.wait) {
        require_daemon(config, fetch, id);
        return print_noted(output, id_text, id);
    }
    return watch(config, fetch, output, options, connection, id_text, id);
}

}  // namespace antipode::cli
