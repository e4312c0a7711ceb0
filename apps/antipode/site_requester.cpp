#include "apps/antipode/site_requester.hpp"

#include "apps/antipode/exit_code.hpp"
#include "apps/antipode/format.hpp"
#include "base/error.hpp"
#include "protocol/message.hpp"

namespace antipode::cli {
namespace {

using SteadyClock = std::chrono::steady_clock;

/// A daemon looks for requests twice a second.
constexpr std::chrono::seconds answer_within(15);

/// What waits in the bucket is another operator's, or was left there by a daemon that is down.
[[noreturn]] void daemon_is_silent(const std::string& site) {
    throw CommandError(ExitCode::Unreachable,
                       "the daemon of " + site + " does not take requests; nothing was done",
                       "antipode status " + site);
}

}  // namespace

std::vector<StoreId> find_stores(const Config& config, const std::optional<std::string>& wanted) {
    std::vector<StoreId> stores;
    std::string known;
    for (const StoreId& store : config.stores()) {
        known += (known.empty() ? "" : ", ") + store.to_string();
        if (!wanted || store.to_string() == *wanted || store.name == *wanted) {
            stores.push_back(store);
        }
    }
    if (wanted && stores.size() != 1) {
        throw CommandError(
            ExitCode::Usage,
            std::string(stores.empty() ? "there is no store \"" : "there are several stores \"") +
                harmless(*wanted) + "\" among " + known,
            "name one of them");
    }
    return stores;
}

SiteRequester::SiteRequester(const Config::Site& site, const OpenBucket& open, const Clock& clock,
                             std::function<void()> pause)
    : site_(site.name), clock_(clock), pause_(std::move(pause)) {
    guarded([&] { bucket_ = open(site, false); });
}

template <typename Use>
void SiteRequester::guarded(Use use) const {
    try {
        use();
    } catch (const Error& error) {
        throw CommandError(ExitCode::Unreachable, error.what(), error.next_step());
    }
}

uint64_t SiteRequester::ask(v1::SiteRequest request) {
    request.set_id(std::to_string(to_microseconds(clock_.now())) + "-" + std::to_string(++number_));
    request.set_at_us(to_microseconds(clock_.now()));
    v1::SiteAnswer answer;
    guarded([&] {
        put(request);
        answer = wait_for(request.id());
    });
    if (!answer.problem().empty()) {
        throw CommandError(ExitCode::Failed, site_ + ": " + harmless(answer.problem()),
                           harmless(answer.next_step()));
    }
    return answer.items();
}

/// One at a time: another's is taken within a second.
void SiteRequester::put(const v1::SiteRequest& request) {
    const auto end = SteadyClock::now() + answer_within;
    while (!bucket_->update(protocol::request_key(site_), request.SerializeAsString(), 0)) {
        if (SteadyClock::now() > end) {
            daemon_is_silent(site_);
        }
        pause_();
    }
}

v1::SiteAnswer SiteRequester::wait_for(const std::string& id) {
    const auto end = SteadyClock::now() + answer_within;
    while (true) {
        v1::SiteAnswer answer;
        const auto entry = bucket_->get(protocol::answer_key(site_));
        if (entry && answer.ParseFromString(entry->value) && answer.id() == id) {
            return answer;
        }
        if (SteadyClock::now() > end) {
            take_back(id);
            daemon_is_silent(site_);
        }
        pause_();
    }
}

/// Unless it is another operator's by now.
void SiteRequester::take_back(const std::string& id) {
    v1::SiteRequest request;
    const auto entry = bucket_->get(protocol::request_key(site_));
    if (entry && request.ParseFromString(entry->value) && request.id() == id) {
        bucket_->remove(protocol::request_key(site_));
    }
}

}  // namespace antipode::cli
