#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/item_query.hpp"
#include "base/synchronized.hpp"
#include "base/worker.hpp"
#include "protocol/antipode.pb.h"
#include "protocol/event_log.hpp"

namespace antipode {

/// The workers of one half, stopped together and joined in reverse order. Those that run may ask
/// for all states while others are still added.
class Workers {
  public:
    explicit Workers(const Clock& clock) : clock_(clock) {}
    ~Workers();

    /// A worker that calls `step` again and again; a step that returns has worked.
    void loop(const std::string& name, std::function<void(const std::stop_token&)> step);
    void add(const std::string& name, Worker::Body body, Backoff backoff = Backoff());
    std::vector<WorkerState> states() const;

  private:
    const Clock& clock_;
    Synchronized<std::vector<std::unique_ptr<Worker>>> workers_;
};

/// What a daemon does in its present role: primary or secondary. Made when the role is known,
/// destroyed when it changes. The functions are called by other threads.
class Half {
  public:
    virtual ~Half() = default;
    /// Adds what this half knows to the report of this site.
    virtual void report(v1::SiteReport& report) const = 0;
    /// Takes in what the other sites report.
    virtual void hear(const std::vector<v1::SiteReport>& reports) = 0;
    /// Fills "stores", "exceptions", "recovery_point_us", ... of /v1/status.
    virtual void show(nlohmann::json& status) const = 0;
    /// Adds to each row of "stores" what only metrics show: "took".
    virtual void show_took(nlohmann::json&) const {}
    /// The rows of "items" of /v1/items. `store`: one of items that this site has.
    virtual nlohmann::json items(const StoreId& store, const ItemQuery& query) const = 0;
    virtual const protocol::EventLog& events() const = 0;
    virtual std::vector<WorkerState> workers() const = 0;
    /// It was ended for a promotion, and is of no use if that is given up.
    virtual bool has_stopped() const { return false; }
};

}  // namespace antipode
