#include "primary/safe_points.hpp"

#include <algorithm>

namespace antipode::primary {
namespace {

bool is_secondary(const v1::SiteReport& report) {
    return report.role() == "secondary";
}

}  // namespace

Lsn confirmable(const std::vector<v1::SiteReport>& reports, const StoreId& store, Lsn stored) {
    Lsn least = stored;
    for (const v1::SiteReport& report : reports) {
        if (!is_secondary(report)) {
            continue;
        }
        Lsn safe;  // a site that says nothing of the store has nothing of it
        for (const v1::LaneReport& lane : report.lanes()) {
            if (lane.store() == store.to_string()) {
                safe = Lsn{lane.safe_lsn()};
            }
        }
        least = std::min(least, safe);
    }
    return least;
}

Position applied_everywhere(const std::vector<v1::SiteReport>& reports, const Position& head) {
    Position least = head;
    for (const v1::SiteReport& report : reports) {
        if (!is_secondary(report)) {
            continue;
        }
        if (report.lanes().empty()) {
            return {};
        }
        for (const v1::LaneReport& lane : report.lanes()) {
            least = std::min(least, Position{lane.applied_epoch(), lane.applied_session(),
                                             lane.applied_number()});
        }
    }
    return least;
}

std::optional<TimePoint> recovery_point_everywhere(const std::vector<v1::SiteReport>& reports) {
    std::optional<TimePoint> least;
    for (const v1::SiteReport& report : reports) {
        if (!is_secondary(report)) {
            continue;
        }
        if (report.recovery_point_us() == 0) {
            return std::nullopt;
        }
        const TimePoint point = from_microseconds(report.recovery_point_us());
        least = least ? std::min(*least, point) : point;
    }
    return least;
}

}  // namespace antipode::primary
