#include "apps/antipoded/secondary_requests.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "apps/antipoded/site_requests.hpp"
#include "base/error.hpp"
#include "base/words.hpp"

namespace antipode {

SecondaryRequests::SecondaryRequests(std::vector<StoreId> stores, secondary::Registry& registry,
                                     Pauses& pauses, WhyNoItem why_no_item, const Clock& clock)
    : stores_(std::move(stores)),
      registry_(registry),
      pauses_(pauses),
      why_no_item_(std::move(why_no_item)),
      clock_(clock) {}

v1::SiteAnswer SecondaryRequests::fulfil(const v1::SiteRequest& request) {
    v1::SiteAnswer answer;
    const auto store = StoreId::parse(request.store());
    const bool here = store && std::find(stores_.begin(), stores_.end(), *store) != stores_.end();
    if (here && fulfil_pause(*store, request)) {
        return answer;
    }
    if (!here || store->kind == StoreKind::Database) {
        return SiteRequests::unknown_store(request);
    }
    if (request.action() == "look") {
        answer.set_items(look(*store, request));
    } else if (request.action() == "fetch") {
        fetch(*store, request, answer);
    } else if (request.action() == "fetch-failed") {
        answer.set_items(registry_.try_now(*store, clock_.now()));
    } else if (request.action() == "fetch-all") {
        answer.set_items(fetch_all(*store));
    } else {
        return SiteRequests::unknown_action(request);
    }
    spdlog::info("{}: an operator asks for \"{}\" of {}", store->to_string(), request.action(),
                 counted(answer.items(), "item", "items"));
    return answer;
}

/// False: the request is another one.
bool SecondaryRequests::fulfil_pause(const StoreId& store, const v1::SiteRequest& request) {
    if (request.action() == "pause") {
        pauses_.pause(store, {clock_.now(), from_microseconds(request.until_us()),
                              request.operator_name(), request.reason()});
        spdlog::warn(
            "{}: paused by {} until {}: {}", store.to_string(), printable(request.operator_name()),
            to_iso8601(from_microseconds(request.until_us())), printable(request.reason()));
        return true;
    }
    if (request.action() == "resume") {
        pauses_.resume(store);
        spdlog::info("{}: resumed", store.to_string());
        return true;
    }
    return false;
}

uint64_t SecondaryRequests::look(const StoreId& store, const v1::SiteRequest& request) {
    if (request.items().empty()) {
        return registry_.ask_for_look(store);
    }
    uint64_t count = 0;
    for (const std::string& item : request.items()) {
        count += registry_.ask_for_look(store, item);
    }
    return count;
}

/// Items that are not known here may be on the primary.
void SecondaryRequests::fetch(const StoreId& store, const v1::SiteRequest& request,
                              v1::SiteAnswer& answer) {
    const TimePoint now = clock_.now();
    for (const std::string& item : request.items()) {
        const std::string objection = why_no_item_(store, item);
        if (!objection.empty()) {
            answer.set_problem(printable(item) + " is no item of " + store.to_string() + ": " +
                               objection);
            answer.set_next_step("name it as below the root: dir/file, group/name.git");
            return;
        }
    }
    for (const std::string& item : request.items()) {
        const auto state = registry_.find(store, item);
        registry_.ask_for_look(store, item);
        registry_.add_exception(
            {.store = store,
             .item = item,
             .kind = secondary::ExceptionKind::Parked,
             .failure = secondary::FailureClass::Transient,
             .reason = "an operator has it sent again",
             .next_step = {},
             .position = state ? state->position : registry_.lane(store).finished,
             .since = now,
             .tries = 0,
             .next_try = now});
        registry_.try_now(store, now, item);
    }
    answer.set_items(static_cast<uint64_t>(request.items_size()));
}

uint64_t SecondaryRequests::fetch_all(const StoreId& store) {
    const uint64_t count = registry_.count(store);
    registry_.compare_anew(store, clock_.now());
    return count;
}

}  // namespace antipode
