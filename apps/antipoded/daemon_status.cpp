#include <algorithm>

#include <nlohmann/json.hpp>

#include "apps/antipoded/check_rows.hpp"
#include "apps/antipoded/daemon.hpp"
#include "apps/antipoded/drill_files.hpp"
#include "apps/antipoded/json.hpp"
#include "apps/antipoded/open_files.hpp"

/// What the daemon says of itself and of the other sites.
namespace antipode {
namespace {

constexpr std::chrono::seconds stale_after(15);

/// The stream or the slot that is used up first.
nlohmann::json least_retention(const nlohmann::json& status) {
    nlohmann::json least;
    const auto consider = [&](const nlohmann::json& keeper) {
        if (keeper.is_object() && keeper["retention_seconds"].is_number()) {
            const auto& seconds = keeper["retention_seconds"];
            least = least.is_null() || seconds < least ? seconds : least;
        }
    };
    consider(status["stream"]);
    for (const auto& store : status["stores"]) {
        consider(store["slot"]);
    }
    return least;
}

}  // namespace

nlohmann::json Daemon::own_site(const nlohmann::json& status) const {
    const TimePoint now = clock_.now();
    nlohmann::json row = {
        {"site", config_.site},   {"role", status["role"]},
        {"state", "waiting"},     {"recovery_point_us", status["recovery_point_us"]},
        {"lag_seconds", nullptr}, {"verified", nullptr},
        {"parked", nullptr},      {"report_at_us", to_microseconds(now)},
        {"reason", ""},           {"next_step", ""},
        {"checks", nullptr},      {"retention_seconds", least_retention(status)}};
    if (!status["recovery_point_us"].is_null()) {
        const TimePoint point = from_microseconds(status["recovery_point_us"].get<int64_t>());
        row["lag_seconds"] = std::max(0.0, seconds_between(point, now));
    }
    // The worst store speaks for the site.
    static const std::vector<std::string> worst_last = {"serving", "streaming", "catching-up",
                                                        "copying", "degraded",  "paused",
                                                        "waiting", "unknown"};
    const auto badness = [](const std::string& state) {
        return std::find(worst_last.begin(), worst_last.end(), state) - worst_last.begin();
    };
    const bool secondary = status["role"] == "secondary";
    std::string state = status["role"] == "primary" ? "serving" : "streaming";
    uint64_t verified = 0;
    uint64_t parked = 0;
    for (const auto& store : status["stores"]) {
        if (badness(store["state"]) > badness(state)) {
            state = store["state"];
            const auto reason = store["reason"].get<std::string>();
            row["reason"] = reason.empty() ? "" : store["store"].get<std::string>() + ": " + reason;
            row["next_step"] = store["next_step"];
        }
        verified += store["verified"].is_null() ? 0 : store["verified"].get<uint64_t>();
        parked += store["parked"].is_null() ? 0 : store["parked"].get<uint64_t>();
    }
    if (status["stores"].empty()) {
        state = "waiting";
        for (const auto& worker : status["workers"]) {
            if (!worker["healthy"].get<bool>() && row["reason"].get<std::string>().empty()) {
                row["reason"] = worker["problem"];
                row["next_step"] = worker["next_step"];
            }
        }
    }
    const nlohmann::json& change = status["failover"];
    const auto change_state = change["state"].is_null() ? "" : change["state"].get<std::string>();
    if (!change_state.empty() && change_state != "serving" && change_state != "following") {
        state = change_state;
        row["reason"] = change["problem"];
        row["next_step"] = change["next_step"];
    }
    for (const auto& disk : status["disks"]) {
        if (disk["problem"] != "" && row["reason"] == "") {
            row["reason"] = disk["problem"];
            row["next_step"] = disk["next_step"];
            state = badness(state) < badness("degraded") ? "degraded" : state;
        }
    }
    if (const nlohmann::json& lease = status["lease"];
        lease.is_object() && lease["problem"] != "") {
        const bool serves = lease["holds"].get<bool>();
        if (!serves || row["reason"] == "") {
            row["reason"] = lease["problem"];
            row["next_step"] = lease["next_step"];
        }
        state = !serves && badness(state) < badness("degraded") ? "degraded" : state;
    }
    row["state"] = state;
    if (secondary) {
        if (status["recovery_point_us"].is_null() && row["reason"].get<std::string>().empty()) {
            row["reason"] =
                "recovery point unknown: " + status["recovery_point_reason"].get<std::string>();
        }
        row["verified"] = verified;
        row["parked"] = parked;
        row["checks"] = check_rows(status);
    }
    return row;
}

nlohmann::json Daemon::status() const {
    nlohmann::json status = own_status();
    show_sites(status);
    return status;
}

nlohmann::json Daemon::stores_status() const {
    nlohmann::json status = {{"site", config_.site},
                             {"role", role()},
                             {"epoch", nullptr},
                             {"recovery_point_us", nullptr},
                             {"recovery_point_reason", ""},
                             {"refused", nullptr},
                             {"pulls", nullptr},
                             {"stream", nullptr},
                             {"disks", disks_.show()},
                             {"failover", failover()},
                             {"lease", lease_ ? lease_->show() : nlohmann::json()},
                             {"actions", nlohmann::json::array()},
                             {"stores", nlohmann::json::array()},
                             {"exceptions", nlohmann::json::array()},
                             {"workers", nlohmann::json::array()}};
    if (const uint64_t epoch = conductor_.status().epoch; epoch > 0) {
        status["epoch"] = epoch;
    }
    if (const std::shared_ptr<Half> half = this->half()) {
        half->show(status);
    }
    if (status["stores"].empty()) {
        show_workers(status);  // what else says why
    }
    return status;
}

nlohmann::json Daemon::own_status() const {
    nlohmann::json status = stores_status();
    status["schema"] = "antipode.status/1";
    status["cluster"] = config_.cluster;
    status["version"] = ANTIPODE_VERSION;
    status["now_us"] = to_microseconds(clock_.now());
    status["started_us"] = to_microseconds(started_at_);
    const OpenFiles files = open_files();
    const bool known = files.now && files.most;
    status["open_files"] = known ? nlohmann::json(*files.now) : nlohmann::json();
    status["open_files_limit"] = known ? nlohmann::json(*files.most) : nlohmann::json();
    status["limits"] = limits_.show();
    status["drill"] = newest_drill(config_);
    status["sites"] = nlohmann::json::array();
    show_workers(status);
    return status;
}

void Daemon::show_workers(nlohmann::json& status) const {
    std::vector<WorkerState> workers = workers_.states();
    const auto add = [&](const std::vector<WorkerState>& more) {
        workers.insert(workers.end(), more.begin(), more.end());
    };
    if (lease_) {
        add(lease_->workers());
    }
    if (const std::shared_ptr<Half> half = this->half()) {
        add(half->workers());
    }
    nlohmann::json rows = nlohmann::json::array();
    for (const WorkerState& worker : workers) {
        rows.push_back({{"name", worker.name},
                        {"healthy", worker.healthy},
                        {"problem", worker.problem},
                        {"next_step", worker.next_step},
                        {"since_us", to_microseconds(worker.since)},
                        {"failures", worker.failures}});
    }
    status["workers"] = std::move(rows);
}

void Daemon::show_sites(nlohmann::json& status) const {
    const nlohmann::json own = own_site(status);
    std::scoped_lock lock(mutex_);
    for (const Config::Site& site : config_.sites) {
        if (site.name == config_.site) {
            status["sites"].push_back(own);
            continue;
        }
        const auto report = reports_.find(site.name);
        nlohmann::json row;
        if (report != reports_.end()) {
            row = nlohmann::json::parse(report->second.status_json(), nullptr, false);
        }
        if (!row.is_object()) {
            row = own;
            row["site"] = site.name;
            row["role"] = "unknown";
            row["report_at_us"] = nullptr;
            row["reason"] = "it has not reported yet";
            row["next_step"] = "start antipoded there";
        }
        for (const char* key : {"checks", "retention_seconds"}) {
            if (!row.contains(key)) {
                row[key] = nullptr;  // an older daemon's report
            }
        }
        const bool stale = report == reports_.end() ||
                           from_microseconds(report->second.at_us()) + stale_after < clock_.now();
        if (stale) {
            // What it said then is not what it is now.
            row["state"] = "unknown";
            row["lag_seconds"] = nullptr;
            row["recovery_point_us"] = nullptr;
            row["verified"] = nullptr;
            row["parked"] = nullptr;
            row["checks"] = nullptr;
            row["retention_seconds"] = nullptr;
        }
        status["sites"].push_back(std::move(row));
    }
}

}  // namespace antipode
