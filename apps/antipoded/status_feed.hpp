#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "adapters/http/server.hpp"
#include "base/clock.hpp"

namespace antipode {

/// /v1/watch: what the status page listens to, as server-sent events.
///
///     event: status     data: what /v1/status answers
///     event: seen       data: one event of /v1/events; its id resumes after it
///
/// A watcher gets the status at once, then within `look_every` of a change of its words, and every
/// `say_every` even without one, so that silence means that the feed is lost. However many watch,
/// the status is made at most once in `look_every`. Thread-safe.
class StatusFeed {
  public:
    using Status = std::function<nlohmann::json()>;
    /// The newest events behind a sequence, oldest first, each with its "sequence".
    using Events = std::function<std::vector<nlohmann::json>(uint64_t after, size_t most)>;

    static constexpr std::chrono::milliseconds look_every{250};
    static constexpr std::chrono::milliseconds say_every{1000};
    static constexpr size_t events_at_once = 50;

    StatusFeed(Status status, Events events, const Clock& clock);

    http::HttpServer::Feed open(const http::HttpRequest& request);

    /// What in a status is worth an update at once: everything but clocks, lags and counts.
    static std::string words_of(const nlohmann::json& status);

  private:
    struct Look {
        std::string run;    ///< of the daemon in its role: sequences begin again with it
        std::string text;   ///< the status
        std::string words;  ///< words_of() it
        SteadyTime at;
    };
    class Watcher;

    std::shared_ptr<const Look> look();

    const Status status_;
    const Events events_;
    const Clock& clock_;
    std::mutex mutex_;
    std::shared_ptr<const Look> last_;  ///< under mutex_
};

}  // namespace antipode
