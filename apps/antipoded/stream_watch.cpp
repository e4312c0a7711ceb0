#include "apps/antipoded/stream_watch.hpp"

#include <nlohmann/json.hpp>

#include "apps/antipoded/endpoints.hpp"
#include "base/error.hpp"

namespace antipode {
namespace {

constexpr std::chrono::milliseconds interval(3000);
/// Until it is known.
constexpr std::chrono::milliseconds first_interval(500);

}  // namespace

StreamWatch::StreamWatch(const Config& config, uint64_t epoch)
    : max_bytes_(config.nats.stream_max_bytes),
      stream_(stream_of(config, config.site, epoch, "stream watch")) {}

void StreamWatch::run(const std::stop_token& stop, Worker::Progress progress) {
    std::optional<Stream::Info> info;
    do {
        info.reset();
        try {
            info = stream_.info();
        } catch (const Error&) {
            // Whoever needs the stream says what is wrong with it.
        }
        info_.with([&](auto& known) { known = info; });
        progress.healthy();
    } while (!sleep_unless_stopped(info ? interval : first_interval, stop));
}

nlohmann::json StreamWatch::show() const {
    const auto info = info_.copy();
    return info ? nlohmann::json{{"messages", info->messages},
                                 {"bytes", info->bytes},
                                 {"max_bytes", max_bytes_}}
                : nlohmann::json();
}

}  // namespace antipode
