#include "apps/antipoded/expected_loss.hpp"

#include "adapters/nats/jetstream.hpp"
#include "apps/antipoded/endpoints.hpp"

namespace antipode {

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

}  // namespace antipode
