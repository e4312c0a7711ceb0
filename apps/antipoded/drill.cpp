#include "apps/antipoded/drill.hpp"

#include <algorithm>

#include <spdlog/spdlog.h>
#include <unistd.h>

#include "adapters/git/hooks.hpp"
#include "adapters/nats/key_value.hpp"
#include "adapters/postgres/handover.hpp"
#include "apps/antipoded/canary.hpp"
#include "apps/antipoded/cut.hpp"
#include "apps/antipoded/drill_files.hpp"
#include "apps/antipoded/endpoints.hpp"
#include "apps/antipoded/expected_loss.hpp"
#include "apps/antipoded/readiness.hpp"
#include "apps/antipoded/secondary_half.hpp"
#include "apps/antipoded/site_hands.hpp"
#include "base/places.hpp"
#include "base/words.hpp"
#include "failover/fences.hpp"
#include "protocol/message.hpp"

namespace antipode {
namespace {

using nlohmann::json;

/// What waits longer than that is not waited for in a drill; a promotion would.
constexpr std::chrono::seconds longest_apply(60);
constexpr std::chrono::milliseconds look_interval(20);
/// Of a promotion: the cut, the claim, where the lanes begin, and that it serves.
constexpr int record_changes = 4;
constexpr size_t page = 1000;
constexpr const char* rehearsal_variable = "ANTIPODE_REHEARSAL";

v1::SiteAnswer refusal(const std::string& problem, const std::string& next_step) {
    v1::SiteAnswer answer;
    answer.set_problem(problem);
    answer.set_next_step(next_step);
    return answer;
}

}  // namespace

Drill::Drill(const Config& config, const SecondaryHalf& half, uint64_t epoch, std::string primary,
             const Clock& clock)
    : config_(config), half_(half), epoch_(epoch), primary_(std::move(primary)), clock_(clock) {
    end_stopped_drills(config_);
}

Drill::~Drill() {
    thread_ = {};
    try {
        end_stopped_drills(config_);
    } catch (const std::exception& error) {
        spdlog::error("a drill that was stopped cannot be ended: {}", error.what());
    }
}

v1::SiteAnswer Drill::fulfil(const v1::SiteRequest& request) {
    const std::string& name = request.reason();
    if (!is_valid_name(name)) {
        return refusal("\"" + printable(name) + "\" is no name of a drill", "antipode drill");
    }
    for (const json& kept : kept_drills(config_)) {
        if (kept.value("outcome", "") == "runs") {
            return refusal(kept.value("drill", "") + " runs", "antipode drill, once it is over");
        }
    }
    if (thread_.joinable()) {
        thread_.join();  // it is over but for its last words
    }
    drill_ = {{"schema", "antipode.drill/1"},
              {"drill", name},
              {"site", config_.site},
              {"primary", primary_},
              {"epoch", epoch_},
              {"outcome", "runs"},
              {"problem", ""},
              {"asked_by", request.operator_name()},
              {"began_at_us", to_microseconds(clock_.now())},
              {"ended_at_us", nullptr},
              {"steps", json::array()},
              {"not_measured", {"stopping apply and starting capture"}},
              {"open_seconds", nullptr},
              {"blockers", json::array()},
              {"warnings", json::array()},
              {"known_lost", nullptr},
              {"losses", json::array()},
              {"not_applied_yet", nullptr},
              {"unknown_since_us", nullptr},
              {"unknown_seconds", nullptr}};
    keep_drill(config_, drill_);
    const bool with_commands = request.items_size() > 0 && request.items(0) == "commands";
    spdlog::info("{}: a promotion of this site is rehearsed", name);
    thread_ = std::jthread([this, name, with_commands](const std::stop_token& stop) {
        run(name, with_commands, stop);
    });
    return {};
}

void Drill::run(const std::string& name, bool with_commands, const std::stop_token& stop) {
    try {
        take_steps(with_commands, stop);
        if (stop.stop_requested()) {
            return;  // see end_stopped_drills()
        }
        conclude();
        spdlog::info("{}: {}", name, drill_["outcome"].get<std::string>());
    } catch (const std::exception& error) {
        spdlog::error("{}: its result cannot be kept: {}", name, error.what());
    }
}

void Drill::take_steps(bool with_commands, const std::stop_token& stop) {
    take("look", stop, [&] { return look(); });
    take("apply", stop, [&] { return apply(stop); });
    take("loss", stop, [&] { return find_loss(); });
    take("record", stop, [&] { return write_records(); });
    take("before_open_command", stop, [&] {
        return run_command("before_open_command", config_.failover.before_open_command,
                           with_commands, stop);
    });
    for (const Config::Database& store : config_.databases) {
        take("slot database/" + store.name, stop, [&] { return make_slot(store); });
    }
    take("hooks", stop, [&] { return look_at_hooks(stop); });
    take("inventory", stop, [&] { return copy_inventory(stop); });
    take("canary", stop, [&] {
        const auto has_items = [&](const StoreId& id) { return half_.registry().count(id) > 0; };
        return Found{write_canaries(config_, drill_["drill"].get<std::string>(), has_items), true};
    });
    take("after_open_command", stop, [&] {
        return run_command("after_open_command", config_.failover.after_open_command, with_commands,
                           stop);
    });
}

void Drill::take(const std::string& step, const std::stop_token& stop, const Step& what) {
    if (stop.stop_requested()) {
        return;
    }
    json row = {{"step", step}, {"seconds", nullptr}, {"text", ""}, {"problem", ""}};
    const SteadyTime begun = clock_.steady_now();
    try {
        const Found found = what();
        row["text"] = found.text;
        if (found.measured) {
            row["seconds"] = std::chrono::duration<double>(clock_.steady_now() - begun).count();
        } else {
            drill_["not_measured"].push_back(step);
        }
    } catch (const Error& error) {
        row["problem"] = error.describe();
        drill_["not_measured"].push_back(step);
    } catch (const Stopped&) {
        return;  // see end_stopped_drills()
    }
    drill_["steps"].push_back(std::move(row));
    keep_drill(config_, drill_);
}

void Drill::conclude() {
    double seconds = 0;
    std::string problem;
    for (const json& step : drill_["steps"]) {
        seconds += step["seconds"].is_number() ? step["seconds"].get<double>() : 0.0;
        const std::string failed = step["problem"].get<std::string>();
        problem = problem.empty() && !failed.empty()
                      ? step["step"].get<std::string>() + ": " + failed
                      : problem;
    }
    drill_["open_seconds"] = problem.empty() ? json(seconds) : json();
    drill_["problem"] = problem;
    drill_["outcome"] = !problem.empty()              ? "failed"
                        : !drill_["blockers"].empty() ? "blocked"
                                                      : "ready";
    drill_["ended_at_us"] = to_microseconds(clock_.now());
    keep_drill(config_, drill_);
}

Drill::Found Drill::look() {
    const Readiness readiness = look_at_readiness(config_, false);
    const auto list = [](const std::vector<primary::UnmetNeed>& needs) {
        json rows = json::array();
        for (const primary::UnmetNeed& need : needs) {
            rows.push_back({{"what", need.what}, {"next_step", need.remedy}});
        }
        return rows;
    };
    drill_["blockers"] = list(readiness.blockers);
    drill_["warnings"] = list(readiness.warnings);
    return {
        readiness.blockers.empty() ? "this site could be the primary" : "something is in the way",
        true};
}

/// What had come when it began; behind that a promotion waits until nothing moves any more.
Drill::Found Drill::apply(const std::stop_token& stop) {
    const Position here = half_.newest_here();
    const SteadyTime end = clock_.steady_now() + longest_apply;
    while (!half_.has_applied(here)) {
        if (clock_.steady_now() > end) {
            throw Error(Reaction::Retry,
                        "what has come is not applied within " +
                            std::to_string(longest_apply.count()) + " s",
                        "antipode lag " + config_.site);
        }
        if (sleep_unless_stopped(look_interval, stop)) {
            break;
        }
    }
    sleep_unless_stopped(LastIntake::quiet_time, stop);
    return {"what had come is applied; then nothing may move for " +
                std::to_string(LastIntake::quiet_time.count()) + " s",
            true};
}

Drill::Found Drill::find_loss() {
    const failover::LossReport report =
        find_expected_loss(config_, half_, epoch_, primary_, clock_);
    drill_.update(summary_of(report));
    return {"the loss report", true};
}

/// In the bucket of this site, under a key of its own.
Drill::Found Drill::write_records() {
    nats::Bucket bucket(own_endpoint(config_, "drill"), protocol::bucket_name(config_.cluster),
                        true);
    constexpr const char* key = "drill";
    const auto before = bucket.get(key);
    uint64_t revision = before ? before->revision : 0;
    for (int i = 0; i < record_changes; ++i) {
        const auto changed =
            bucket.update(key, drill_["drill"].get<std::string>() + std::to_string(i), revision);
        if (!changed) {
            throw Error(Reaction::Retry, "somebody else has written meanwhile",
                        "antipode drill, again");
        }
        revision = *changed;
    }
    return {counted(record_changes, "change", "changes") + " by compare-and-set", true};
}

Drill::Found Drill::make_slot(const Config::Database& store) {
    postgres::rehearse_capture(
        store.url, "antipode " + config_.cluster + " " + config_.site + " " + store.name + " drill",
        "antipode_drill");
    return {"a temporary slot, made and dropped", true};
}

/// As a promotion takes what is applied for what is published.
Drill::Found Drill::copy_inventory(const std::stop_token& stop) {
    const auto file = config_.state_dir / "drill.db";
    remove_inventory(file);
    uint64_t items = 0;
    {
        primary::Inventory inventory(file);
        for (const StoreId& store : config_.stores()) {
            ItemQuery query;
            query.most = page;
            std::vector<secondary::Registry::ListedItem> listed;
            do {
                listed = half_.registry().list(store, query);
                std::vector<primary::Inventory::Record> records;
                for (const auto& one : listed) {
                    if (one.state) {
                        records.push_back({store, one.item, {"", one.state->digest}, Position{}});
                    }
                    query.after = one.item;
                }
                inventory.record(records);
                items += records.size();
            } while (listed.size() == page && !stop.stop_requested());
        }
    }
    remove_inventory(file);
    return {counted(items, "item", "items"), true};
}

Drill::Found Drill::look_at_hooks(const std::stop_token& stop) {
    uint64_t repositories = 0;
    for (const Config::Repositories& store : config_.repositories) {
        const git::HookSettings settings{hook_program(), hook_spool(config_, store.name)};
        repositories +=
            git::for_all_hooks(store.root, settings, git::HookAction::Show, stop).size();
    }
    return {counted(repositories, "repository", "repositories") + " looked at", true};
}

/// A real promotion does not wait for it.
Drill::Found Drill::run_command(const char* key, const std::vector<std::string>& arguments,
                                bool with_commands, const std::stop_token& stop) {
    if (arguments.empty()) {
        return {"none is set", true};
    }
    if (access(arguments.front().c_str(), X_OK) != 0) {
        throw Error(Reaction::Stop, arguments.front() + " cannot be run by this user",
                    "mend failover." + std::string(key));
    }
    if (!with_commands) {
        return {"it is there; it was not run", false};
    }
    const failover::Fences fences(config_);
    auto environment = fences.environment(config_.site);
    environment[rehearsal_variable] = "1";
    failover::must_run(fences.command(key, arguments), environment, stop);
    return {"run with " + std::string(rehearsal_variable) + "=1", true};
}

}  // namespace antipode
