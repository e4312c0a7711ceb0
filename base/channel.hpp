#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

namespace antipode {

/// A bounded queue between threads. Every element has a weight (1, or its bytes); a push waits
/// while the sum would pass `capacity`, except that one element always fits into an empty channel.
template <typename T>
class Channel {
  public:
    explicit Channel(size_t capacity) : capacity_(capacity) {}

    /// Waits for room until `timeout` or the stop token. False: no room, and `value` is untouched.
    bool push(T& value, size_t weight, std::chrono::milliseconds timeout,
              const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        const auto has_room = [&] { return queue_.empty() || used_ + weight <= capacity_; };
        if (!await(has_room_, lock, timeout, stop, has_room)) {
            return false;
        }
        used_ += weight;
        queue_.emplace_back(std::move(value), weight);
        has_item_.notify_one();
        return true;
    }

    /// Takes what is there, at most `most` elements; waits up to `timeout` for the first one.
    std::vector<T> take(size_t most, std::chrono::milliseconds timeout,
                        const std::stop_token& stop) {
        std::unique_lock lock(mutex_);
        await(has_item_, lock, timeout, stop, [&] { return !queue_.empty() || poked_; });
        poked_ = false;
        std::vector<T> taken;
        while (!queue_.empty() && taken.size() < most) {
            used_ -= queue_.front().second;
            taken.push_back(std::move(queue_.front().first));
            queue_.pop_front();
        }
        if (!taken.empty()) {
            has_room_.notify_all();
        }
        return taken;
    }

    /// Ends a waiting take() early, or the next one, without an element: "look around you".
    void poke() {
        std::scoped_lock lock(mutex_);
        poked_ = true;
        has_item_.notify_one();
    }

    size_t size() const {
        std::scoped_lock lock(mutex_);
        return queue_.size();
    }

  private:
    /// A wait for no time at all would go to sleep all the same.
    template <typename Holds>
    static bool await(std::condition_variable_any& changed, std::unique_lock<std::mutex>& lock,
                      std::chrono::milliseconds timeout, const std::stop_token& stop,
                      const Holds& holds) {
        return timeout.count() > 0 ? changed.wait_for(lock, stop, timeout, holds) : holds();
    }

    mutable std::mutex mutex_;
    std::condition_variable_any has_room_;
    std::condition_variable_any has_item_;
    std::deque<std::pair<T, size_t>> queue_;
    size_t used_ = 0;
    const size_t capacity_;
    bool poked_ = false;
};

}  // namespace antipode
