#pragma once

#include <optional>

#include <nlohmann/json_fwd.hpp>

#include "adapters/nats/jetstream.hpp"
#include "base/config.hpp"
#include "base/growth.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"

namespace antipode {

/// How much this site's stream holds of what it may: on the primary, what a site that is away may
/// lack before it must compare; on a secondary, how much more it can take in while it applies
/// nothing; and how long that lasts, as fast as messages come in now. Unknown while the broker does
/// not answer, which others tell. run(): one thread; show(): any.
class StreamWatch {
  public:
    StreamWatch(const Config& config, uint64_t epoch, const Clock& clock);

    void run(const std::stop_token& stop, Worker::Progress progress);
    /// "stream" of /v1/status; null: not known.
    nlohmann::json show() const;

  private:
    struct Known {
        Stream::Info info;
        std::optional<double> bytes_per_second{};   ///< that come in
        std::optional<double> retention_seconds{};  ///< until it is full, were none taken out
    };
    Known take_in(const Stream::Info& info);

    const uint64_t max_bytes_;
    const Clock& clock_;
    nats::JetStream stream_;
    // run() only:
    Growth growth_;
    std::optional<Stream::Info> last_;
    double mean_bytes_ = 0;  ///< of a message
    double came_ = 0;        ///< bytes so far

    Synchronized<std::optional<Known>> known_;
};

}  // namespace antipode
