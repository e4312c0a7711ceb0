#include "apps/antipoded/status_feed.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include <nlohmann/json.hpp>

#include "apps/antipoded/json.hpp"
#include "base/worker.hpp"

namespace antipode {
namespace {

/// What a person reads as a word, in a site, store, exception or worker.
constexpr std::array words = {"site",      "role",  "state", "reason", "next_step",
                              "store",     "item",  "kind",  "class",  "name",
                              "healthy",   "tries", "epoch", "parked", "recovery_point_reason",
                              "mismatches"};

nlohmann::json only_words(const nlohmann::json& value) {
    nlohmann::json kept = nlohmann::json::object();
    for (const auto& [key, member] : value.items()) {
        if (member.is_array()) {
            for (const auto& row : member) {
                kept[key].push_back(only_words(row));
            }
        } else if (std::find(words.begin(), words.end(), key) != words.end()) {
            kept[key] = member;
        } else if (key == "recovery_point_us") {
            kept[key] = member.is_null();
        }
    }
    return kept;
}

std::string event_of(const std::string& kind, const std::string& data, const std::string& id = {}) {
    return "event: " + kind + "\n" + (id.empty() ? "" : "id: " + id + "\n") + "data: " + data +
           "\n\n";
}

}  // namespace

/// One page that watches; used by its connection's thread.
class StatusFeed::Watcher {
  public:
    Watcher(StatusFeed& feed, std::string resume) : feed_(feed), resume_(std::move(resume)) {}

    std::string next(const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            const auto look = feed_.look();
            if (!said_ || look->words != said_->words || look->at >= said_->at + say_every) {
                said_ = look;
                return event_of("status", look->text) + events(*look);
            }
            sleep_unless_stopped(look_every, stop);
        }
        return {};
    }

  private:
    /// The events since the last time; an id says where to resume in this run of the daemon.
    std::string events(const Look& look) {
        const std::string prefix = look.run + ".";
        if (run_ != look.run) {
            run_ = look.run;
            after_ = 0;
            if (resume_.starts_with(prefix)) {
                const char* const end = resume_.data() + resume_.size();
                std::from_chars(resume_.data() + prefix.size(), end, after_);
            }
        }
        std::string text;
        for (const nlohmann::json& event : feed_.events_(after_, events_at_once)) {
            after_ = event["sequence"].get<uint64_t>();
            text += event_of("seen", dump(event), prefix + std::to_string(after_));
        }
        return text;
    }

    StatusFeed& feed_;
    const std::string resume_;
    std::string run_;
    uint64_t after_ = 0;
    std::shared_ptr<const Look> said_;
};

StatusFeed::StatusFeed(Status status, Events events, const Clock& clock)
    : status_(std::move(status)), events_(std::move(events)), clock_(clock) {}

http::HttpServer::Feed StatusFeed::open(const http::HttpRequest& request) {
    const auto resume = request.headers.find("last-event-id");
    const auto watcher = std::make_shared<Watcher>(
        *this, resume == request.headers.end() ? std::string() : resume->second);
    return [watcher](const std::stop_token& stop) { return watcher->next(stop); };
}

std::string StatusFeed::words_of(const nlohmann::json& status) {
    return dump(only_words(status));
}

std::shared_ptr<const StatusFeed::Look> StatusFeed::look() {
    const std::scoped_lock lock(mutex_);
    const SteadyTime now = clock_.steady_now();
    if (!last_ || now >= last_->at + look_every) {
        const nlohmann::json status = status_();
        last_ = std::make_shared<const Look>(
            Look{dump(status["started_us"]) + "." + dump(status["epoch"]), dump(status),
                 words_of(status), now});
    }
    return last_;
}

}  // namespace antipode
