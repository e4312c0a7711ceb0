#pragma once

#include <future>
#include <stop_token>
#include <utility>

#include "tests/support/database_lane.hpp"

namespace antipode::test {

/// A lane that goes on while something else is done with its database.
class DatabaseMeanwhile : public DatabaseLane {
  protected:
    /// Runs `use` in a thread of its own, while this one captures and applies.
    template <typename Use>
    auto meanwhile(Use use) {
        stop_ = {};
        auto result = std::async(std::launch::async, std::move(use));
        try {
            while (result.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
                pump();
            }
        } catch (...) {
            secondary_->barriers.forget();  // nothing will come
            stop_.request_stop();
            throw;
        }
        return result.get();
    }
    void pump() {
        publish(primary_->capture.poll(milliseconds(5)));
        apply();
        primary_->capture.confirm(secondary_->apply.position().lsn);
        stream_.clear();
    }

    std::stop_source stop_;
};

}  // namespace antipode::test
