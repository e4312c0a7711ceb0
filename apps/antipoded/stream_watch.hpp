#pragma once

#include <optional>

#include <nlohmann/json_fwd.hpp>

#include "adapters/nats/jetstream.hpp"
#include "base/config.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"

namespace antipode {

/// How much this site's stream holds of what it may: on the primary, what a site that is away may
/// lack before it must compare; on a secondary, how much more it can take in while it applies
/// nothing. Unknown while the broker does not answer, which others tell. run(): one thread; show():
/// any.
class StreamWatch {
  public:
    StreamWatch(const Config& config, uint64_t epoch);

    void run(const std::stop_token& stop, Worker::Progress progress);
    /// "stream" of /v1/status; null: not known.
    nlohmann::json show() const;

  private:
    const uint64_t max_bytes_;
    nats::JetStream stream_;
    Synchronized<std::optional<Stream::Info>> info_;
};

}  // namespace antipode
