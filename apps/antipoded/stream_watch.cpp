#include "apps/antipoded/stream_watch.hpp"

#include <nlohmann/json.hpp>

#include "apps/antipoded/endpoints.hpp"
#include "apps/antipoded/json.hpp"
#include "base/error.hpp"

namespace antipode {
namespace {

constexpr std::chrono::milliseconds interval(3000);
/// Until it is known.
constexpr std::chrono::milliseconds first_interval(500);

}  // namespace

StreamWatch::StreamWatch(const Config& config, uint64_t epoch, const Clock& clock)
    : max_bytes_(config.nats.stream_max_bytes),
      clock_(clock),
      stream_(stream_of(config, config.site, epoch, "stream watch")) {}

void StreamWatch::run(const std::stop_token& stop, Worker::Progress progress) {
    std::optional<Known> known;
    do {
        known.reset();
        try {
            known = take_in(stream_.info());
        } catch (const Error&) {
            // Whoever needs the stream says what is wrong with it.
        }
        known_.with([&](auto& shown) { shown = known; });
        progress.healthy();
    } while (!sleep_unless_stopped(known ? interval : first_interval, stop));
}

/// What is applied everywhere is taken out all the time, so that its size says little of what came:
/// that is by the number of messages, and what those weigh that are still there.
StreamWatch::Known StreamWatch::take_in(const Stream::Info& info) {
    if (info.messages > 0) {
        mean_bytes_ = static_cast<double>(info.bytes) / static_cast<double>(info.messages);
    }
    if (last_ && info.last_sequence >= last_->last_sequence) {
        came_ += static_cast<double>(info.last_sequence - last_->last_sequence) * mean_bytes_;
    }
    last_ = info;
    growth_.note(clock_.steady_now(), came_);
    const auto room = static_cast<double>(max_bytes_) - static_cast<double>(info.bytes);
    return {info, growth_.per_second(), growth_.seconds_for(room)};
}

nlohmann::json StreamWatch::show() const {
    const auto known = known_.copy();
    return known ? nlohmann::json{{"messages", known->info.messages},
                                  {"bytes", known->info.bytes},
                                  {"max_bytes", max_bytes_},
                                  {"bytes_per_second", or_null(known->bytes_per_second)},
                                  {"retention_seconds", or_null(known->retention_seconds)}}
                 : nlohmann::json();
}

}  // namespace antipode
