#include "apps/antipoded/lease_keeper.hpp"

#include <nlohmann/json.hpp>

#include "adapters/nats/key_value.hpp"
#include "apps/antipoded/endpoints.hpp"
#include "base/address.hpp"
#include "protocol/message.hpp"

namespace antipode {
namespace {

using failover::LeaseWish;

/// How soon a thread sees that something else is wanted of it.
constexpr std::chrono::milliseconds step_interval(100);
constexpr std::chrono::milliseconds tick_interval(500);

failover::Lease::Options options_of(const Config& config) {
    failover::Lease::Options options;
    options.cluster = config.cluster;
    options.site = config.site;
    for (const Config::Site& site : config.sites) {
        if (site.name != config.site) {
            options.others.push_back(site.name);
        }
    }
    options.witness = without_user(config.witness->nats);
    options.state_dir = config.state_dir;
    return options;
}

failover::Lease::OpenBucket buckets_of(const Config& config) {
    return [&config](const std::string& site) {
        const bool witness = site.empty();
        const nats::Endpoint endpoint =
            witness ? witness_endpoint(config, "lease") : endpoint_of(config, site, "lease");
        return std::make_unique<nats::Bucket>(endpoint, protocol::bucket_name(config.cluster),
                                              witness || site == config.site);
    };
}

nlohmann::json seconds_or_null(const std::optional<std::chrono::milliseconds>& time) {
    return time ? nlohmann::json(std::chrono::duration<double>(*time).count()) : nlohmann::json();
}

bool is_closed(const failover::FencerFile& fencer) {
    return fencer.state == "closed" && fencer.problem.empty();
}

nlohmann::json show_place(const failover::LeaseStatus::Place& place) {
    nlohmann::json row = {{"place", place.name},
                          {"site", nullptr},
                          {"holder", nullptr},
                          {"epoch", nullptr},
                          {"remaining_seconds", seconds_or_null(place.remaining)},
                          {"problem", place.problem},
                          {"next_step", place.next_step}};
    if (!place.site.empty()) {
        row["site"] = place.site;
    }
    if (place.record) {
        row["holder"] = place.record->holder();
        row["epoch"] = place.record->epoch();
    }
    return row;
}

}  // namespace

std::unique_ptr<LeaseKeeper> LeaseKeeper::make(const Config& config, const Clock& clock) {
    return config.witness ? std::make_unique<LeaseKeeper>(config, clock) : nullptr;
}

LeaseKeeper::LeaseKeeper(const Config& config, const Clock& clock)
    : site_(config.site),
      state_dir_(config.state_dir),
      lease_(options_of(config), buckets_of(config), clock),
      guard_(config, clock),
      workers_(clock) {}

void LeaseKeeper::start() {
    for (size_t place = 0; place < lease_.places(); ++place) {
        workers_.loop(lease_.name_of_step(place), [this, place](const std::stop_token& stop) {
            lease_.step(place);
            sleep_unless_stopped(step_interval, stop);
        });
    }
    workers_.loop("lease", [this](const std::stop_token& stop) {
        lease_.tick();
        sleep_unless_stopped(tick_interval, stop);
    });
    workers_.loop("lease guard", [this](const std::stop_token& stop) {
        guard_.step();
        sleep_unless_stopped(tick_interval, stop);
    });
}

void LeaseKeeper::follow(const failover::Conductor& conductor,
                         const std::optional<failover::Epoch>& record,
                         const std::optional<failover::JournalEntry>& last) {
    if (conductor.state() && record) {
        return lease_.want(
            failover::wish_of(site_, *conductor.state(), conductor.epoch(), record->record));
    }
    if (conductor.state() || !last || last->state != failover::State::Serving) {
        return;
    }
    const auto known = failover::EpochJournal(state_dir_ / "epoch").last();
    if (known && known->epoch() == last->epoch) {
        lease_.want(failover::wish_of(site_, last->state, last->epoch, *known));
    }
}

nlohmann::json LeaseKeeper::show() const {
    const failover::LeaseStatus seen = lease_.status();
    const bool primary = seen.wish.kind == LeaseWish::Kind::Hold;
    nlohmann::json shown = {{"holds", nullptr},
                            {"remaining_seconds", seconds_or_null(seen.remaining)},
                            {"at_witness", nullptr},
                            {"at_sites", nullptr},
                            {"fencer",
                             {{"runs", !seen.fencer.state.empty()},
                              {"state", seen.fencer.state},
                              {"problem", seen.fencer.problem}}},
                            {"closed", is_closed(seen.fencer) || guard_.has_closed()},
                            {"wait_seconds", seconds_or_null(seen.wait)},
                            {"obstacle", seen.obstacle},
                            {"obstacle_next_step", seen.obstacle_step},
                            {"problem", seen.problem},
                            {"next_step", seen.next_step},
                            {"places", nlohmann::json::array()}};
    if (primary) {
        shown["holds"] = seen.holds;
        shown["at_witness"] = seen.at_witness;
        shown["at_sites"] = seen.at_sites;
    }
    for (const auto& place : seen.places) {
        shown["places"].push_back(show_place(place));
    }
    return shown;
}

}  // namespace antipode
