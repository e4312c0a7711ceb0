#pragma once

#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "adapters/http/server.hpp"
#include "base/ids.hpp"
#include "base/item_query.hpp"

namespace antipode {

/// What a site in its present role says of the items asked for.
using AskItems = std::function<nlohmann::json(const StoreId& store, const ItemQuery& query)>;

/// Answers GET /v1/items?store=S[&item=][&prefix=][&only=failed|differing][&after=TOKEN][&most=N].
/// `ask`: empty while the site has no role. `known`: this site's stores.
http::HttpResponse answer_items(const http::HttpRequest& request, const std::string& site,
                                const std::vector<StoreId>& known, const AskItems& ask);

}  // namespace antipode
