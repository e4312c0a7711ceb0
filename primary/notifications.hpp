#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "primary/inventory.hpp"
#include "primary/sequencer.hpp"

namespace antipode::primary {

/// A program's call that waits until what it wrote is durable in the stream: the caller's end. Any
/// thread.
class NotifyCall {
  public:
    struct Answer {
        /// Whoever applied everything up to here has the items as they were when it was called.
        Position position{};
        std::vector<std::string> gone{};  ///< those of the items that are not there (any more)
        std::string problem{};            ///< empty: all is stored
        std::string next_step{};
        bool operator_decides = false;  ///< a deletion is held: calling again does not help
    };

    /// Returns as soon as there is an answer; nullopt after `timeout`, or when the token fires.
    std::optional<Answer> wait(std::chrono::milliseconds timeout, const std::stop_token& stop);
    /// What stands between the caller and its answer, for people.
    std::string waits_for() const;

    void answer(Answer answer);
    void waits_for(std::string what);

  private:
    mutable std::mutex mutex_;
    std::condition_variable_any answered_;
    std::optional<Answer> answer_;
    std::string waits_for_ = "the publisher is not at it yet";
};

/// The publisher's end of a call. Whoever drops it answers: that the call is to be made again.
class Notification {
  public:
    Notification(StoreId store, std::vector<std::string> items,
                 const std::shared_ptr<NotifyCall>& call)
        : store_(std::move(store)), items_(std::move(items)), call_(call) {}
    Notification(Notification&&) = default;
    Notification& operator=(Notification&&) = delete;
    ~Notification();

    const StoreId& store() const { return store_; }
    const std::vector<std::string>& items() const { return items_; }
    size_t weight() const;
    /// Nobody waits any more.
    bool is_abandoned() const { return call_.expired(); }
    void waits_for(const std::string& what) const;
    void answer(NotifyCall::Answer answer);

  private:
    StoreId store_;
    std::vector<std::string> items_;
    std::weak_ptr<NotifyCall> call_;  ///< reset: it has its answer
};

/// The calls that wait, in the publisher's thread. A call announces its items, because a watch may
/// have overlooked them; it is answered once each of its items is settled (ItemLane::progress).
class Notifications {
  public:
    explicit Notifications(const Inventory& inventory) : inventory_(inventory) {}

    void add(Sequencer& sequencer, Notification notification);
    /// A new session knows nothing of what the one before announced.
    void begin_again(Sequencer& sequencer);
    /// Answers what can be answered. After every step of the publisher.
    void look(const Sequencer& sequencer);

  private:
    struct Pending {
        Notification call;
        uint64_t announced = 0;  ///< number up to which announcements are to be fulfilled
        size_t settled = 0;      ///< so many of the items are, in their order
        std::vector<std::string> gone{};
    };
    bool settle(const Sequencer& sequencer, Pending& pending) const;

    const Inventory& inventory_;
    std::list<Pending> pending_;
};

}  // namespace antipode::primary
