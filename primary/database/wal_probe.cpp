#include "primary/database/wal_probe.hpp"

#include "base/error.hpp"

namespace antipode::primary {

WalProbe::WalProbe(WalPosition& wal, const Clock& clock, std::chrono::milliseconds patience)
    : wal_(wal),
      clock_(clock),
      patience_(patience),
      thread_([this](const std::stop_token& stop) { ask(stop); }) {}

Lsn WalProbe::flushed_end() {
    std::unique_lock lock(mutex_);
    const uint64_t question = ++asked_;
    changed_.notify_all();
    const auto answered = [&] { return answered_ >= question; };
    const bool hangs = open_since_ && clock_.steady_now() - *open_since_ >= patience_;
    if (hangs || !changed_.wait_for(lock, patience_, answered)) {
        throw Error(Reaction::Retry, "PostgreSQL does not say where its log ends",
                    "look whether the server hangs (SELECT * FROM pg_stat_activity)");
    }
    if (problem_) {
        std::rethrow_exception(problem_);
    }
    return answer_;
}

void WalProbe::ask(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [&] { return asked_ > answered_; })) {
        // One answer serves everything that was asked before it.
        const uint64_t question = asked_;
        open_since_ = clock_.steady_now();
        lock.unlock();
        Lsn answer;
        std::exception_ptr problem;
        try {
            answer = wal_.flushed_end();
        } catch (...) {
            problem = std::current_exception();
        }
        lock.lock();
        answer_ = answer;
        problem_ = problem;
        answered_ = question;
        open_since_.reset();
        changed_.notify_all();
    }
}

}  // namespace antipode::primary
