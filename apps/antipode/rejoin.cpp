#include "apps/antipode/rejoin.hpp"

#include <fstream>
#include <set>

#include <nlohmann/json.hpp>

#include "apps/antipode/format.hpp"
#include "apps/antipode/loss_view.hpp"
#include "apps/antipode/status.hpp"
#include "base/error.hpp"
#include "failover/durable.hpp"
#include "failover/epoch.hpp"
#include "failover/machine.hpp"

namespace antipode::cli {
namespace {

using Json = nlohmann::ordered_json;
using failover::State;

constexpr size_t losses_shown = 100;

/// What a site's daemon says of itself.
struct Standing {
    std::optional<State> state;
    uint64_t epoch = 0;
    std::string operation;
    std::string problem;
    std::string next_step;
};

Standing standing_of(const Config& config, const Fetch& fetch, const Config::Site& site) {
    Standing standing;
    const Json status =
        Json::parse(get(fetch, daemon_of(config, site), "/v1/status"), nullptr, false);
    if (!status.is_object() || !status.contains("failover")) {
        return standing;
    }
    const Json& change = status["failover"];
    standing.state = failover::parse_state(
        change["state"].is_string() ? change["state"].get<std::string>() : "");
    standing.epoch = change.value("epoch", uint64_t{0});
    standing.operation = change.value("operation", "");
    standing.problem = change.value("problem", "");
    standing.next_step = change.value("next_step", "");
    return standing;
}

void say(const Output& output, const std::string& line) {
    if (!output.json()) {
        output.out << harmless(line) << "\n";
        output.out.flush();
    }
}

void print(const Output& output, const Json& json) {
    output.out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
}

bool comes_back(State state) {
    return state == State::Fenced || state == State::Quarantining || state == State::Quarantined ||
           state == State::Rewinding;
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
        while (clock_.steady_now() < end_) {
            const Standing now = look();
            if (now.state && enough.contains(*now.state)) {
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
    output.error << harmless(what) << ". It is kept in quarantine; behind this, " << site
                 << " has what its primary has.\nType the name of the site that comes back, "
                 << site << ", to go on: ";
    output.error.flush();
    if (!options.read_line || options.read_line() != site) {
        throw CommandError(ExitCode::Usage, "not confirmed; nothing was changed",
                           "the same command with --confirm " + site + ", or --yes");
    }
}

void tell(const OpenBucket& open, const Config::Site& site, const char* key, uint64_t epoch) {
    try {
        open(site, false)->put(key, std::to_string(epoch));
    } catch (const Error& error) {
        throw CommandError(ExitCode::Unreachable,
                           "the nats-server of " + site.name + " does not answer: " + error.what(),
                           "start it, then the same command again");
    }
}

Json report_of(const std::string& text) {
    Json report = Json::parse(text, nullptr, false);
    return report.is_object() ? report : Json::object();
}

Json fetch_report(const Config& config, const Fetch& fetch, const Config::Site& site,
                  const std::string& operation) {
    return report_of(get(fetch, daemon_of(config, site), "/v1/loss?operation=" + operation));
}

std::filesystem::path quarantines_of(const Config& config) {
    return config.state_dir / "quarantine";
}

std::optional<std::string> manifest_in(const std::filesystem::path& directory) {
    return failover::read_whole(directory / "manifest.json");
}

std::set<std::filesystem::path> directories_in(const std::filesystem::path& parent) {
    std::set<std::filesystem::path> found;
    std::error_code code;
    for (const auto& entry : std::filesystem::directory_iterator(parent, code)) {
        if (entry.is_directory()) {
            found.insert(entry.path());
        }
    }
    if (code && code != std::errc::no_such_file_or_directory) {
        throw CommandError(ExitCode::Failed, parent.string() + ": " + code.message(),
                           "the same command as the daemon's user");
    }
    return found;
}

Json row_of(const std::filesystem::path& directory) {
    const auto manifest = manifest_in(directory);
    const Json report = report_of(manifest.value_or(""));
    return {{"operation", directory.filename().string()},
            {"path", directory.string()},
            {"complete", manifest.has_value()},
            {"epoch_ended", report.value("epoch_ended", Json())},
            {"completed_at_us", report.value("completed_at_us", Json())},
            {"lost", report.value("lost", Json())}};
}

Table::Cell number_in(const Json& row, const char* name) {
    const Json& lost = row["lost"];
    return lost.is_object() ? std::to_string(lost.value(name, uint64_t{0})) : std::string(unknown);
}

void print_losses(const std::filesystem::path& directory, const Output& output) {
    std::ifstream lines(directory / "losses.jsonl");
    size_t count = 0;
    for (std::string line; std::getline(lines, line); ++count) {
        if (count < losses_shown) {
            output.out << render_one_loss(report_of(line));
        }
    }
    if (count > losses_shown) {
        output.out << "  ... and " << count - losses_shown
                   << " more: " << (directory / "losses.jsonl").string() << "\n";
    }
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
    if (options.without_unreadable && !options.dry_run) {
        // Nothing is overwritten yet: what is given up is named before that is confirmed.
        tell(open, site, failover::without_unreadable_key, begun.epoch);
    }
    Watch watch(config, fetch, clock, output, options, site);
    Standing now = watch.until({State::Quarantined, State::Rewinding, State::Following});
    if (options.dry_run) {
        if (output.json()) {
            print(output, fetch_report(config, fetch, site, now.operation));
        } else {
            output.out << render_loss(fetch_report(config, fetch, site, now.operation));
        }
        return ExitCode::Ok;
    }
    if (now.state == State::Quarantined) {
        confirm(output, options, site.name, now.problem);
        tell(open, site, failover::rejoin_key, now.epoch);
        now = watch.until({State::Following});
    } else if (now.state == State::Rewinding) {
        now = watch.until({State::Following});
    }
    const Json report = fetch_report(config, fetch, site, now.operation);
    if (output.json()) {
        print(output, {{"schema", "antipode.rejoin/1"},
                       {"site", site.name},
                       {"operation", now.operation},
                       {"epoch", now.epoch},
                       {"loss", report}});
        return ExitCode::Ok;
    }
    say(output, site.name + " follows epoch " + std::to_string(now.epoch) +
                    "; what differs is compared and transferred now: antipode status " + site.name);
    output.out << render_loss(report);
    return ExitCode::Ok;
}

ExitCode list_quarantines(const Config& config, const Output& output) {
    Json rows = Json::array();
    Table table({{"OPERATION"},
                 {"EPOCH ENDED", Table::Align::Right},
                 {"TRANSACTIONS", Table::Align::Right},
                 {"ROW CHANGES", Table::Align::Right},
                 {"REFS", Table::Align::Right},
                 {"FILES", Table::Align::Right},
                 {"PATH"}});
    for (const auto& directory : directories_in(quarantines_of(config))) {
        Json row = row_of(directory);
        table.add(
            {harmless(row["operation"].get<std::string>()),
             row["epoch_ended"].is_number() ? row["epoch_ended"].dump() : std::string(unknown),
             number_in(row, "transactions"), number_in(row, "changes"), number_in(row, "refs"),
             number_in(row, "files"),
             harmless(directory.string()) + (row["complete"].get<bool>() ? "" : " (half made)")});
        rows.push_back(std::move(row));
    }
    if (output.json()) {
        print(output, {{"schema", "antipode.quarantines/1"}, {"quarantines", rows}});
    } else {
        output.out << (rows.empty() ? "no quarantine: nothing was lost to this site\n"
                                    : table.render(output.coloured));
    }
    return ExitCode::Ok;
}

ExitCode show_quarantine(const Config& config, const Output& output, const std::string& operation) {
    const auto all = directories_in(quarantines_of(config));
    std::filesystem::path directory = quarantines_of(config) / operation;
    if (operation.empty() && all.size() == 1) {
        directory = *all.begin();
    }
    if (!all.contains(directory)) {
        throw CommandError(
            ExitCode::Usage,
            operation.empty() ? "there are " + std::to_string(all.size()) + " quarantines; name one"
                              : "there is no quarantine of " + harmless(operation),
            "antipode quarantine list");
    }
    const auto manifest = manifest_in(directory);
    if (!manifest) {
        throw CommandError(ExitCode::Unknown, directory.string() + " is half made",
                           "antipode status: the daemon goes on with it");
    }
    if (output.json()) {
        Json report = report_of(*manifest);
        report["path"] = directory.string();
        print(output, report);
    } else {
        output.out << render_loss_head(report_of(*manifest));
        print_losses(directory, output);
    }
    return ExitCode::Ok;
}

ExitCode show_loss(const Config& config, const Fetch& fetch, const Output& output,
                   const std::string& operation, const std::optional<std::string>& site) {
    const Json report =
        fetch_report(config, fetch, require_site(config, site.value_or(config.site)), operation);
    if (output.json()) {
        print(output, report);
    } else {
        output.out << render_loss(report);
    }
    return ExitCode::Ok;
}

}  // namespace antipode::cli
