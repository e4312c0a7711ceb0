#pragma once

#include <condition_variable>
#include <mutex>
#include <utility>

namespace antipode {

/// A value that several threads share. It can be reached only through a lock.
template <typename T>
class Synchronized {
  public:
    Synchronized() = default;
    explicit Synchronized(T value) : value_(std::move(value)) {}

    /// Calls `use(value)` under the lock and returns its result. Keep `use` short: no I/O.
    template <typename Use>
    decltype(auto) with(Use&& use) {
        std::scoped_lock lock(mutex_);
        return std::forward<Use>(use)(value_);
    }
    template <typename Use>
    decltype(auto) with(Use&& use) const {
        std::scoped_lock lock(mutex_);
        return std::forward<Use>(use)(value_);
    }

    T copy() const {
        return with([](const T& value) { return value; });
    }

  private:
    mutable std::mutex mutex_;
    T value_{};
};

}  // namespace antipode
