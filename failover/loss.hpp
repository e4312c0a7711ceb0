#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/seams/stream.hpp"
#include "secondary/registry.hpp"

namespace antipode::failover {

/// Something of the old primary that the new one does not have.
struct Loss {
    enum class Kind {
        Announced,  ///< it changed, and what it changed to never came
        SetAside,   ///< it came, but what must be visible with it did not: it is kept in the stream
        Failed,     ///< it came, and could not be applied here
        // What the old primary had when it was seen again:
        Quarantined,  ///< it is kept there
        Undone,       ///< it was removed, and comes back
        LetGo,        ///< it is known of, and its content is on no site's disk any more
        Unreadable,   ///< nobody can tell what it held
    };
    Kind kind = Kind::Announced;
    StoreId store;
    std::string item;  ///< "xid 741 at 16/B374D848" for a transaction; empty: anything in the store
    Position position;
    std::optional<TimePoint> captured_at;
    std::string reason;
    struct RefChange {
        std::string
            old_value;  ///< hexadecimal, or the ref that a symbolic one names; empty: absent
        std::string new_value;
    };
    std::map<std::string, RefChange> refs;  ///< of a repository that was set aside, by name
    uint64_t changes = 0;                   ///< of rows and structure, in a transaction
    std::string kept{};                     ///< its file, below the quarantine
};
std::string_view to_string(Loss::Kind kind);

/// "xid 741" of "xid 741 at 16/B374D848", by which a transaction can be recognized: the place is an
/// earlier one where it was published before decoding had come to its commit.
std::string_view without_place(std::string_view item);

/// Where a store stands when its site becomes primary.
struct LaneEnd {
    StoreId store;
    Position finished;  ///< everything up to here is applied
    Lsn lsn;            ///< databases
    /// Everything that was written before is in the stream: the newest proof that came; nullopt:
    /// none did.
    std::optional<TimePoint> captured_through;
};

/// What a promotion without the old primary loses, as far as it is known without it: preliminary
/// until that site is seen again.
struct LossReport {
    std::string cluster;
    std::string operation;
    std::string old_primary;
    std::string new_primary;
    uint64_t epoch = 0;  ///< that ended
    std::string fenced_by;
    TimePoint at{};
    std::optional<TimePoint> last_marker;  ///< the old primary's clock in it
    std::optional<TimePoint> last_event;   ///< the same, in the newest event of any kind
    std::vector<LaneEnd> lanes;
    uint64_t known = 0;      ///< all of them; `losses` holds at most most_losses
    uint64_t set_aside = 0;  ///< of all of them, those of that kind
    std::vector<Loss> losses;

    /// From here on it is not known what was written: the least of the lanes' proofs.
    std::optional<TimePoint> unknown_since() const;
    /// One object, schema "antipode.loss-report/1".
    std::string to_json() const;
};
inline constexpr size_t most_losses = 1000;

/// What a promotion has really lost: found on the old primary when it was seen again.
struct FinalLoss {
    struct Counts {
        uint64_t transactions = 0;
        uint64_t changes = 0;  ///< in them
        uint64_t repositories = 0;
        uint64_t refs = 0;  ///< in them
        uint64_t files = 0;
        uint64_t undone = 0;  ///< removals
        uint64_t unreadable = 0;
    };
    std::string site;  ///< that was the primary
    TimePoint at{};
    std::filesystem::path quarantine;
    Counts counts;
    uint64_t known = 0;        ///< all of them
    std::vector<Loss> losses;  ///< at most most_losses

    void add(const Loss& loss);
};

/// The preliminary report, as LossReport::to_json() wrote it, with what was really lost in the
/// place of what was known then. Throws Error{Stop} when it is no such report.
std::string complete_report(const std::string& preliminary, const FinalLoss& loss);
/// The same once the old primary follows the new one: nothing will be added to it.
std::string rejoined_report(const std::string& completed, TimePoint now);
/// One object: as in a report's "losses".
std::string to_json(const Loss& loss);

/// A message of a stream that cannot be read, of a lane; nullopt: it is of none. A session that
/// ends in the middle of something is no damage.
std::optional<Loss> damaged_message(const StoredMessage& message, std::string_view why);

/// Fills last_event, known and losses from what this site's stream of the epoch holds behind the
/// lanes' ends.
void find_losses(LossReport& report, Stream& stream, const secondary::Registry& registry);

}  // namespace antipode::failover
