#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace antipode::chaos {

/// Microseconds since 1970: of this machine's one clock.
int64_t now_us();

/// One thing that the application tried to do.
struct Operation {
    enum class Kind {
        Put,          ///< a file, then a commit that names it, then a row that names both
        Remove,       ///< the row of an earlier Put, then its file
        Transfer,     ///< between two accounts, in one transaction
        Move,         ///< a forced push that moves a branch anywhere
        Overwrite,    ///< the one file of a writer gets another content
        Structure,    ///< a column, a table or an index more
        LargeObject,  ///< one of a writer's is made, written anew in its place, or unlinked
    };
    enum class Outcome {
        Pending,
        Ok,       ///< acknowledged, wholly
        Failed,   ///< refused before its last step was sent: no row can be there
        Unknown,  ///< nobody can tell: the server died while it was asked
    };
    Kind kind = Kind::Put;
    int writer = 0;
    int number = 0;          ///< of the Put; counts up for each writer. Of a Remove: which Put;
                             ///< of a LargeObject: its OID
    std::string site;        ///< where
    int64_t invoked_us = 0;  ///< before its first step, by the site's clock
    int64_t done_us = 0;     ///< after its last
    int64_t began_us = 0;    ///< both by the machine's clock, which is every site's
    int64_t ended_us = 0;
    Outcome outcome = Outcome::Pending;
    std::string repository;  ///< its name below the root
    std::string path;        ///< of the file, below the root
    std::string sha256;      ///< of the file's content, or of the large object's; empty: unlinked
    size_t bytes = 0;        ///< of it
    std::string commit;
    std::string structure;  ///< its name; of a Put: the table that got a row in its transaction
    std::string note;       ///< "COLUMN=VALUE", of a Put: in a column that was added
    int64_t ticket = 0;     ///< the number that a sequence gave it; 0: none
    std::string xid;        ///< "xid 741": of a Put, the transaction on its site
    std::string error;      ///< why it failed
};

/// What an unplanned promotion lost.
struct Loss {
    std::string old_primary;
    int64_t lost_us = 0;           ///< what other sites acknowledged later is of the new epoch
    int64_t promoted_us = 0;       ///< what was acknowledged there later is the fence's failure
    int64_t unknown_since_us = 0;  ///< as the loss report says: all before that is here
    /// Items and rows that the report names as lost though they are older.
    std::set<std::string> named;
    /// Once the old primary has come back, what its quarantine holds, and nothing else: rows
    /// ("write 0/12"), files, refs ("w0.git refs/heads/side").
    std::optional<std::set<std::string>> exactly;
    int64_t returned_us = 0;  ///< it follows, and may be made the primary again; 0: not yet
};

/// All that was tried, and what became of it. Any thread.
class History {
  public:
    /// What a site's clock says; before anything happens.
    using Clock = std::function<int64_t(const std::string& site)>;
    explicit History(Clock clock = [](const std::string&) { return now_us(); })
        : clock_(std::move(clock)) {}

    /// Its place, for end().
    size_t begin(Operation operation);
    void end(size_t place, const Operation& operation);
    /// As it is now.
    std::vector<Operation> operations() const;
    /// Its place, for learn().
    size_t lose(Loss loss);
    /// More is known of it.
    void learn(size_t place, Loss loss);
    std::vector<Loss> losses() const;

  private:
    const Clock clock_;
    mutable std::mutex mutex_;
    std::vector<Operation> operations_;
    std::vector<Loss> losses_;
};

/// One operation a line, as JSON.
std::string to_json_lines(const std::vector<Operation>& operations);

}  // namespace antipode::chaos
