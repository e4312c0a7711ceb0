#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "apps/antipode/daemon.hpp"
#include "apps/antipode/output.hpp"

/// The daemon's recent events: GET /v1/events?after=N&wait=S answers JSON lines, each with
/// "sequence" (greater than N, growing), "at_us", "kind", "store", "item", "position" and "text".
/// It may wait up to S seconds for the first one, and answers a page at most.
namespace antipode::cli {

struct TailOptions {
    std::optional<uint64_t> after;  ///< nullopt: begin with the newest `lines`
    size_t lines = 20;
    bool follow = true;  ///< false: end when there is nothing more
    /// Between two questions that brought nothing.
    std::function<void()> pause = [] {};
    std::function<bool()> stopped = [] { return false; };
};

/// `antipode events tail`: a line per event.
ExitCode tail_events(const Config& config, const Fetch& fetch, const Output& output,
                     const TailOptions& options);

/// `antipode events show SEQUENCE`: everything that is known of one event.
ExitCode show_event(const Config& config, const Fetch& fetch, const Output& output,
                    uint64_t sequence);

}  // namespace antipode::cli
