#include "apps/antipoded/primary_requests.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "apps/antipoded/site_requests.hpp"
#include "base/error.hpp"
#include "base/words.hpp"

namespace antipode {

v1::SiteAnswer PrimaryRequests::fulfil(const v1::SiteRequest& request) {
    using Decision = primary::Inventory::Decision;
    const bool release = request.action() == "release-deletions";
    if (!release && request.action() != "discard-deletions") {
        return SiteRequests::unknown_action(request);
    }
    const auto store = StoreId::parse(request.store());
    if (!store || store->kind == StoreKind::Database ||
        std::find(stores_.begin(), stores_.end(), *store) == stores_.end()) {
        return SiteRequests::unknown_store(request);
    }
    v1::SiteAnswer answer;
    const uint64_t concerned = publisher_.deletions_to_decide(*store, release);
    if (concerned > request.at_most()) {
        answer.set_problem("by now it would concern " +
                           counted(concerned, "deletion", "deletions") + ", and " +
                           std::to_string(request.at_most()) + " were confirmed");
        answer.set_next_step("antipode deletions");
        return answer;
    }
    answer.set_items(
        publisher_.decide_deletions(*store, release ? Decision::Released : Decision::Discarded));
    spdlog::warn("{}: {} {} by {}", store->to_string(),
                 counted(answer.items(), "deletion is", "deletions are"),
                 release ? "released" : "discarded", printable(request.operator_name()));
    return answer;
}

}  // namespace antipode
