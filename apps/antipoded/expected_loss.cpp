#include "apps/antipoded/expected_loss.hpp"

#include <algorithm>
#include <thread>

#include <nlohmann/json.hpp>

#include "adapters/nats/jetstream.hpp"
#include "apps/antipoded/endpoints.hpp"
#include "apps/antipoded/secondary_half.hpp"

namespace antipode {
namespace {

using nlohmann::json;

constexpr size_t most_named = 20;
constexpr std::chrono::seconds counts_for(3);
/// A handler of the HTTP server may not take longer than a second.
constexpr std::chrono::milliseconds longest_answer(800);
constexpr std::chrono::milliseconds look_interval(20);

json time_of(const std::optional<TimePoint>& time) {
    return time ? json(to_microseconds(*time)) : json();
}

}  // namespace

failover::LossReport find_expected_loss(const Config& config, const SecondaryHalf& half,
                                        uint64_t epoch, const std::string& primary,
                                        const Clock& clock) {
    failover::LossReport report;
    report.cluster = config.cluster;
    report.old_primary = primary;
    report.new_primary = config.site;
    report.epoch = epoch;
    report.at = clock.now();
    // After a restart no marker may come any more; the recovery point is proven for every lane.
    const auto recovery_point = half.recovery_point();
    for (const auto& lane : half.lanes()) {
        report.lanes.push_back(
            {lane.store, lane.order.finished, lane.database ? lane.database->lsn : Lsn{},
             lane.times.captured_through ? lane.times.captured_through : recovery_point});
        if (lane.times.captured_through) {
            report.last_marker = std::max(report.last_marker.value_or(lane.times.marker_clock),
                                          lane.times.marker_clock);
        }
    }
    nats::JetStream stream(own_stream(config, epoch, false, "loss report"));
    failover::find_losses(report, stream, half.registry());
    return report;
}

json summary_of(const failover::LossReport& report) {
    json losses = json::array();
    for (const failover::Loss& loss : report.losses) {
        if (loss.kind != failover::Loss::Kind::SetAside && losses.size() < most_named) {
            losses.push_back(json::parse(failover::to_json(loss)));
        }
    }
    const auto since = report.unknown_since();
    const double seconds = since ? std::chrono::duration<double>(report.at - *since).count() : 0.0;
    return {{"known_lost", report.known - report.set_aside},
            {"losses", losses},
            {"not_applied_yet", report.set_aside},
            {"unknown_since_us", time_of(since)},
            {"unknown_seconds", since ? json(std::max(0.0, seconds)) : json()}};
}

ExpectedLoss::ExpectedLoss(const Config& config, const SecondaryHalf& half, uint64_t epoch,
                           std::string primary, const Clock& clock)
    : config_(config),
      half_(half),
      epoch_(epoch),
      primary_(std::move(primary)),
      clock_(clock),
      looking_(clock, counts_for) {}

std::string ExpectedLoss::look() const {
    const failover::LossReport report =
        find_expected_loss(config_, half_, epoch_, primary_, clock_);
    json answer = {{"schema", "antipode.expected-loss/1"},
                   {"site", config_.site},
                   {"primary", primary_},
                   {"epoch", epoch_},
                   {"at_us", to_microseconds(report.at)},
                   {"last_marker_us", time_of(report.last_marker)},
                   {"last_event_us", time_of(report.last_event)}};
    answer.update(summary_of(report));
    return answer.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

std::optional<std::string> ExpectedLoss::answer() {
    const SteadyTime end = clock_.steady_now() + longest_answer;
    while (true) {
        {
            const std::scoped_lock lock(mutex_);
            auto found = looking_.poll("", [this](const std::stop_token&) { return look(); });
            if (found || clock_.steady_now() >= end) {
                return found;
            }
        }
        std::this_thread::sleep_for(look_interval);
    }
}

}  // namespace antipode
