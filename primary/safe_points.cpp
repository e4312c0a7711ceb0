#include "primary/safe_points.hpp"

#include <algorithm>

namespace antipode::primary {
namespace {

bool is_secondary(const v1::SiteReport& report) {
    return report.role() == "secondary";
}

}  // namespace

Lsn safe_lsn(const v1::SiteReport& report, const StoreId& store) {
    for (const v1::LaneReport& lane : report.lanes()) {
        if (lane.store() == store.to_string()) {
            return Lsn{lane.safe_lsn()};
        }
    }
    return Lsn{};
}

Confirmable confirmable(const std::vector<v1::SiteReport>& reports, const StoreId& store,
                        std::optional<Lsn> stored, Lsn not_below) {
    Confirmable result;
    std::optional<Lsn> least = stored;
    for (const v1::SiteReport& report : reports) {
        if (!is_secondary(report)) {
            continue;
        }
        const Lsn safe = safe_lsn(report, store);
        if (safe < not_below && stored && *stored >= not_below) {
            result.let_go.push_back(report.site());
        } else {
            least = std::min(least.value_or(safe), safe);
        }
    }
    result.lsn = least.value_or(Lsn{});
    return result;
}

void LetGo::note(const StoreId& store, const std::vector<std::string>& let_go, Lsn confirmed,
                 const std::vector<v1::SiteReport>& reports) {
    sites_.with([&](auto& sites) {
        std::set<std::string>& gone = sites[store];
        for (const v1::SiteReport& report : reports) {
            if (safe_lsn(report, store) >= confirmed) {
                gone.erase(report.site());
            }
        }
        gone.insert(let_go.begin(), let_go.end());
    });
}

std::set<std::string> LetGo::of(const StoreId& store) const {
    return sites_.with([&](const auto& sites) {
        const auto found = sites.find(store);
        return found == sites.end() ? std::set<std::string>() : found->second;
    });
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
