#include "adapters/git/house_turns.hpp"

#include <utility>

namespace antipode::git {

HouseTurns::Turn::Turn(HouseTurns& turns, std::string name, const std::stop_token& stop)
    : turns_(turns),
      name_(std::move(name)),
      forward_(stop, [source = stop_]() mutable { source.request_stop(); }) {
    turns_.running_.emplace(name_, stop_);
}

HouseTurns::Turn::~Turn() {
    const std::scoped_lock lock(turns_.mutex_);
    turns_.running_.erase(name_);
    turns_.ended_.notify_all();
}

std::unique_ptr<HouseTurns::Turn> HouseTurns::begin(const std::string& name,
                                                    std::chrono::milliseconds patience,
                                                    const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    const bool free =
        ended_.wait_for(lock, stop, patience, [&] { return !running_.contains(name); });
    return free ? std::make_unique<Turn>(*this, name, stop) : nullptr;
}

std::unique_ptr<HouseTurns::Turn> HouseTurns::take(const std::string& name) {
    std::unique_lock lock(mutex_);
    while (running_.contains(name)) {
        running_.at(name).request_stop();
        ended_.wait(lock);
    }
    return std::make_unique<Turn>(*this, name, std::stop_token());
}

}  // namespace antipode::git
