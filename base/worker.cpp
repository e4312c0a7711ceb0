#include "base/worker.hpp"

#include <condition_variable>
#include <mutex>

#include <pthread.h>
#include <spdlog/spdlog.h>

namespace antipode {

Worker::Worker(std::string name, const Clock& clock, Body body, Backoff backoff)
    : clock_(clock), body_(std::move(body)), backoff_(backoff) {
    state_.with([&](WorkerState& state) {
        state.name = std::move(name);
        state.since = clock_.now();
    });
    thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Worker::~Worker() {
    thread_.request_stop();
    if (thread_.joinable()) {
        thread_.join();
    }
}

void Worker::run(const std::stop_token& stop) {
    const std::string name = state_.copy().name;
    // The kernel keeps 15 characters of a thread's name.
    pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
    while (!stop.stop_requested()) {
        try {
            body_(stop, Progress(*this));
        } catch (const Stopped&) {
            continue;
        } catch (const Error& error) {
            mark_problem(error.what(), error.next_step());
        } catch (const std::exception& error) {
            mark_problem(error.what(), {});
        }
        if (!state_.copy().healthy) {
            sleep_unless_stopped(backoff_.next(), stop);
        }
    }
}

void Worker::mark_healthy() {
    const bool recovered = state_.with([&](WorkerState& state) {
        if (state.healthy) {
            return false;
        }
        const bool had_problem = !state.problem.empty();
        state = {state.name, true, {}, {}, clock_.now(), 0};
        return had_problem;
    });
    backoff_.reset();
    if (recovered) {
        spdlog::info("{}: works again", state_.copy().name);
    }
}

void Worker::mark_problem(const std::string& problem, const std::string& next_step) {
    const bool news = state_.with([&](WorkerState& state) {
        const bool changed = state.healthy || state.problem != problem;
        if (state.healthy) {
            state.since = clock_.now();
        }
        state.healthy = false;
        state.problem = problem;
        state.next_step = next_step;
        ++state.failures;
        return changed;
    });
    if (news) {
        const Error error(Reaction::Retry, problem, next_step);
        spdlog::warn("{}: {}", state_.copy().name, error.describe());
    }
}

bool sleep_unless_stopped(std::chrono::milliseconds duration, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any wake;
    std::unique_lock lock(mutex);
    wake.wait_for(lock, stop, duration, [] { return false; });
    return stop.stop_requested();
}

}  // namespace antipode
