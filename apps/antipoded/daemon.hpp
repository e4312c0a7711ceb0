#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "adapters/http/server.hpp"
#include "adapters/nats/key_value.hpp"
#include "apps/antipoded/disks.hpp"
#include "apps/antipoded/half.hpp"
#include "apps/antipoded/lease_keeper.hpp"
#include "apps/antipoded/loss_reports.hpp"
#include "apps/antipoded/notify.hpp"
#include "apps/antipoded/old_streams.hpp"
#include "apps/antipoded/readiness.hpp"
#include "apps/antipoded/runtime_limits.hpp"
#include "apps/antipoded/seen_elsewhere.hpp"
#include "apps/antipoded/site_hands.hpp"
#include "apps/antipoded/status_feed.hpp"
#include "base/config.hpp"
#include "base/doorbell.hpp"
#include "base/state_lock.hpp"
#include "failover/conductor.hpp"

namespace antipode {

/// One running antipoded: follows the epoch record, runs the half that its role asks for, exchanges
/// reports with the other sites, answers HTTP. The destructor ends HTTP first, for handlers use all
/// the rest, then everything else in reverse order.
class Daemon {
  public:
    Daemon(Config config, const Clock& clock);
    ~Daemon();

    nlohmann::json status() const;
    uint16_t http_port() const { return server_.port(); }

  private:
    void follow_epoch(const std::stop_token& stop, Worker::Progress progress);
    bool take_role();
    void keep_lease();
    std::chrono::milliseconds until_next_look(bool has_role) const;
    std::string stream_to_read() const;
    Upstream upstream();
    void look_at_readiness(const std::stop_token& stop, Worker::Progress progress);
    std::shared_ptr<Half> half() const;
    /// "primary", "secondary", "fenced", "changing", or "unassigned".
    std::string role() const;
    nlohmann::json failover() const;
    http::HttpResponse loss_report(const std::string& operation, uint64_t epoch) const;
    void exchange_reports(const std::stop_token& stop, Worker::Progress progress);
    v1::SiteReport own_report() const;
    /// status() without the rows of the sites.
    nlohmann::json own_status() const;
    /// What own_site() reads of that.
    nlohmann::json stores_status() const;
    void show_workers(nlohmann::json& status) const;
    void add_routes();
    std::vector<nlohmann::json> events(uint64_t after, size_t most) const;
    void show_sites(nlohmann::json& status) const;
    nlohmann::json own_site(const nlohmann::json& status) const;

    const Config config_;
    const Clock& clock_;
    const TimePoint started_at_;
    const StateLock lock_;
    RuntimeLimits limits_;
    http::HttpServer server_;

    Doorbell epoch_changed_;
    // Epoch worker only, but for Conductor::status():
    failover::Records records_;
    failover::Journal journal_;
    const std::unique_ptr<LeaseKeeper> lease_;  ///< nullptr: there is no witness
    SiteHands hands_;
    failover::Conductor conductor_;
    SeenElsewhere seen_elsewhere_;
    LossReports losses_;      ///< of a worker of its own
    OldStreams old_streams_;  ///< of the worker that exchanges reports
    failover::Half running_ = failover::Half::None;
    uint64_t running_epoch_ = 0;
    uint64_t running_end_ = 0;    ///< the epoch with whose beginning what it reads ends; 0: none
    std::string running_stream_;  ///< a secondary's upstream

    mutable std::mutex mutex_;
    std::condition_variable_any readiness_forgotten_;
    // Under mutex_:
    std::shared_ptr<Half> half_;
    std::weak_ptr<Half> leaving_;  ///< a secondary's that is still held by whoever asks it
    std::optional<Readiness> readiness_;
    std::map<std::string, v1::SiteReport> reports_;

    Disks disks_;
    StatusFeed feed_;
    NotifyService notify_;
    Workers workers_;  // last: ends before what it uses
};

}  // namespace antipode
