#include "apps/antipoded/worker_group.hpp"

namespace antipode {

WorkerGroup::WorkerGroup(std::string name, std::function<void(const std::stop_token&)> step,
                         const Clock& clock)
    : name_(std::move(name)), step_(std::move(step)), clock_(clock) {}

WorkerGroup::~WorkerGroup() {
    set_size(0);
}

void WorkerGroup::set_size(unsigned size) {
    const std::scoped_lock one(changing_);
    std::vector<std::unique_ptr<Worker>> ending;  // joined without the list's lock
    {
        const std::scoped_lock lock(mutex_);
        while (workers_.size() > size) {
            workers_.back()->request_stop();
            ending.push_back(std::move(workers_.back()));
            workers_.pop_back();
        }
    }
    ending.clear();
    const std::scoped_lock lock(mutex_);
    while (workers_.size() < size) {
        workers_.push_back(std::make_unique<Worker>(
            name_ + " " + std::to_string(workers_.size() + 1), clock_,
            [this](const std::stop_token& stop, Worker::Progress progress) {
                while (!stop.stop_requested()) {
                    step_(stop);
                    progress.healthy();
                }
            }));
    }
}

std::vector<WorkerState> WorkerGroup::states() const {
    const std::scoped_lock lock(mutex_);
    std::vector<WorkerState> states;
    for (const auto& worker : workers_) {
        states.push_back(worker->state());
    }
    return states;
}

}  // namespace antipode
