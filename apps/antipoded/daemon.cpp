#include "apps/antipoded/daemon.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "apps/antipoded/endpoints.hpp"
#include "apps/antipoded/json.hpp"
#include "apps/antipoded/metrics.hpp"
#include "apps/antipoded/page.hpp"
#include "apps/antipoded/primary_half.hpp"
#include "apps/antipoded/secondary_half.hpp"
#include "base/limits.hpp"
#include "protocol/message.hpp"

namespace antipode {
namespace {

constexpr std::chrono::milliseconds epoch_interval(1000);
constexpr unsigned ask_others_every = 5;
constexpr std::chrono::milliseconds report_interval(500);
/// Until the first report with a role: a site's initial copy waits for that.
constexpr std::chrono::milliseconds first_report_interval(50);
constexpr size_t events_at_once = 1000;
constexpr std::chrono::seconds stale_after(15);

const std::string site_key = "site.";

uint64_t number_in(const std::map<std::string, std::string>& query, const std::string& name) {
    const auto found = query.find(name);
    return found == query.end() ? 0 : std::strtoull(found->second.c_str(), nullptr, 10);
}

}  // namespace

Daemon::Daemon(Config config, const Clock& clock)
    : config_(std::move(config)),
      clock_(clock),
      started_at_(clock.now()),
      lock_(config_.state_dir),
      server_({.listen = config_.http.listen, .token = read_token(config_)}),
      own_bucket_(own_endpoint(config_, "epoch"), protocol::bucket_name(config_.cluster), true),
      journal_(config_.state_dir / "epoch"),
      feed_([this] { return status(); },
            [this](uint64_t after, size_t most) { return events(after, most); }, clock),
      workers_(clock) {
    add_routes();
    workers_.add("epoch", [this](const std::stop_token& stop, Worker::Progress progress) {
        follow_epoch(stop, progress);
    });
    workers_.add("reports", [this](const std::stop_token& stop, Worker::Progress progress) {
        exchange_reports(stop, progress);
    });
    server_.start();
}

Daemon::~Daemon() {
    server_.stop();
}

std::optional<v1::EpochRecord> Daemon::newest_record(bool ask_others) {
    std::optional<v1::EpochRecord> newest = journal_.last();
    const auto consider = [&](const std::optional<failover::Epoch>& epoch) {
        if (epoch && (!newest || epoch->record.epoch() > newest->epoch())) {
            newest = epoch->record;
        }
    };
    try {
        consider(failover::read_epoch(own_bucket_, config_.cluster));
    } catch (const Error& error) {
        if (error.reaction() != Reaction::Retry || !newest) {
            throw;
        }
        return newest;  // the role that was known stays while the broker is away
    }
    for (const Config::Site& site : config_.sites) {
        if ((newest && !ask_others) || site.name == config_.site) {
            continue;
        }
        try {
            nats::Bucket other(endpoint_of(config_, site.name, "epoch"),
                               protocol::bucket_name(config_.cluster), false);
            consider(failover::read_epoch(other, config_.cluster));
        } catch (const Error& error) {
            spdlog::debug("epoch: {} does not say: {}", site.name, error.what());
        }
    }
    if (newest) {
        failover::adopt_epoch(own_bucket_, config_.cluster, *newest);
    }
    return newest;
}

void Daemon::follow_epoch(const std::stop_token& stop, Worker::Progress progress) {
    for (unsigned turn = 0; !stop.stop_requested(); ++turn) {
        const auto record = newest_record(turn % ask_others_every == 0);
        if (record) {
            journal_.note(*record);
            take_role(*record);
            progress.healthy();
        } else {
            progress.waiting_for("the cluster has no primary yet",
                                 "antipode sites init --primary NAME");
        }
        sleep_unless_stopped(epoch_interval, stop);
    }
}

void Daemon::take_role(const v1::EpochRecord& record) {
    {
        std::scoped_lock lock(mutex_);
        const bool same =
            record_ && record_->epoch() == record.epoch() && record_->primary() == record.primary();
        if (same && half_) {
            return;
        }
        record_ = record;
    }
    // Built and destroyed without the lock: both may take a second, and status must answer.
    std::shared_ptr<Half> old;
    {
        std::scoped_lock lock(mutex_);
        old = std::exchange(half_, nullptr);
    }
    old.reset();
    const bool primary = record.primary() == config_.site;
    spdlog::info("epoch {}: the primary is {}, this site, {}, is {}", record.epoch(),
                 record.primary(), config_.site, primary ? "the primary" : "a secondary");
    std::shared_ptr<Half> fresh;
    if (primary) {
        fresh = std::make_shared<PrimaryHalf>(config_, record.epoch(), server_, clock_);
    } else {
        fresh = std::make_shared<SecondaryHalf>(config_, record.epoch(), record.primary(), clock_);
    }
    std::scoped_lock lock(mutex_);
    half_ = std::move(fresh);
}

v1::SiteReport Daemon::own_report() const {
    v1::SiteReport report;
    report.set_site(config_.site);
    report.set_at_us(to_microseconds(clock_.now()));
    report.set_version(ANTIPODE_VERSION);
    report.set_role("unassigned");
    std::shared_ptr<Half> half;
    {
        std::scoped_lock lock(mutex_);
        half = half_;
        if (record_ && half_) {
            report.set_role(record_->primary() == config_.site ? "primary" : "secondary");
        }
    }
    if (half) {
        half->report(report);
    }
    nlohmann::json own = own_site(status());
    report.set_status_json(dump(own));
    return report;
}

void Daemon::exchange_reports(const std::stop_token& stop, Worker::Progress progress) {
    std::string hub_site;
    std::unique_ptr<nats::Bucket> hub;
    bool reported = false;
    while (!sleep_unless_stopped(reported ? report_interval : first_report_interval, stop)) {
        std::shared_ptr<Half> half;
        std::string primary;
        {
            std::scoped_lock lock(mutex_);
            half = half_;
            primary = record_ ? record_->primary() : "";
        }
        if (primary.empty()) {
            continue;
        }
        if (!hub || hub_site != primary) {
            hub = std::make_unique<nats::Bucket>(endpoint_of(config_, primary, "reports"),
                                                 protocol::bucket_name(config_.cluster), false);
            hub_site = primary;
        }
        hub->put(site_key + config_.site, own_report().SerializeAsString());
        std::vector<v1::SiteReport> reports;
        for (const Config::Site& site : config_.sites) {
            const auto entry = hub->get(site_key + site.name);
            v1::SiteReport report;
            if (entry && report.ParseFromString(entry->value)) {
                reports.push_back(std::move(report));
            }
        }
        if (half) {
            half->hear(reports);
            reported = true;
        }
        std::scoped_lock lock(mutex_);
        for (v1::SiteReport& report : reports) {
            reports_[report.site()] = std::move(report);
        }
        progress.healthy();
    }
}

nlohmann::json Daemon::own_site(const nlohmann::json& status) const {
    const TimePoint now = clock_.now();
    nlohmann::json row = {
        {"site", config_.site},   {"role", status["role"]},
        {"state", "waiting"},     {"recovery_point_us", status["recovery_point_us"]},
        {"lag_seconds", nullptr}, {"verified", nullptr},
        {"parked", nullptr},      {"report_at_us", to_microseconds(now)},
        {"reason", ""},           {"next_step", ""}};
    if (!status["recovery_point_us"].is_null()) {
        const TimePoint point = from_microseconds(status["recovery_point_us"].get<int64_t>());
        row["lag_seconds"] = std::max(0.0, seconds_between(point, now));
    }
    // The worst store speaks for the site.
    static const std::vector<std::string> worst_last = {
        "serving", "streaming", "catching-up", "copying", "degraded", "waiting", "unknown"};
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
    row["state"] = state;
    if (secondary) {
        if (status["recovery_point_us"].is_null() && row["reason"].get<std::string>().empty()) {
            row["reason"] =
                "recovery point unknown: " + status["recovery_point_reason"].get<std::string>();
        }
        row["verified"] = verified;
        row["parked"] = parked;
    }
    return row;
}

nlohmann::json Daemon::status() const {
    std::shared_ptr<Half> half;
    nlohmann::json status = {{"schema", "antipode.status/1"},
                             {"cluster", config_.cluster},
                             {"site", config_.site},
                             {"role", "unassigned"},
                             {"epoch", nullptr},
                             {"version", ANTIPODE_VERSION},
                             {"now_us", to_microseconds(clock_.now())},
                             {"started_us", to_microseconds(started_at_)},
                             {"recovery_point_us", nullptr},
                             {"recovery_point_reason", ""},
                             {"refused", nullptr},
                             {"sites", nlohmann::json::array()},
                             {"stores", nlohmann::json::array()},
                             {"exceptions", nlohmann::json::array()},
                             {"workers", nlohmann::json::array()}};
    {
        std::scoped_lock lock(mutex_);
        half = half_;
        if (record_) {
            status["epoch"] = record_->epoch();
            if (half_) {
                status["role"] = record_->primary() == config_.site ? "primary" : "secondary";
            }
        }
    }
    std::vector<WorkerState> workers = workers_.states();
    if (half) {
        half->show(status);
        const auto more = half->workers();
        workers.insert(workers.end(), more.begin(), more.end());
    }
    for (const WorkerState& worker : workers) {
        status["workers"].push_back({{"name", worker.name},
                                     {"healthy", worker.healthy},
                                     {"problem", worker.problem},
                                     {"next_step", worker.next_step},
                                     {"since_us", to_microseconds(worker.since)},
                                     {"failures", worker.failures}});
    }
    show_sites(status);
    return status;
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
        const bool stale = report == reports_.end() ||
                           from_microseconds(report->second.at_us()) + stale_after < clock_.now();
        if (stale) {
            // What it said then is not what it is now.
            row["state"] = "unknown";
            row["lag_seconds"] = nullptr;
            row["recovery_point_us"] = nullptr;
            row["verified"] = nullptr;
            row["parked"] = nullptr;
        }
        status["sites"].push_back(std::move(row));
    }
}

http::HttpResponse Daemon::ready() const {
    const nlohmann::json now = status();
    std::string problems;
    for (const auto& worker : now["workers"]) {
        if (!worker["healthy"].get<bool>()) {
            problems += worker["name"].get<std::string>() + ": " +
                        worker["problem"].get<std::string>() + "\n";
        }
    }
    const bool good = problems.empty() && now["role"] != "unassigned";
    return {.status = good ? 200U : 503U,
            .content_type = "text/plain",
            .body = good ? "ready\n" : "not ready\n" + problems};
}

std::vector<nlohmann::json> Daemon::events(uint64_t after, size_t most) const {
    std::shared_ptr<Half> half;
    {
        std::scoped_lock lock(mutex_);
        half = half_;
    }
    std::vector<nlohmann::json> events;
    if (half) {
        for (const protocol::SeenEvent& event : half->events().behind(after, most)) {
            events.push_back({{"sequence", event.sequence},
                              {"at_us", to_microseconds(event.captured_at)},
                              {"kind", event.kind},
                              {"store", event.store},
                              {"item", printable(event.item)},
                              {"position", event.position.to_string()},
                              {"text", event.text}});
        }
    }
    return events;
}

void Daemon::add_routes() {
    server_.route("/", [](const http::HttpRequest& request) { return page(request); });
    server_.route("/livez", [](const http::HttpRequest&) {
        return http::HttpResponse{.content_type = "text/plain", .body = "alive\n"};
    });
    server_.route("/readyz", [this](const http::HttpRequest&) { return ready(); });
    server_.route("/v1/status", [this](const http::HttpRequest&) {
        return http::HttpResponse{.body = dump(status()) + "\n"};
    });
    server_.route("/v1/events", [this](const http::HttpRequest& request) {
        std::string lines;
        for (const auto& event : events(number_in(request.query, "after"), events_at_once)) {
            lines += dump(event) + "\n";
        }
        return http::HttpResponse{.content_type = "application/jsonl", .body = lines};
    });
    server_.feed("/v1/watch",
                 [this](const http::HttpRequest& request) { return feed_.open(request); });
    server_.route("/metrics", [this](const http::HttpRequest&) {
        return http::HttpResponse{.content_type = "text/plain; version=0.0.4",
                                  .body = render_metrics(status())};
    });
}

}  // namespace antipode
