#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include "base/clock.hpp"
#include "base/synchronized.hpp"

namespace antipode {

/// Work that takes long, in a thread of its own, for an owner that has other things to see to, and
/// that may be held up itself. The destructor asks it to stop and waits. Owner's thread.
template <typename Result>
class Background {
  public:
    using Work = std::function<Result(const std::stop_token& stop)>;
    using Age = std::chrono::steady_clock::duration;
    /// A result is handed over while it is not older than `fresh`; what is older is found anew.
    Background(const Clock& clock, Age fresh) : clock_(clock), fresh_(fresh) {}

    /// Begins `work` when none runs; nullopt while it does. Hands its result over once; the next
    /// call begins anew. What it threw is thrown for some seconds, until it begins anew. Nothing
    /// that was begun for another `subject` is handed over, or goes on.
    std::optional<Result> poll(const std::string& subject, const Work& work) {
        const bool same = subject == subject_;
        if (same && problem_ && clock_.steady_now() < again_at_) {
            std::rethrow_exception(problem_);
        }
        if (!thread_.joinable()) {
            begin(subject, work);
            return std::nullopt;
        }
        if (!same) {
            thread_.request_stop();
        }
        Ended ended = ended_.with([](Ended& shared) { return std::exchange(shared, {}); });
        if (!ended.result && !ended.problem) {
            return std::nullopt;
        }
        thread_.join();
        if (!same || clock_.steady_now() - ended.at > fresh_) {
            begin(subject, work);
            return std::nullopt;
        }
        if (ended.problem) {
            problem_ = ended.problem;
            again_at_ = clock_.steady_now() + pause;
            std::rethrow_exception(problem_);
        }
        return std::move(ended.result);
    }

  private:
    static constexpr std::chrono::seconds pause{5};
    struct Ended {
        std::optional<Result> result;
        std::exception_ptr problem;
        SteadyTime at{};
    };
    void begin(const std::string& subject, const Work& work) {
        subject_ = subject;
        problem_ = nullptr;
        ended_.with([](Ended& ended) { ended = {}; });
        thread_ = std::jthread([this, work](const std::stop_token& stop) { run(work, stop); });
    }
    void run(const Work& work, const std::stop_token& stop) {
        Ended fresh;
        try {
            fresh.result = work(stop);
        } catch (...) {
            fresh.problem = std::current_exception();
        }
        fresh.at = clock_.steady_now();
        ended_.with([&](Ended& ended) { ended = std::move(fresh); });
    }

    const Clock& clock_;
    const Age fresh_;
    std::string subject_;
    std::exception_ptr problem_;
    SteadyTime again_at_{};
    Synchronized<Ended> ended_;
    std::jthread thread_;  // last: ends before what it uses
};

}  // namespace antipode
