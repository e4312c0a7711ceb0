#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/antipode/sites.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::cli {

/// Stores that "blobs/uploads" or "uploads" means; all when nothing is wanted. Throws
/// CommandError{Usage} when it is not exactly one.
std::vector<StoreId> find_stores(const Config& config, const std::optional<std::string>& wanted);

/// Asks a secondary's daemon to do something, through the site's bucket.
class SiteRequester {
  public:
    /// `pause`: between looks for the answer.
    SiteRequester(const Config::Site& site, const OpenBucket& open, const Clock& clock,
                  std::function<void()> pause);

    /// Asks, and waits for the answer. Returns how many items it concerns. Throws CommandError:
    /// Unreachable when the daemon takes no requests (nothing was done), Failed when it refuses.
    uint64_t ask(v1::SiteRequest request);

  private:
    template <typename Use>
    void guarded(Use use) const;
    void put(const v1::SiteRequest& request);
    void take_back(const std::string& id);
    v1::SiteAnswer wait_for(const std::string& id);

    const std::string site_;
    const Clock& clock_;
    const std::function<void()> pause_;
    std::unique_ptr<KeyValue> bucket_;
    uint64_t number_ = 0;
};

}  // namespace antipode::cli
