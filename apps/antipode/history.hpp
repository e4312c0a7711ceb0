#pragma once

#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/output.hpp"
#include "failover/journal.hpp"

/// `antipode history`, `antipode op`: changes of the primary, as the sites' journals say.
namespace antipode::cli {

struct OperationStep {
    std::string site;
    failover::JournalEntry entry;
};

enum class OperationOutcome {
    Runs,
    Done,     ///< a site serves because of it
    GivenUp,  ///< before the point of no return
    Unknown,  ///< another one began later, and no site remembers how this one ended
};

struct Operation {
    std::string id;
    std::vector<OperationStep> steps;  ///< in the order of their times
    OperationOutcome outcome = OperationOutcome::Runs;
    std::string primary;  ///< Done: that serves
    uint64_t epoch = 0;   ///< Done: that it began
    std::string reason;   ///< GivenUp
    std::string seen{};   ///< Done: which other sites have what came since; empty: not known yet
    TimePoint ended{};    ///< of the step that decided; of one that runs: of its newest
};

/// What each site's journal holds (its newest steps), put together by operation, oldest first. A
/// site that was fenced by an operation of which it had not heard counts for that one.
std::vector<Operation> operations_of(
    const std::map<std::string, std::vector<failover::JournalEntry>>& journals);

struct History {
    std::vector<Operation> operations;                        ///< oldest first
    std::map<std::string, failover::JournalEntry> standings;  ///< each site's newest step
    std::vector<std::string> silent;                          ///< sites that do not answer

    /// The newest of that name, or of any; nullptr: no site remembers it.
    const Operation* find(const std::string& operation) const;
};
/// What the sites' daemons remember. Throws CommandError{Unreachable} when none answers.
History history_of(const Config& config, const Fetch& fetch);
/// In words: what came of it, or where each site is.
std::string outcome_of(const Operation& operation);
/// "antipode.operation/1".
nlohmann::ordered_json to_json(const Operation& operation, const History& history);

/// All that the sites' daemons remember. Throws CommandError{Unreachable} when none answers; one
/// that does not is named.
ExitCode show_history(const Config& config, const Fetch& fetch, const Output& output);
/// The same without drills: "antipode.operations/1".
ExitCode list_operations(const Config& config, const Fetch& fetch, const Output& output);
/// Each step of one. `operation` empty: the newest. Throws CommandError: Unreachable, Usage.
ExitCode show_operation(const Config& config, const Fetch& fetch, const Output& output,
                        const std::string& operation);

}  // namespace antipode::cli
