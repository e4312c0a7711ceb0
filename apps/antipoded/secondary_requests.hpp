#pragma once

#include <functional>
#include <string>
#include <vector>

#include "apps/antipoded/pauses.hpp"
#include "base/clock.hpp"
#include "base/ids.hpp"
#include "protocol/antipode.pb.h"
#include "secondary/registry.hpp"

namespace antipode {

/// What operators may ask of a secondary: reading items' content again, having items sent again,
/// pauses. One thread.
class SecondaryRequests {
  public:
    /// Why there cannot be such an item in the store; empty: there can.
    using WhyNoItem = std::function<std::string(const StoreId& store, const std::string& item)>;
    SecondaryRequests(std::vector<StoreId> stores, secondary::Registry& registry, Pauses& pauses,
                      WhyNoItem why_no_item, const Clock& clock);

    v1::SiteAnswer fulfil(const v1::SiteRequest& request);

  private:
    bool fulfil_pause(const StoreId& store, const v1::SiteRequest& request);
    uint64_t look(const StoreId& store, const v1::SiteRequest& request);
    void fetch(const StoreId& store, const v1::SiteRequest& request, v1::SiteAnswer& answer);
    uint64_t fetch_all(const StoreId& store);

    const std::vector<StoreId> stores_;
    secondary::Registry& registry_;
    Pauses& pauses_;
    const WhyNoItem why_no_item_;
    const Clock& clock_;
};

}  // namespace antipode
