#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "adapters/http/server.hpp"
#include "adapters/nats/key_value.hpp"
#include "apps/antipoded/half.hpp"
#include "apps/antipoded/state_lock.hpp"
#include "base/config.hpp"
#include "failover/epoch.hpp"

namespace antipode {

/// One running antipoded: follows the epoch record, runs the half that its role asks for, exchanges
/// reports with the other sites, answers HTTP. The destructor stops everything in reverse order.
class Daemon {
  public:
    Daemon(Config config, const Clock& clock);
    ~Daemon();

    nlohmann::json status() const;
    uint16_t http_port() const { return server_.port(); }

  private:
    void follow_epoch(const std::stop_token& stop, Worker::Progress progress);
    std::optional<v1::EpochRecord> newest_record(bool ask_others);
    void take_role(const v1::EpochRecord& record);
    void exchange_reports(const std::stop_token& stop, Worker::Progress progress);
    v1::SiteReport own_report() const;
    void add_routes();
    http::HttpResponse ready() const;
    http::HttpResponse events(const http::HttpRequest& request) const;
    void show_sites(nlohmann::json& status) const;
    nlohmann::json own_site(const nlohmann::json& status) const;

    const Config config_;
    const Clock& clock_;
    const TimePoint started_at_;
    const StateLock lock_;
    http::HttpServer server_;
    nats::Bucket own_bucket_;         ///< epoch worker only
    failover::EpochJournal journal_;  ///< epoch worker only

    mutable std::mutex mutex_;
    // Under mutex_:
    std::optional<v1::EpochRecord> record_;
    std::shared_ptr<Half> half_;
    std::map<std::string, v1::SiteReport> reports_;

    Workers workers_;  // last: ends before what it uses
};

}  // namespace antipode
