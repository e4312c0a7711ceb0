#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
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
};
std::string_view to_string(Loss::Kind kind);

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
    uint64_t known = 0;  ///< all of them; `losses` holds at most most_losses
    std::vector<Loss> losses;

    /// From here on it is not known what was written: the least of the lanes' proofs.
    std::optional<TimePoint> unknown_since() const;
    /// One object, schema "antipode.loss-report/1".
    std::string to_json() const;
};
inline constexpr size_t most_losses = 1000;

/// Fills last_event, known and losses from what this site's stream of the epoch holds behind the
/// lanes' ends.
void find_losses(LossReport& report, Stream& stream, const secondary::Registry& registry);

}  // namespace antipode::failover
