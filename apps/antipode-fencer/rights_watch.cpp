#include "apps/antipode-fencer/rights_watch.hpp"

#include <future>
#include <vector>

#include "base/error.hpp"
#include "base/worker.hpp"
#include "failover/fences.hpp"

namespace antipode {
namespace {

constexpr std::chrono::milliseconds step_interval(500);
constexpr std::chrono::seconds look_interval(60);
/// While a server does not answer.
constexpr std::chrono::seconds short_interval(10);
/// A server that is started anew has not answered once.
constexpr unsigned tolerated = 1;

}  // namespace

void RightsWatch::start() {
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void RightsWatch::run(const std::stop_token& stop) {
    bool has_looked = false;
    BootTime due{};
    while (!stop.stop_requested()) {
        has_looked = has_looked && wanted_;
        if (wanted_ && (!has_looked || clock_.boot_now() >= due)) {
            look();
            has_looked = true;
            due = clock_.boot_now() + pause();
        }
        sleep_unless_stopped(step_interval, stop);
    }
}

void RightsWatch::look() {
    std::vector<std::future<void>> looks;
    for (const Config::Database& store : config_.databases) {
        looks.push_back(std::async(std::launch::async | std::launch::deferred,
                                   [this, &store] { look_at(store); }));
    }
    for (std::future<void>& one : looks) {
        one.get();
    }
}

void RightsWatch::look_at(const Config::Database& store) {
    const std::string of = "database/" + store.name;
    std::string problem;
    unsigned unanswered = 0;
    try {
        auto fence = failover::fence_of(config_, store, failover::patience_without_lease);
        for (const auto& lacking : fence.lacking_rights()) {
            problem += problem.empty() ? of + " cannot be fenced: " : "; ";
            problem += lacking.what + ". Try: " + lacking.next_step;
        }
    } catch (const std::exception& error) {
        unanswered = 1;
        problem = "whether " + of + " can be fenced is not known: " + error.what();
    }
    found_.with([&](auto& found) {
        Found& known = found[store.name];
        unanswered = unanswered == 0 ? 0 : known.unanswered + 1;
        if (unanswered == 0 || unanswered > tolerated) {
            known.problem = problem;
        }
        known.unanswered = unanswered;
    });
}

std::chrono::seconds RightsWatch::pause() const {
    return found_.with([](const auto& found) {
        for (const auto& [name, known] : found) {
            if (known.unanswered > 0) {
                return short_interval;
            }
        }
        return look_interval;
    });
}

std::string RightsWatch::problem() const {
    return found_.with([](const auto& found) {
        std::string all;
        for (const auto& [name, known] : found) {
            all += (all.empty() || known.problem.empty() ? "" : "; ") + known.problem;
        }
        return all;
    });
}

}  // namespace antipode
