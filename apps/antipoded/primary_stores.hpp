#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/config.hpp"
#include "base/seams/bulk.hpp"
#include "primary/capture.hpp"
#include "primary/inventory.hpp"

/// The one place that knows which stores a primary can capture: a new kind is one line in
/// make_primary_stores().
namespace antipode {

/// A database on the primary, with everything that it is wired of.
class PrimaryDatabase {
  public:
    virtual ~PrimaryDatabase() = default;
    virtual primary::DatabaseCapture& capture() = 0;
    virtual BulkHandler& bulk() = 0;
};

/// A store of items on the primary, with everything that it is wired of.
class PrimaryItems {
  public:
    virtual ~PrimaryItems() = default;
    virtual primary::ItemCapture& capture() = 0;
    virtual BulkHandler& bulk() = 0;
    /// What tells that something may have changed, each thing with a thread of its own that waits
    /// for it. A wait returns false when nothing came within `timeout`.
    struct Notifier {
        std::string name;
        std::function<bool(std::chrono::milliseconds timeout, const std::stop_token& stop)> wait;
    };
    virtual std::vector<Notifier> notifiers() = 0;
    /// Why not every change is noticed at once; empty: every one is.
    virtual std::string remark() const = 0;
    /// How often everything is read again; 0: never.
    virtual std::chrono::milliseconds check_every() const = 0;
    /// Its server may tell of changes by HTTP: what is to happen with the body of such a request.
    /// Empty: there is none that would. Throws Error{Stop} when the body is malformed.
    virtual std::function<void(const std::string& body)> notification_handler() { return {}; }
    /// It is about to end: what waits for a server gives up. Any thread.
    virtual void interrupt() {}
    /// Every site has applied what was captured before `time`.
    virtual void applied_everywhere(TimePoint time) = 0;
};

struct PrimaryStores {
    std::vector<std::shared_ptr<PrimaryDatabase>> databases;
    std::vector<std::shared_ptr<PrimaryItems>> items;
};

PrimaryStores make_primary_stores(const Config& config,
                                  const std::shared_ptr<primary::Inventory>& inventory,
                                  const Clock& clock);

}  // namespace antipode
