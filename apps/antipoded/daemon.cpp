#include "apps/antipoded/daemon.hpp"

#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>

#include "apps/antipoded/endpoints.hpp"
#include "apps/antipoded/json.hpp"
#include "apps/antipoded/primary_half.hpp"
#include "apps/antipoded/rejoin.hpp"
#include "apps/antipoded/saved_status.hpp"
#include "apps/antipoded/secondary_half.hpp"
#include "base/limits.hpp"
#include "protocol/message.hpp"

namespace antipode {
namespace {

constexpr std::chrono::milliseconds epoch_interval(500);
constexpr std::chrono::milliseconds hurried_interval(30);
/// Servers tell at once of records that change; what they did not tell is seen then.
constexpr std::chrono::milliseconds quiet_interval(2000);
constexpr std::chrono::milliseconds readiness_interval(5000);
constexpr std::chrono::milliseconds role_interval(250);
constexpr std::chrono::milliseconds report_interval(1000);
/// Until the first report with a role: a site's initial copy waits for that.
constexpr std::chrono::milliseconds first_report_interval(50);
/// While the primary waits for what this site says.
constexpr std::chrono::milliseconds hurried_report_interval(50);
constexpr std::chrono::seconds loss_interval(2);
constexpr std::chrono::seconds save_interval(5);

const std::string site_key = "site.";

failover::Records::Options records_of(const Config& config, Doorbell& changed) {
    failover::Records::Options options{
        config.cluster, config.site, {}, config.state_dir / "epoch", [&changed] {
            changed.ring();
        }};
    for (const Config::Site& site : config.sites) {
        if (site.name != config.site) {
            options.others.push_back(site.name);
        }
    }
    return options;
}

failover::Records::OpenBucket buckets_of(const Config& config) {
    return [&config](const std::string& site) {
        return std::make_unique<nats::Bucket>(endpoint_of(config, site, "epoch"),
                                              protocol::bucket_name(config.cluster),
                                              site == config.site);
    };
}

failover::Conductor::Options conductor_of(const Config& config) {
    failover::Conductor::Options options{
        config.site, {}, config.failover.switchover_timeout, config.failover.rejoin == "automatic"};
    for (const Config::Site& site : config.sites) {
        options.sites.push_back(site.name);
    }
    return options;
}

}  // namespace

Daemon::Daemon(Config config, const Clock& clock)
    : config_(std::move(config)),
      clock_(clock),
      started_at_(clock.now()),
      lock_(config_.state_dir, "antipoded", "lock"),
      limits_(config_.tuning, config_.state_dir / "limits.json", clock),
      server_({.listen = config_.http.listen,
               .token = read_token(config_),
               .bulk_limit = limits_.serves()}),
      records_(records_of(config_, epoch_changed_), buckets_of(config_), clock_),
      journal_(config_.state_dir / "failover.journal"),
      lease_(LeaseKeeper::make(config_, clock_)),
      hands_(
          config_, [this] { return half(); }, lease_ ? &lease_->lease() : nullptr, clock_),
      conductor_(conductor_of(config_), records_, journal_, hands_, clock_),
      seen_elsewhere_(config_, journal_, clock_),
      losses_(config_),
      old_streams_(config_),
      disks_(config_),
      feed_([this] { return status(); },
            [this](uint64_t after, size_t most) { return events(after, most); }, clock),
      notify_(
          config_, [this] { return half(); }, [this] { return conductor_.status().primary; }),
      workers_(clock) {
    add_routes();
    // What others wait for: it begins again as soon as the broker is back.
    workers_.add(
        "epoch",
        [this](const std::stop_token& stop, Worker::Progress progress) {
            follow_epoch(stop, progress);
        },
        Backoff(Backoff::Duration(50), epoch_interval));
    workers_.add("readiness", [this](const std::stop_token& stop, Worker::Progress progress) {
        look_at_readiness(stop, progress);
    });
    workers_.add("reports", [this](const std::stop_token& stop, Worker::Progress progress) {
        exchange_reports(stop, progress);
    });
    workers_.loop("loss reports", [this](const std::stop_token& stop) {
        losses_.complete();
        sleep_unless_stopped(loss_interval, stop);
    });
    workers_.add("disks", [this](const std::stop_token& stop, Worker::Progress progress) {
        disks_.run(stop, progress);
    });
    workers_.add("saved status", [this](const std::stop_token& stop, Worker::Progress progress) {
        do {
            save_status(config_.state_dir, status());
            progress.healthy();
        } while (!sleep_unless_stopped(save_interval, stop));
    });
    if (lease_) {
        lease_->start();
    }
    server_.start();
    notify_.start();
}

Daemon::~Daemon() {
    notify_.stop();
    server_.stop();
}

void Daemon::follow_epoch(const std::stop_token& stop, Worker::Progress progress) {
    while (!stop.stop_requested()) {
        try {
            conductor_.look();
        } catch (const Error& error) {
            keep_lease();
            // The role that was known stays while the broker is away.
            if (take_role() && conductor_.may_act_alone()) {
                conductor_.act();
            }
            throw;
        }
        keep_lease();
        bool has_role = take_role();
        if (has_role) {
            conductor_.act();
            keep_lease();
            has_role = take_role();
        }
        const failover::ConductorStatus now = conductor_.status();
        seen_elsewhere_.look(now);
        if (!now.known) {
            progress.waiting_for("the cluster has no primary yet",
                                 "antipode sites init --primary NAME");
        } else if (!now.problem.empty()) {
            progress.waiting_for(std::string(failover::to_string(now.state)) + ": " + now.problem,
                                 now.next_step);
        } else {
            progress.healthy();
        }
        epoch_changed_.wait(until_next_look(has_role), stop);
    }
}

std::chrono::milliseconds Daemon::until_next_look(bool has_role) const {
    return conductor_.is_hurried()             ? hurried_interval
           : has_role && conductor_.is_quiet() ? quiet_interval
                                               : epoch_interval;
}

void Daemon::keep_lease() {
    if (lease_) {
        lease_->follow(conductor_, records_.own(), journal_.last());
    }
}

/// A site that is promoted reads on where more is than the primary that is gone has given it.
std::string Daemon::stream_to_read() const {
    const std::string elsewhere = conductor_.state() == failover::State::Cutting
                                      ? hands_.elsewhere(conductor_.epoch())
                                      : std::string();
    return elsewhere.empty() ? conductor_.primary() : elsewhere;
}

Upstream Daemon::upstream() {
    const auto ended = conductor_.ending();
    Upstream upstream{conductor_.primary(), stream_to_read(), {}};
    if (ended) {
        upstream.ended = *ended;
        upstream.stream_of = find_stream_to_finish(config_, conductor_.epoch(), *ended);
    }
    return upstream;
}

/// Runs the half that the conductor's state asks for. False: a secondary's half still answers
/// somebody. Two of them would apply to the same stores.
bool Daemon::take_role() {
    if (!leaving_.expired()) {
        return false;
    }
    const failover::Half wanted = conductor_.half();
    const uint64_t epoch = conductor_.epoch();
    const auto ended = conductor_.ending();
    const uint64_t end = ended ? ended->epoch() : 0;
    const bool reads_as_before =
        ended || wanted != failover::Half::Secondary || running_stream_ == stream_to_read();
    const bool stale =
        half_ && half_->has_stopped() && conductor_.state() != failover::State::Cutting;
    const bool same = epoch == running_epoch_ && end == running_end_ && reads_as_before && !stale;
    if (wanted == running_ && (same || wanted == failover::Half::None)) {
        return true;
    }
    // Built and destroyed without the lock: both may take a second, and status must answer.
    std::shared_ptr<Half> old;
    {
        std::scoped_lock lock(mutex_);
        old = std::exchange(half_, nullptr);
        readiness_.reset();
        readiness_forgotten_.notify_all();
    }
    if (running_ == failover::Half::Secondary) {
        leaving_ = old;
    }
    old.reset();
    running_ = failover::Half::None;
    if (!leaving_.expired()) {
        return false;
    }
    if (wanted == failover::Half::None) {
        return true;
    }
    Rejoin::forget(config_);
    const bool primary = wanted == failover::Half::Primary;
    spdlog::info("epoch {}: this site, {}, is {}", epoch, config_.site,
                 primary ? "the primary" : "a secondary of " + conductor_.primary());
    std::shared_ptr<Half> fresh;
    if (primary) {
        fresh = std::make_shared<PrimaryHalf>(config_, epoch, server_, limits_, clock_);
    } else {
        const Upstream upstream = this->upstream();
        fresh = std::make_shared<SecondaryHalf>(config_, epoch, upstream, server_, limits_, clock_);
        running_stream_ = upstream.stream_of;
    }
    running_ = wanted;
    running_epoch_ = epoch;
    running_end_ = end;
    std::scoped_lock lock(mutex_);
    half_ = std::move(fresh);
    return true;
}

void Daemon::look_at_readiness(const std::stop_token& stop, Worker::Progress progress) {
    do {
        const failover::ConductorStatus now = conductor_.status();
        const bool rests =
            now.state == failover::State::Serving || now.state == failover::State::Following;
        if (now.known && rests) {
            Readiness readiness =
                antipode::look_at_readiness(config_, now.state == failover::State::Serving);
            std::scoped_lock lock(mutex_);
            readiness_ = std::move(readiness);
        }
        progress.healthy();
        std::unique_lock lock(mutex_);
        if (readiness_) {
            // After a change it is soon known again.
            readiness_forgotten_.wait_for(lock, stop, readiness_interval,
                                          [&] { return !readiness_; });
        } else {
            lock.unlock();
            sleep_unless_stopped(role_interval, stop);
        }
    } while (!stop.stop_requested());
}

std::shared_ptr<Half> Daemon::half() const {
    std::scoped_lock lock(mutex_);
    return half_;
}

std::string Daemon::role() const {
    const failover::ConductorStatus now = conductor_.status();
    if (!now.known) {
        return "unassigned";
    }
    if (now.state == failover::State::Fenced || now.state == failover::State::Quarantining ||
        now.state == failover::State::Quarantined) {
        return "fenced";
    }
    const failover::Half wanted = failover::half_in(now.state);
    if (wanted == failover::Half::None || now.state == failover::State::Finishing) {
        return "changing";
    }
    if (half() == nullptr) {
        return "unassigned";
    }
    return wanted == failover::Half::Primary ? "primary" : "secondary";
}

nlohmann::json Daemon::failover() const {
    const failover::ConductorStatus now = conductor_.status();
    nlohmann::json shown = {{"state", nullptr},
                            {"epoch", now.epoch},
                            {"primary", now.primary},
                            {"operation", now.operation},
                            {"since_us", to_microseconds(now.since)},
                            {"problem", now.problem},
                            {"next_step", now.next_step},
                            {"unreadable", now.unreadable},
                            {"may_claim", now.may_claim},
                            {"handed_over_us", nullptr},
                            {"ddl_captured", nullptr},
                            {"blockers", nullptr},
                            {"warnings", nullptr}};
    if (now.known) {
        shown["state"] = failover::to_string(now.state);
    }
    if (now.handed_over_at) {
        shown["handed_over_us"] = to_microseconds(*now.handed_over_at);
    }
    std::scoped_lock lock(mutex_);
    if (!readiness_) {
        return shown;
    }
    const auto list = [](const std::vector<primary::UnmetNeed>& needs) {
        nlohmann::json rows = nlohmann::json::array();
        for (const primary::UnmetNeed& need : needs) {
            rows.push_back({{"what", need.what}, {"next_step", need.remedy}});
        }
        return rows;
    };
    shown["blockers"] = list(readiness_->blockers);
    shown["warnings"] = list(readiness_->warnings);
    if (readiness_->ddl_captured) {
        shown["ddl_captured"] = *readiness_->ddl_captured;
    }
    return shown;
}

v1::SiteReport Daemon::own_report() const {
    v1::SiteReport report;
    report.set_site(config_.site);
    report.set_at_us(to_microseconds(clock_.now()));
    report.set_version(ANTIPODE_VERSION);
    report.set_role(role());
    const failover::ConductorStatus now = conductor_.status();
    report.set_epoch(now.epoch);
    *report.mutable_operation() = now.report;
    const std::shared_ptr<Half> half = this->half();
    if (half) {
        half->report(report);
    }
    report.set_status_json(dump(own_site(stores_status())));
    return report;
}

void Daemon::exchange_reports(const std::stop_token& stop, Worker::Progress progress) {
    std::string hub_site;
    std::unique_ptr<nats::Bucket> hub;
    bool reported = false;
    const auto interval = [&] {
        return !conductor_.status().report.operation_id().empty() ? hurried_report_interval
               : reported                                         ? report_interval
                                                                  : first_report_interval;
    };
    while (!sleep_unless_stopped(interval(), stop)) {
        const std::string primary = conductor_.status().primary;
        if (primary.empty()) {
            continue;
        }
        if (!hub || hub_site != primary) {
            hub = std::make_unique<nats::Bucket>(endpoint_of(config_, primary, "reports"),
                                                 protocol::bucket_name(config_.cluster), false);
            hub_site = primary;
        }
        std::vector<v1::SiteReport> reports = {own_report()};
        hub->put(site_key + config_.site, reports.front().SerializeAsString());
        for (const Config::Site& site : config_.sites) {
            const auto entry =
                site.name == config_.site ? std::nullopt : hub->get(site_key + site.name);
            v1::SiteReport report;
            if (entry && report.ParseFromString(entry->value)) {
                reports.push_back(std::move(report));
            }
        }
        // Not held while others are asked: the next half waits until this one is gone.
        if (const std::shared_ptr<Half> half = this->half()) {
            half->hear(reports);
            reported = true;
        }
        old_streams_.look(reports.front().epoch(), reports);
        seen_elsewhere_.hear(reports);
        std::scoped_lock lock(mutex_);
        for (v1::SiteReport& report : reports) {
            reports_[report.site()] = std::move(report);
        }
        progress.healthy();
    }
}

}  // namespace antipode
