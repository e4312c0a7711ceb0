#include "primary/registered_sites.hpp"

#include <algorithm>

namespace antipode::primary {
namespace {

/// What is remembered may be older than this and a bit: then more is kept than need be.
constexpr std::chrono::seconds remember_interval(5);

}  // namespace

RegisteredSites::RegisteredSites(std::set<std::string> configured, uint64_t epoch,
                                 Inventory& inventory, const Clock& clock)
    : configured_(std::move(configured)), epoch_(epoch), inventory_(inventory), clock_(clock) {
    for (const auto& [name, bytes] : inventory_.sites()) {
        v1::SiteReport report;
        if (configured_.contains(name) && report.ParseFromString(bytes)) {
            sites_[name] = std::move(report);
        }
    }
}

std::vector<v1::SiteReport> RegisteredSites::merge(const std::vector<v1::SiteReport>& reports) {
    bool any_new = false;
    for (const v1::SiteReport& report : reports) {
        if (!configured_.contains(report.site()) || !is_of_epoch(report)) {
            continue;
        }
        if (report.role() == "secondary") {
            v1::SiteReport& site = sites_[report.site()];
            any_new = any_new || site.site().empty();
            site = report;
            site.clear_status_json();
        } else if (report.role() == "primary") {
            sites_.erase(report.site());
        }
        // Otherwise it has just started and says nothing of its stores yet.
    }
    if (any_new || clock_.steady_now() >= remember_at_) {
        remember();
    }
    return all();
}

std::vector<v1::SiteReport> RegisteredSites::advance(const v1::SiteReport& told) {
    const auto site = sites_.find(told.site());
    if (site == sites_.end() || !is_of_epoch(told)) {
        return {};
    }
    for (const v1::LaneReport& news : told.lanes()) {
        for (v1::LaneReport& lane : *site->second.mutable_lanes()) {
            if (lane.store() == news.store()) {
                lane.set_safe_lsn(std::max(lane.safe_lsn(), news.safe_lsn()));
            }
        }
    }
    return all();
}

std::vector<v1::SiteReport> RegisteredSites::all() const {
    std::vector<v1::SiteReport> reports;
    for (const auto& [name, report] : sites_) {
        reports.push_back(report);
    }
    return reports;
}

void RegisteredSites::remember() {
    std::map<std::string, std::string> bytes;
    for (const auto& [name, report] : sites_) {
        bytes[name] = report.SerializeAsString();
    }
    inventory_.remember_sites(bytes);
    remember_at_ = clock_.steady_now() + remember_interval;
}

}  // namespace antipode::primary
