/// Large content between secondaries: what this one has is served to a site that is promoted, and
/// when it is promoted itself it asks the others.
#include <algorithm>

#include "apps/antipoded/endpoints.hpp"
#include "apps/antipoded/held_contents.hpp"
#include "apps/antipoded/secondary_half.hpp"

namespace antipode {
namespace {

/// To another site, which need not be there.
constexpr std::chrono::seconds connecting_time(3);

}  // namespace

http::HttpBulkSource::Options place_of(const Config& config, const std::string& site,
                                       const RuntimeLimits& limits) {
    return {.url = url_of(config, site),
            .token = read_token(config),
            .limit = limits.pulls(),
            .connect_timeout = connecting_time};
}

std::vector<http::HttpBulkSource::Options> other_places(const Config& config,
                                                        const Upstream& upstream,
                                                        const RuntimeLimits& limits) {
    std::vector<http::HttpBulkSource::Options> others;
    for (const Config::Site& site : config.sites) {
        if (site.name != config.site && site.name != upstream.primary) {
            const auto place = site.name == upstream.stream_of ? others.begin() : others.end();
            others.insert(place, place_of(config, site.name, limits));
        }
    }
    return others;
}

SecondaryHalf::~SecondaryHalf() {
    for (const Config::Blobs& store : config_.blobs) {
        server_.bulk({StoreKind::Blobs, store.name}, nullptr);
    }
    stores_.interrupt();
}

/// To a site that is promoted while the primary is gone. A request may outlast this half.
void SecondaryHalf::serve_held() {
    const auto registry =
        std::make_shared<const secondary::Registry>(config_.state_dir / "registry.db", clock_);
    for (const Config::Blobs& store : config_.blobs) {
        if (!store.bucket) {
            server_.bulk({StoreKind::Blobs, store.name},
                         std::make_shared<HeldContents>(store, registry));
        }
    }
}

void SecondaryHalf::pull_from_all() {
    if (pull_places_.ask_others() && pull_places_.asks_others()) {
        pulls_.try_anew();
    }
}

uint64_t SecondaryHalf::to_pull() const {
    uint64_t bytes = pulls_.missing().second;
    for (const auto& [store, pull] : pulls_.running()) {
        bytes -= std::min(bytes, pull.bytes);
    }
    return bytes;
}

}  // namespace antipode
