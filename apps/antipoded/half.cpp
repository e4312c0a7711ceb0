#include "apps/antipoded/half.hpp"

namespace antipode {

Workers::~Workers() {
    for (const auto& worker : workers_) {
        worker->request_stop();
    }
    while (!workers_.empty()) {
        workers_.pop_back();
    }
}

void Workers::loop(const std::string& name, std::function<void(const std::stop_token&)> step) {
    add(name, [step = std::move(step)](const std::stop_token& stop, Worker::Progress progress) {
        while (!stop.stop_requested()) {
            step(stop);
            progress.healthy();
        }
    });
}

void Workers::add(const std::string& name, Worker::Body body) {
    workers_.push_back(std::make_unique<Worker>(name, clock_, std::move(body)));
}

std::vector<WorkerState> Workers::states() const {
    std::vector<WorkerState> states;
    for (const auto& worker : workers_) {
        states.push_back(worker->state());
    }
    return states;
}

}  // namespace antipode
