#include "apps/antipoded/site_requests.hpp"

#include <chrono>

#include "base/error.hpp"
#include "protocol/message.hpp"

namespace antipode {
namespace {

/// Nobody waits any more for the answer to an older one.
constexpr std::chrono::minutes oldest_request(5);
/// The server tells at once; what it did not tell is seen then.
constexpr std::chrono::seconds look_interval(2);

v1::SiteAnswer refusal(std::string problem, std::string next_step) {
    v1::SiteAnswer answer;
    answer.set_problem(std::move(problem));
    answer.set_next_step(std::move(next_step));
    return answer;
}

}  // namespace

SiteRequests::SiteRequests(std::string site, std::unique_ptr<KeyValue> bucket, Fulfil fulfil,
                           const Clock& clock)
    : site_(std::move(site)),
      bucket_(std::move(bucket)),
      fulfil_(std::move(fulfil)),
      clock_(clock) {
    bucket_->listen(protocol::request_key(site_), [this] { wake(); });
}

bool SiteRequests::wait(const std::stop_token& stop) {
    asked_.wait(look_interval, stop);
    return stop.stop_requested();
}

void SiteRequests::step() {
    const auto entry = bucket_->get(protocol::request_key(site_));
    if (!entry) {
        return;
    }
    v1::SiteRequest request;
    v1::SiteAnswer answer;
    if (request.ParseFromString(entry->value) && !request.id().empty() &&
        request.id() == last_.id()) {
        answer = last_;
    } else if (!request.ParseFromString(entry->value)) {
        answer = refusal("the request cannot be decoded",
                         "compare the versions of Antipode (antipode version)");
    } else if (clock_.now() - from_microseconds(request.at_us()) > oldest_request) {
        answer = refusal("the request is too old: it waited while the daemon was away", {});
    } else {
        answer = fulfil_(request);
    }
    answer.set_id(request.id());
    last_ = answer;
    // A request that is gone before it is answered would be none.
    bucket_->put(protocol::answer_key(site_), answer.SerializeAsString());
    bucket_->remove(protocol::request_key(site_));
}

v1::SiteAnswer SiteRequests::unknown_action(const v1::SiteRequest& request) {
    return refusal("the daemon does not know what \"" + printable(request.action()) +
                       "\" means in its present role",
                   "antipode status; compare the versions of Antipode (antipode version)");
}

v1::SiteAnswer SiteRequests::unknown_store(const v1::SiteRequest& request) {
    return refusal("this site has no store of items " + printable(request.store()),
                   "antipode status");
}

}  // namespace antipode
