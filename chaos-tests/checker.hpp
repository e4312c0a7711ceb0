#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "chaos-tests/history.hpp"

namespace antipode::chaos {

/// What stands on a site, seen by psql, git and sha256sum alone.
struct View {
    struct Row {
        std::string repository;
        std::string path;
        std::string sha256;
        std::string commit;
        /// "COLUMN=VALUE,...", by name: of the columns that writers added, without NULL.
        std::string notes = {};
    };
    /// Writer and number.
    using Key = std::pair<int, int>;
    std::map<Key, Row> rows;
    std::map<std::string, std::string> files;              ///< path -> SHA-256
    std::map<std::string, std::set<std::string>> commits;  ///< repository -> those of its main
    std::map<std::string, std::string> refs;               ///< "repository ref" -> object
    std::vector<std::string> broken;                       ///< what git fsck said
    std::map<int, int64_t> accounts;                       ///< id -> balance
    int64_t sum = 0;                                       ///< of all accounts
    /// Of each writer, all by one transaction, its version; that and how the content begins.
    static constexpr int bulk_rows = 400;
    std::map<Key, std::string> bulk;
    std::set<std::string> structure;  ///< what writers added, by name
    std::set<std::string> more;       ///< rows of tables that they added: "TABLE WRITER/NUMBER"
    std::string dump;                 ///< the database, ordered, without its large objects
    struct LargeObject {
        std::string sha256;
        std::string owner;
    };
    std::map<int, LargeObject> large_objects;  ///< by OID
};

/// The invariants; docs of each in chaos-tests/README.md.
enum class Invariant {
    NothingLost,
    WholePrefix,
    NothingResurrected,
    NothingInvented,
    References,
    Transactions,
    RecoveryPoint,
    Equal,
    OneWriter,
    Recovers,
    Named,
    NoFalseAlarm,
    Kept,
    Stated,
    NumbersOnce,
    Clean,
    Refused,
    RefusesAlone,
};
const char* name_of(Invariant invariant);

struct Violation {
    Invariant invariant;
    std::string text;
};
using Violations = std::vector<Violation>;

std::string text_of(const View::Key& key);
/// "WRITER/NUMBER".
std::string digits_of(const View::Key& key);

/// Measures what is seen against all that was ever tried. Pure; knows nothing of how the daemons
/// work.
class Checker {
  public:
    /// `total`: of all accounts.
    Checker(std::vector<Operation> history, int64_t total, std::vector<Loss> losses = {});

    /// Of the primary at the end, when nobody writes: everything acknowledged is here, nothing
    /// else.
    Violations check_kept(const View& view) const;
    /// Of any site at any time: no visible row names what is not there.
    static Violations check_references(const View& view);
    Violations check_transactions(const View& view) const;
    /// `view`: read after the site said `point_us`; its rows, and what is written again and again.
    Violations check_recovery_point(const View& view, int64_t point_us) const;
    /// Two sites when nobody writes.
    static Violations check_equal(const View& one, const View& other);
    /// The same, and behind a check of the database, which alone brings large objects.
    static Violations check_large_objects(const View& one, const View& other);
    /// What was acknowledged by a site after another one was promoted, or while that one did.
    Violations check_one_writer() const;
    /// Of a sequence, whichever site was the primary.
    Violations check_numbers() const;

  private:
    Violations check_turn(const Loss& loss) const;
    static bool is_at_risk(const Operation& operation, const Loss& loss);
    static bool may_be_lost(const Operation& operation, const Loss& loss);
    bool may_be_lost(const Operation& operation) const;
    Violations check_put(const Operation& put, const View& view) const;
    Violations check_removed(const Operation& removal, const View& view) const;
    Violations check_known(const View& view) const;
    Violations check_structure(const View& view, Invariant invariant, int64_t point_us) const;
    Violations check_prefixes(const View& view) const;
    Violations check_prefixes(const View& view, const Loss& loss) const;
    Violations check_latest(const View& view, Invariant invariant, int64_t point_us) const;
    Violations check_large_objects(const View& view) const;
    int64_t last_change_of_primary_us() const;

    std::vector<Operation> history_;
    int64_t total_;
    std::vector<Loss> losses_;
    /// Puts whose removal was begun, and not refused.
    std::set<View::Key> being_removed_;
};

}  // namespace antipode::chaos
