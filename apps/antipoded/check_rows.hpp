#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/ids.hpp"
#include "protocol/antipode.pb.h"

/// What a secondary's checks found, as its report carries it to the other sites.
namespace antipode {

/// "checks" of the site in /v1/status, a row for each store, from what a secondary shows of itself.
nlohmann::json check_rows(const nlohmann::json& status);

/// Notices in other sites' reports that a database was compared, or that what is known of it has
/// changed. A site's first report is no news: it may be old. One thread at a time.
class CheckNews {
  public:
    struct News {
        StoreId store;
        std::string text;
    };
    std::vector<News> hear(const std::vector<v1::SiteReport>& reports);

  private:
    std::map<std::pair<std::string, StoreId>, std::string> known_;  ///< by site; when and what
};

}  // namespace antipode
