#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include "base/synchronized.hpp"

namespace antipode {

/// Work that takes long, in a thread of its own, for an owner that has other things to see to. The
/// destructor asks it to stop and waits. Owner's thread.
template <typename Result>
class Background {
  public:
    using Work = std::function<Result(const std::stop_token& stop)>;

    /// Begins `work` when none runs; nullopt while it does. Hands its result over once, or throws
    /// what it threw; the next call begins anew.
    std::optional<Result> poll(const Work& work) {
        if (!thread_.joinable()) {
            ended_.with([](Ended& ended) { ended = {}; });
            thread_ = std::jthread([this, work](const std::stop_token& stop) { run(work, stop); });
            return std::nullopt;
        }
        Ended ended = ended_.with([](Ended& shared) { return std::exchange(shared, {}); });
        if (!ended.result && !ended.problem) {
            return std::nullopt;
        }
        thread_.join();
        if (ended.problem) {
            std::rethrow_exception(ended.problem);
        }
        return std::move(ended.result);
    }

  private:
    struct Ended {
        std::optional<Result> result;
        std::exception_ptr problem;
    };
    void run(const Work& work, const std::stop_token& stop) {
        Ended fresh;
        try {
            fresh.result = work(stop);
        } catch (...) {
            fresh.problem = std::current_exception();
        }
        ended_.with([&](Ended& ended) { ended = std::move(fresh); });
    }

    Synchronized<Ended> ended_;
    std::jthread thread_;  // last: ends before what it uses
};

}  // namespace antipode
