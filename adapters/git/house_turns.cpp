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
                                                    const std::stop_token& stop) {
    const std::scoped_lock lock(mutex_);
    return running_.contains(name) ? nullptr : std::make_unique<Turn>(*this, name, stop);
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
