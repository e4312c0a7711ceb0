#include "apps/antipode/history.hpp"

#include <algorithm>
#include <sstream>

#include <nlohmann/json.hpp>

#include "apps/antipode/drill.hpp"
#include "apps/antipode/format.hpp"
#include "apps/antipode/status.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;
using failover::JournalEntry;
using failover::State;
using Journals = std::map<std::string, std::vector<JournalEntry>>;

/// Which operation began an epoch.
std::map<uint64_t, std::string> founders_of(const Journals& journals) {
    std::map<uint64_t, std::string> founders;
    for (const auto& [site, entries] : journals) {
        for (const JournalEntry& entry : entries) {
            if (entry.state == State::Preparing || entry.state == State::Opening) {
                founders[entry.epoch] = entry.operation;
            }
        }
    }
    return founders;
}

std::string operation_of(const JournalEntry& entry,
                         const std::map<uint64_t, std::string>& founders) {
    if (entry.state != State::Fenced) {
        return entry.operation;
    }
    const auto founder = founders.find(entry.epoch);
    return founder == founders.end() ? std::string() : founder->second;
}

/// The new primary's word, behind the change.
std::string seen_of(const Operation& operation) {
    const auto said =
        std::find_if(operation.steps.begin(), operation.steps.end(), [&](const auto& step) {
            return step.site == operation.primary && step.entry.event == failover::seen_event &&
                   step.entry.epoch == operation.epoch;
        });
    return said == operation.steps.end() ? std::string() : said->entry.detail;
}

void judge(Operation& operation, const std::map<uint64_t, std::string>& founders) {
    std::map<std::string, State> before;
    for (const auto& [site, entry] : operation.steps) {
        const auto last = before.find(site);
        const bool given_up = entry.state == State::RollingBack ||
                              (entry.state == State::Following && last != before.end() &&
                               last->second == State::Cutting);
        const auto founder = founders.find(entry.epoch);
        if (entry.state == State::Serving && founder != founders.end() &&
            founder->second == operation.id) {
            operation.outcome = OperationOutcome::Done;
            operation.primary = site;
            operation.epoch = entry.epoch;
            operation.ended = entry.at;
            operation.seen = seen_of(operation);
            return;
        }
        if (given_up) {
            operation.outcome = OperationOutcome::GivenUp;
            operation.reason = entry.detail;
        }
        operation.ended = entry.at;
        before[site] = entry.state;
    }
}

std::string_view to_string(OperationOutcome outcome) {
    switch (outcome) {
        case OperationOutcome::Runs:
            return "runs";
        case OperationOutcome::Done:
            return "done";
        case OperationOutcome::GivenUp:
            return "given-up";
        case OperationOutcome::Unknown:
            return "unknown";
    }
    return "?";
}

/// Throws when it is no line of a journal.
JournalEntry entry_of(const Json& line) {
    const auto state = failover::parse_state(line.at("state").get<std::string>());
    if (!state) {
        throw CommandError(ExitCode::Failed, "a journal names a state that is not known here",
                           "compare the versions of Antipode on all sites (antipode version)");
    }
    return {line.at("number").get<uint64_t>(),
            from_microseconds(line.at("at_us").get<int64_t>()),
            line.at("epoch").get<uint64_t>(),
            line.at("operation").get<std::string>(),
            *state,
            line.at("event").get<std::string>(),
            line.at("detail").get<std::string>()};
}

std::vector<JournalEntry> journal_of(const Config& config, const Fetch& fetch,
                                     const Config::Site& site) {
    std::istringstream lines(get(fetch, daemon_of(config, site), "/v1/journal"));
    std::vector<JournalEntry> entries;
    try {
        for (std::string line; std::getline(lines, line);) {
            entries.push_back(entry_of(Json::parse(line)));
        }
    } catch (const Json::exception&) {
        throw CommandError(ExitCode::Failed, site.name + " answers with no journal",
                           "compare the versions of Antipode on all sites (antipode version)");
    }
    return entries;
}

Json json_of(const Operation& operation) {
    Json steps = Json::array();
    for (const auto& [site, entry] : operation.steps) {
        steps.push_back({{"at_us", to_microseconds(entry.at)},
                         {"site", site},
                         {"epoch", entry.epoch},
                         {"state", failover::to_string(entry.state)},
                         {"event", entry.event},
                         {"detail", entry.detail}});
    }
    const bool done = operation.outcome == OperationOutcome::Done;
    const bool ended = operation.outcome == OperationOutcome::Done ||
                       operation.outcome == OperationOutcome::GivenUp;
    return {{"operation", operation.id},
            {"outcome", to_string(operation.outcome)},
            {"primary", done ? Json(operation.primary) : Json()},
            {"epoch", done ? Json(operation.epoch) : Json()},
            {"seen", operation.seen.empty() ? Json() : Json(operation.seen)},
            {"reason", operation.reason.empty() ? Json() : Json(operation.reason)},
            {"began_at_us", to_microseconds(operation.steps.front().entry.at)},
            {"ended_at_us", ended ? Json(to_microseconds(operation.ended)) : Json()},
            {"steps", steps}};
}

Json json_of(const std::vector<Operation>& operations) {
    Json rows = Json::array();
    for (const Operation& operation : operations) {
        rows.push_back(json_of(operation));
    }
    return rows;
}

void print(const Output& output, const Json& json) {
    output.out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
}

std::vector<Table::Cell> row_of(const Operation& operation) {
    const TimePoint began = operation.steps.front().entry.at;
    const bool runs = operation.outcome == OperationOutcome::Runs;
    const bool is_known = operation.outcome != OperationOutcome::Unknown;
    return {harmless(operation.id), to_iso8601(began),
            runs       ? std::string(not_applicable)
            : is_known ? format_duration(operation.ended - began)
                       : std::string(unknown),
            harmless(outcome_of(operation))};
}

std::vector<Table::Cell> row_of(const Json& drill) {
    const int64_t began = drill.value("began_at_us", int64_t{0});
    const Json ended = drill.value("ended_at_us", Json());
    return {harmless(drill.value("drill", "")), to_iso8601(from_microseconds(began)),
            ended.is_number_integer()
                ? format_duration(std::chrono::microseconds(ended.get<int64_t>() - began))
                : std::string(not_applicable),
            harmless(drill.value("site", "") + " " + drill_in_words(drill))};
}

/// Of the sites that answer.
std::vector<Json> all_drills(const Config& config, const Fetch& fetch) {
    std::vector<Json> drills;
    for (const Config::Site& site : config.sites) {
        try {
            for (Json& drill : drills_of(config, fetch, site)) {
                drills.push_back(std::move(drill));
            }
        } catch (const CommandError&) {
            // It is named already.
        }
    }
    return drills;
}

void name_silent(const History& history, const Output& output) {
    for (const std::string& site : history.silent) {
        output.error << site << " does not answer: its steps are not known\n";
    }
}

/// For people, oldest first.
void print(const Output& output, const History& history, const std::vector<Json>& drills) {
    std::multimap<TimePoint, std::vector<Table::Cell>> rows;
    for (const Operation& operation : history.operations) {
        rows.emplace(operation.steps.front().entry.at, row_of(operation));
    }
    if (rows.empty()) {
        output.out << "the primary was never changed, as far as the sites remember\n";
    }
    for (const Json& drill : drills) {
        rows.emplace(from_microseconds(drill.value("began_at_us", int64_t{0})), row_of(drill));
    }
    Table table({{"OPERATION"}, {"BEGAN"}, {"TOOK", Table::Align::Right}, {"OUTCOME"}});
    for (const auto& [began, row] : rows) {
        table.add(row);
    }
    output.out << (rows.empty() ? "" : table.render(output.coloured));
    name_silent(history, output);
}

}  // namespace

std::vector<Operation> operations_of(const Journals& journals) {
    const auto founders = founders_of(journals);
    std::map<std::string, Operation> by_id;
    for (const auto& [site, entries] : journals) {
        for (const JournalEntry& entry : entries) {
            const std::string id = operation_of(entry, founders);
            if (!id.empty()) {
                by_id[id].id = id;
                by_id[id].steps.push_back({site, entry});
            }
        }
    }
    std::vector<Operation> operations;
    for (auto& [id, operation] : by_id) {
        std::stable_sort(operation.steps.begin(), operation.steps.end(),
                         [](const OperationStep& one, const OperationStep& other) {
                             return one.entry.at < other.entry.at;
                         });
        judge(operation, founders);
        operations.push_back(std::move(operation));
    }
    std::stable_sort(operations.begin(), operations.end(),
                     [](const Operation& one, const Operation& other) {
                         return one.steps.front().entry.at < other.steps.front().entry.at;
                     });
    for (size_t i = 0; i + 1 < operations.size(); ++i) {
        if (operations[i].outcome == OperationOutcome::Runs) {
            operations[i].outcome = OperationOutcome::Unknown;
            operations[i].reason = operations[i + 1].id + " came after it";
        }
    }
    return operations;
}

std::string outcome_of(const Operation& operation) {
    switch (operation.outcome) {
        case OperationOutcome::Done:
            return operation.primary + " is the primary of epoch " +
                   std::to_string(operation.epoch) +
                   (operation.seen.empty() ? "" : "; " + operation.seen);
        case OperationOutcome::GivenUp:
            return "given up" + (operation.reason.empty() ? "" : ": " + operation.reason);
        case OperationOutcome::Unknown:
            return "not known: " + operation.reason;
        case OperationOutcome::Runs:
            break;
    }
    std::map<std::string, State> now;
    for (const auto& [site, entry] : operation.steps) {
        now[site] = entry.state;
    }
    std::string text;
    for (const auto& [site, state] : now) {
        text +=
            (text.empty() ? "" : ", ") + site + " is " + std::string(failover::to_string(state));
    }
    return text;
}

History history_of(const Config& config, const Fetch& fetch) {
    Journals journals;
    History history;
    std::optional<CommandError> problem;
    for (const Config::Site& site : config.sites) {
        try {
            std::vector<JournalEntry>& journal = journals[site.name] =
                journal_of(config, fetch, site);
            if (!journal.empty()) {
                history.standings[site.name] = journal.back();
            }
        } catch (const CommandError& error) {
            if (error.code() != ExitCode::Unreachable) {
                throw;
            }
            journals.erase(site.name);
            problem = error;
            history.silent.push_back(site.name);
        }
    }
    if (journals.empty() && problem) {
        throw *problem;
    }
    history.operations = operations_of(journals);
    return history;
}

const Operation* History::find(const std::string& operation) const {
    const auto found = std::find_if(
        operations.rbegin(), operations.rend(),
        [&](const Operation& one) { return operation.empty() || one.id == operation; });
    return found == operations.rend() ? nullptr : &*found;
}

nlohmann::ordered_json to_json(const Operation& operation, const History& history) {
    Json row = {{"schema", "antipode.operation/1"}};
    row.update(json_of(operation));
    row["not_answering"] = history.silent;
    return row;
}

ExitCode show_history(const Config& config, const Fetch& fetch, const Output& output) {
    const History history = history_of(config, fetch);
    const std::vector<Json> drills = all_drills(config, fetch);
    if (output.json()) {
        print(output, {{"schema", "antipode.history/1"},
                       {"operations", json_of(history.operations)},
                       {"drills", drills},
                       {"not_answering", history.silent}});
        return ExitCode::Ok;
    }
    print(output, history, drills);
    return ExitCode::Ok;
}

ExitCode list_operations(const Config& config, const Fetch& fetch, const Output& output) {
    const History history = history_of(config, fetch);
    if (output.json()) {
        print(output, {{"schema", "antipode.operations/1"},
                       {"operations", json_of(history.operations)},
                       {"not_answering", history.silent}});
        return ExitCode::Ok;
    }
    print(output, history, {});
    return ExitCode::Ok;
}

ExitCode show_operation(const Config& config, const Fetch& fetch, const Output& output,
                        const std::string& operation) {
    const History history = history_of(config, fetch);
    const Operation* const found = history.find(operation);
    if (found == nullptr) {
        throw CommandError(ExitCode::Usage,
                           operation.empty() ? "the sites remember no operation"
                                             : "no site remembers " + harmless(operation),
                           "antipode history");
    }
    if (output.json()) {
        print(output, to_json(*found, history));
        return ExitCode::Ok;
    }
    Table table({{"TIME"}, {"SITE"}, {"EVENT"}, {"STATE"}, {"DETAIL"}});
    for (const auto& [site, entry] : found->steps) {
        table.add({to_iso8601(entry.at), harmless(site), harmless(entry.event),
                   failover::to_string(entry.state), harmless(entry.detail)});
    }
    output.out << harmless(found->id + ": " + outcome_of(*found)) << "\n"
               << table.render(output.coloured);
    name_silent(history, output);
    return ExitCode::Ok;
}

}  // namespace antipode::cli
