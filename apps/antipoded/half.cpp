#include "apps/antipoded/half.hpp"

#include <utility>

namespace antipode {

Workers::~Workers() {
    // Not under the lock: a worker that ends may ask for it.
    auto ending = workers_.with([](auto& workers) { return std::exchange(workers, {}); });
    for (const auto& worker : ending) {
        worker->request_stop();
    }
    while (!ending.empty()) {
        ending.pop_back();
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

void Workers::add(const std::string& name, Worker::Body body, Backoff backoff) {
    workers_.with([&](auto& workers) {
        workers.push_back(std::make_unique<Worker>(name, clock_, std::move(body), backoff));
    });
}

std::vector<WorkerState> Workers::states() const {
    return workers_.with([](const auto& workers) {
        std::vector<WorkerState> states;
        for (const auto& worker : workers) {
            states.push_back(worker->state());
        }
        return states;
    });
}

}  // namespace antipode
