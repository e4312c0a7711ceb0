#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "adapters/http/rate_limit.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"
#include "base/synchronized.hpp"
#include "protocol/antipode.pb.h"

namespace antipode {

/// Limits that operators change while the daemon runs, in whatever role. What they set counts at
/// once, lasts over restarts, in a file of the state directory, and goes before the configuration
/// until it is taken back. Thread-safe.
class RuntimeLimits {
  public:
    /// A file that cannot be understood is said and left alone: the configuration counts. Throws
    /// Error{Retry} when it cannot be read.
    RuntimeLimits(const Config::Tuning& tuning, std::filesystem::path file, const Clock& clock);

    /// Of all that this site pulls, and of all that it serves.
    const std::shared_ptr<http::RateLimit>& pulls() const { return pulls_; }
    const std::shared_ptr<http::RateLimit>& serves() const { return serves_; }
    uint64_t check_bytes_per_second() const { return value("check_bytes_per_second"); }
    unsigned pull_workers() const { return static_cast<unsigned>(value("pull_workers")); }

    static bool concerns(const v1::SiteRequest& request) {
        return request.action() == "set-limits";
    }
    /// All that is asked for, or, with a problem in the answer, nothing of it.
    v1::SiteAnswer fulfil(const v1::SiteRequest& request);

    /// By name: what counts, what the configuration says, who changed it when.
    nlohmann::json show() const;

  private:
    struct Change {
        uint64_t value = 0;
        std::string operator_name;
        TimePoint at;
    };
    struct Limit {
        uint64_t configured = 0;
        uint64_t least = 0;
        uint64_t most = 0;
        std::optional<Change> changed{};
        uint64_t value() const { return changed ? changed->value : configured; }
    };
    using Limits = std::map<std::string, Limit>;

    uint64_t value(const std::string& name) const;
    void read();
    void save(const Limits& limits) const;
    void use(const Limits& limits);
    static std::string objection(const Limits& limits, const v1::SiteRequest& request);

    const std::filesystem::path file_;
    const Clock& clock_;
    const std::shared_ptr<http::RateLimit> pulls_;
    const std::shared_ptr<http::RateLimit> serves_;
    Synchronized<Limits> limits_;
};

}  // namespace antipode
