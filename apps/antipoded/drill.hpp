#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>

#include <nlohmann/json.hpp>

#include "base/clock.hpp"
#include "base/config.hpp"
#include "protocol/antipode.pb.h"

namespace antipode {

class SecondaryHalf;

/// A rehearsal of a promotion of this secondary: does what the steps of one do, as far as that
/// changes nothing that is replicated and nothing on the primary, and measures it. Apply goes on
/// meanwhile. In a thread of its own; the destructor stops it. What it found is in kept_drills().
class Drill {
  public:
    /// Of `half`, which outlives it.
    Drill(const Config& config, const SecondaryHalf& half, uint64_t epoch, std::string primary,
          const Clock& clock);
    ~Drill();

    static bool concerns(const v1::SiteRequest& request) { return request.action() == "drill"; }
    /// Begins one, of the name that is the request's reason; items "commands": the site's commands
    /// are run, too. One thread.
    v1::SiteAnswer fulfil(const v1::SiteRequest& request);

  private:
    struct Found {
        std::string text;
        bool measured = true;  ///< false: a promotion does more in this step
    };
    using Step = std::function<Found()>;
    void run(const std::string& name, bool with_commands, const std::stop_token& stop);
    void take(const std::string& step, const std::stop_token& stop, const Step& what);
    void take_steps(bool with_commands, const std::stop_token& stop);
    void conclude();
    Found look();
    Found apply(const std::stop_token& stop);
    Found find_loss();
    Found write_records();
    Found make_slot(const Config::Database& store);
    Found copy_inventory(const std::stop_token& stop);
    Found look_at_hooks(const std::stop_token& stop);
    Found run_command(const char* key, const std::vector<std::string>& arguments,
                      bool with_commands, const std::stop_token& stop);

    const Config& config_;
    const SecondaryHalf& half_;
    const uint64_t epoch_;
    const std::string primary_;
    const Clock& clock_;
    nlohmann::json drill_;  ///< of the thread
    std::jthread thread_;   // last: ends before what it uses
};

}  // namespace antipode
