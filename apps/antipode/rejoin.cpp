#include "apps/antipode/rejoin.hpp"

#include <functional>
#include <set>

#include <nlohmann/json.hpp>

#include "apps/antipode/format.hpp"
#include "apps/antipode/loss_view.hpp"
#include "apps/antipode/standing.hpp"
#include "apps/antipode/status.hpp"
#include "base/error.hpp"
#include "failover/epoch.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;
using failover::State;

void say(const Output& output, const std::string& line) {
    if (!output.json()) {
        output.out << harmless(line) << "\n";
        output.out.flush();
    }
}

void print(const Output& output, const Json& json) {
    output.out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
}

/// Until `enough` says so; each change is printed.
class Watch {
  public:
    Watch(const Config& config, const Fetch& fetch, const Clock& clock, const Output& output,
          const ChangeOptions& options, const Config::Site& site)
        : config_(config),
          fetch_(fetch),
          clock_(clock),
          output_(output),
          options_(options),
          site_(site),
          end_(clock.steady_now() + options.patience) {}

    Standing until(const std::set<State>& enough) {
        return until([&](const Standing& now) { return enough.contains(*now.state); });
    }
    Standing until(const std::function<bool(const Standing& now)>& enough) {
        while (clock_.steady_now() < end_) {
            const Standing now = look();
            if (now.state && enough(now)) {
                return now;
            }
            options_.pause();
        }
        throw CommandError(ExitCode::TimedOut,
                           site_.name + " is not done yet" + (said_.empty() ? "" : ": " + said_),
                           next_step_.empty()
                               ? "antipode status " + site_.name + ", or the same command again"
                               : next_step_);
    }

  private:
    Standing look() {
        const Standing now = standing_of(config_, fetch_, site_);
        const std::string text = now.state
                                     ? std::string(failover::to_string(*now.state)) +
                                           (now.problem.empty() ? "" : " (" + now.problem + ")")
                                     : std::string(unknown);
        if (text != said_) {
            say(output_, site_.name + ": " + text);
            said_ = text;
            next_step_ = now.next_step;
        }
        return now;
    }

    const Config& config_;
    const Fetch& fetch_;
    const Clock& clock_;
    const Output& output_;
    const ChangeOptions& options_;
    const Config::Site& site_;
    const SteadyTime end_;
    std::string said_;
    std::string next_step_;  ///< the daemon's
};

void confirm(const Output& output, const ChangeOptions& options, const std::string& site,
             const std::string& what) {
    if (options.yes || options.confirmed == site) {
        return;
    }
    output.error << harmless(what) << ".\nType the name of the site that comes back, " << site
                 << ", to go on: ";
    output.error.flush();
    if (!options.read_line || options.read_line() != site) {
        throw CommandError(ExitCode::Usage, "not confirmed; nothing was changed",
                           "the same command with --confirm " + site + ", or --yes");
    }
}

void tell(const OpenBucket& open, const Config::Site& site, const char* key,
          const std::string& word) {
    try {
        open(site, false)->put(key, word);
    } catch (const Error& error) {
        throw CommandError(ExitCode::Unreachable,
                           "the nats-server of " + site.name + " does not answer: " + error.what(),
                           "start it, then the same command again");
    }
}

Json fetch_report(const Config& config, const Fetch& fetch, const Config::Site& site,
                  const std::string& which) {
    return report_of(get(fetch, daemon_of(config, site), "/v1/loss?" + which));
}

}  // namespace

ExitCode rejoin(const Config& config, const OpenBucket& open, const Fetch& fetch,
                const Clock& clock, const Output& output, const ChangeOptions& options) {
    const Config::Site& site = require_site(config, options.to.empty() ? config.site : options.to);
    const Standing begun = standing_of(config, fetch, site);
    if (!begun.state || !comes_back(*begun.state)) {
        throw CommandError(
            ExitCode::Failed,
            site.name + " is not fenced: it is " +
                (begun.state ? std::string(failover::to_string(*begun.state)) : "of no cluster"),
            "antipode status " + site.name);
    }
    Watch watch(config, fetch, clock, output, options, site);
    const std::set<State> kept = {State::Quarantined, State::Rewinding, State::Following};
    Standing now = watch.until([&](const Standing& seen) {
        return kept.contains(*seen.state) ||
               (options.without_unreadable && !options.dry_run && !seen.unreadable.empty());
    });
    if (!kept.contains(*now.state)) {
        confirm(output, options, site.name,
                now.problem +
                    ". They are given up: they are replaced by what its primary has, or "
                    "removed");
        tell(open, site, failover::without_unreadable_key,
             std::to_string(now.epoch) + " " + now.unreadable);
        now = watch.until(kept);
    }
    const std::string began = "epoch=" + std::to_string(now.epoch);
    if (options.dry_run) {
        const Json loss = fetch_report(config, fetch, site, began);
        if (output.json()) {
            print(output, loss);
        } else {
            output.out << render_loss(loss);
        }
        return ExitCode::Ok;
    }
    if (now.state == State::Quarantined) {
        confirm(output, options, site.name,
                now.problem + ". It is kept in quarantine; behind this, " + site.name +
                    " has what its primary has");
        tell(open, site, failover::rejoin_key, std::to_string(now.epoch));
        now = watch.until({State::Following});
    } else if (now.state == State::Rewinding) {
        now = watch.until({State::Following});
    }
    const Json report = fetch_report(config, fetch, site, began);
    if (output.json()) {
        print(output, {{"schema", "antipode.rejoin/1"},
                       {"site", site.name},
                       {"operation", report.value("operation", now.operation)},
                       {"epoch", now.epoch},
                       {"loss", report}});
        return ExitCode::Ok;
    }
    say(output, site.name + " follows epoch " + std::to_string(now.epoch) +
                    "; what differs is compared and transferred now: antipode status " + site.name);
    output.out << render_loss(report);
    return ExitCode::Ok;
}

ExitCode show_loss(const Config& config, const Fetch& fetch, const Output& output,
                   const std::string& operation, const std::optional<std::string>& site) {
    const Json report = fetch_report(
        config, fetch, require_site(config, site.value_or(config.site)), "operation=" + operation);
    if (output.json()) {
        print(output, report);
    } else {
        output.out << render_loss(report);
    }
    return ExitCode::Ok;
}

}  // namespace antipode::cli
