#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "chaos-tests/checker.hpp"

namespace antipode::chaos {

/// What an old primary has kept of what the new one never got, as its files tell.
struct Quarantine {
    /// A line of losses.jsonl.
    struct Loss {
        std::string kind;
        std::string store;
        std::string item;
        struct Ref {
            std::string name;
            std::string before;
            std::string after;  ///< empty: removed
        };
        std::vector<Ref> refs;
    };
    /// A line of database/app.jsonl.
    struct Change {
        int64_t transaction = 0;
        std::string operation;
        std::string table;  ///< with its schema
        std::string key;    ///< "writer/number", or the account
        std::string value;  ///< of the whole row; empty: removed
    };
    /// As the loss report counts.
    struct Counts {
        size_t all = 0;
        size_t transactions = 0;
        size_t changes = 0;
        size_t repositories = 0;
        size_t refs = 0;
        size_t files = 0;
        size_t undone = 0;
        bool operator==(const Counts&) const = default;
    };
    std::vector<Loss> losses;
    std::vector<Change> changes;               ///< in commit order
    std::map<std::string, std::string> files;  ///< path -> SHA-256 of what is kept
    /// Repository -> what a clone of the cut has once the bundle was fetched into it.
    std::map<std::string, std::set<std::string>> objects;
    Counts stated;  ///< by the final loss report
};

/// The new primary's content and the quarantine, one upon the other, are exactly what the old
/// primary has: nothing is kept twice, nothing is missing, nothing is kept that was not lost, and
/// the report counts just that. `cut`: the new primary before anybody wrote there; `there`: the old
/// one as it came back.
Violations check_quarantine(const View& cut, const View& there, const Quarantine& kept);

/// For Loss::exactly.
std::set<std::string> names_in(const Quarantine& kept);

/// `directory`: the quarantine; `clones`: of the new primary's repositories as they were at the
/// cut, which get what the bundles hold; `report`: the final loss report. Throws when it is not
/// what docs/runbooks/old-primary.md says.
Quarantine read_quarantine(const std::filesystem::path& directory,
                           const std::filesystem::path& clones, const std::string& report);

/// A row as Change::value says it.
std::string value_of(const View::Row& row);

}  // namespace antipode::chaos
