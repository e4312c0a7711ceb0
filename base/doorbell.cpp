#include "base/doorbell.hpp"

#include <algorithm>
#include <utility>

namespace antipode {
namespace {

constexpr std::chrono::seconds look_often_for(1);
constexpr std::chrono::milliseconds often(30);

}  // namespace

void Doorbell::ring() {
    {
        const std::scoped_lock lock(mutex_);
        rung_ = true;
    }
    changed_.notify_one();
}

bool Doorbell::wait(std::chrono::milliseconds longest, const std::stop_token& stop) {
    if (std::chrono::steady_clock::now() < look_often_until_) {
        longest = std::min(longest, often);
    }
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, longest, [this] { return rung_; });
    const bool rung = std::exchange(rung_, false);
    if (rung) {
        look_often_until_ = std::chrono::steady_clock::now() + look_often_for;
    }
    return rung;
}

}  // namespace antipode
