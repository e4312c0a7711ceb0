#pragma once

#include <vector>

#include "base/ids.hpp"
#include "primary/publisher.hpp"
#include "protocol/antipode.pb.h"

namespace antipode {

/// What operators may ask of a primary: to release or discard deletions that are held. One thread.
class PrimaryRequests {
  public:
    PrimaryRequests(std::vector<StoreId> stores, primary::Publisher& publisher)
        : stores_(std::move(stores)), publisher_(publisher) {}

    v1::SiteAnswer fulfil(const v1::SiteRequest& request);

  private:
    const std::vector<StoreId> stores_;
    primary::Publisher& publisher_;
};

}  // namespace antipode
