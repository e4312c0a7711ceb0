#include "apps/antipoded/old_streams.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "adapters/nats/jetstream.hpp"
#include "apps/antipoded/cut.hpp"
#include "apps/antipoded/endpoints.hpp"
#include "base/error.hpp"
#include "failover/epoch.hpp"
#include "protocol/message.hpp"
#include "protocol/stream_search.hpp"

namespace antipode {
namespace {

/// How far a site's stream goes, if what comes behind `position` is there.
std::optional<Position> goes_on(const Config& config, const std::string& site, uint64_t epoch,
                                const Position& position) {
    try {
        nats::JetStream stream(stream_of(config, site, epoch, "search"));
        const Stream::Info info = stream.info();
        const auto newest = protocol::find_newest(stream, config.cluster, epoch, info);
        const auto place = protocol::find_behind(stream, config.cluster, epoch, position);
        const bool joins = place.last ? place.last->position == position : info.first_sequence <= 1;
        return newest && (joins || newest->position <= position) ? std::optional(newest->position)
                                                                 : std::nullopt;
    } catch (const Error& error) {
        spdlog::debug("stream of epoch {}: {} does not say: {}", epoch, site, error.what());
        return std::nullopt;
    }
}

}  // namespace

Position newest_of_own_stream(const Config& config, uint64_t epoch) {
    nats::JetStream stream(own_stream(config, epoch, false, "search"));
    const auto newest = protocol::find_newest(stream, config.cluster, epoch, stream.info());
    return newest ? newest->position : Position{};
}

std::string find_stream_to_finish(const Config& config, uint64_t epoch,
                                  const v1::EpochStart& ended) {
    const Position position = newest_of_own_stream(config, epoch);
    std::vector<std::string> sites = {ended.primary()};
    for (const Config::Site& site : config.sites) {
        const bool lost = site.name == ended.from() && !ended.fenced_by().empty();
        if (site.name != config.site && site.name != ended.primary() && !lost) {
            sites.push_back(site.name);
        }
    }
    const auto found = std::find_if(sites.begin(), sites.end(), [&](const std::string& site) {
        return goes_on(config, site, epoch, position).has_value();
    });
    return found == sites.end() ? ended.primary() : *found;
}

FurtherStream find_further_stream(const Config& config, uint64_t epoch, const std::string& except) {
    const Position position = newest_of_own_stream(config, epoch);
    FurtherStream furthest{{}, position};
    for (const Config::Site& site : config.sites) {
        if (site.name == config.site || site.name == except) {
            continue;
        }
        const auto newest = goes_on(config, site.name, epoch, position);
        if (newest && *newest > furthest.newest) {
            furthest = {site.name, *newest};
        }
    }
    return furthest;
}

bool all_are_in(const Config& config, uint64_t epoch, const std::vector<v1::SiteReport>& reports) {
    return std::all_of(config.sites.begin(), config.sites.end(), [&](const Config::Site& site) {
        return std::any_of(reports.begin(), reports.end(), [&](const v1::SiteReport& report) {
            return report.site() == site.name && report.epoch() == epoch &&
                   (report.role() == "primary" || report.role() == "secondary");
        });
    });
}

void OldStreams::look(uint64_t epoch, const std::vector<v1::SiteReport>& reports) {
    if (epoch <= done_) {
        return;
    }
    if (all_are_in(config_, epoch, reports)) {
        for (const uint64_t before : {epoch - 1, epoch - 2}) {  // see make_room()
            if (before > 0) {
                remove(config_, before);
            }
        }
        drop_cut(config_, epoch);
        done_ = epoch;
    }
}

void OldStreams::make_room(const Config& config, uint64_t epoch) {
    if (epoch > 2) {
        remove(config, epoch - 2);
    }
}

void OldStreams::make_room(const Config& config, const v1::EpochRecord& record) {
    const v1::EpochStart* const start = failover::start_of(record, record.epoch());
    const uint64_t last = start == nullptr ? 0 : failover::newest_epoch(start->cuts());
    make_room(config, std::min(record.epoch(), last + 1));
}

void OldStreams::remove(const Config& config, uint64_t epoch) {
    nats::remove_stream(own_endpoint(config, "old streams"),
                        protocol::stream_name(config.cluster, epoch));
}

}  // namespace antipode
