#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "adapters/http/server.hpp"
#include "adapters/nats/jetstream.hpp"
#include "adapters/nats/requests.hpp"
#include "apps/antipoded/check_rows.hpp"
#include "apps/antipoded/half.hpp"
#include "apps/antipoded/primary_requests.hpp"
#include "apps/antipoded/primary_stores.hpp"
#include "apps/antipoded/runtime_limits.hpp"
#include "apps/antipoded/site_requests.hpp"
#include "apps/antipoded/stream_watch.hpp"
#include "base/config.hpp"
#include "base/growth.hpp"
#include "base/synchronized.hpp"
#include "primary/publisher.hpp"
#include "primary/registered_sites.hpp"
#include "primary/safe_points.hpp"
#include "primary/sweep.hpp"

namespace antipode {

/// What a daemon does while its site is the primary: capture, publish, serve bulk pulls, answer
/// wants, confirm slots.
class PrimaryHalf final : public Half {
  public:
    PrimaryHalf(const Config& config, uint64_t epoch, http::HttpServer& server,
                RuntimeLimits& limits, const Clock& clock);
    ~PrimaryHalf() override;

    void report(v1::SiteReport& report) const override;
    void hear(const std::vector<v1::SiteReport>& heard) override;
    void show(nlohmann::json& status) const override;
    nlohmann::json items(const StoreId& store, const ItemQuery& query) const override;
    const protocol::EventLog& events() const override { return publisher_.events(); }
    std::vector<WorkerState> workers() const override { return workers_.states(); }

    // For programs that wait until what they wrote is stored. Any thread.

    /// nullptr: there is no such store of files or repositories.
    primary::ItemCapture* items_of(const StoreId& store) const;
    /// See Publisher::notify.
    bool notify(primary::Notification notification) {
        return publisher_.notify(std::move(notification));
    }
    /// Why a worker that the store waits for does not get on; empty: they all do.
    std::string publishing_problem(const StoreId& store) const;

    /// Behind a fence: waits until everything that was written is published and stored, sequences
    /// included; where each lane ends then, with the digest of its items. Any thread, one at a
    /// time. Throws Error{Retry} that says what is not done after `limit`.
    google::protobuf::RepeatedPtrField<v1::LaneCut> final_capture(std::chrono::milliseconds limit);

  private:
    struct Wanted {
        SteadyTime reconciled_from;
        std::map<StoreId, Lsn> stored;
    };
    /// Why a lane has not everything; empty: it has.
    static std::string why_incomplete(const primary::PublisherStatus::Lane& lane,
                                      const Wanted& wanted);
    google::protobuf::RepeatedPtrField<v1::LaneCut> cuts_of(
        const primary::PublisherStatus& status) const;
    void serve_bulk();
    void start_sweeps();
    void start_workers();
    void hear_safe();
    /// True: all of its rows were read again.
    bool check_inventory(const StoreId& store);
    void answer_want(const std::stop_token& stop);
    /// "ok", or why the want cannot be met.
    std::string take_want(v1::Want want);
    static const WorkerState* problem_of(const std::vector<WorkerState>& workers,
                                         const StoreId& store);
    std::string remark_of(const StoreId& store) const;
    const Config::Database& config_of(const StoreId& store) const;
    void confirm(primary::DatabaseCapture& capture, std::optional<Lsn> stored,
                 const std::vector<v1::SiteReport>& reports);
    /// What reading everything again found.
    void show_defects(const StoreId& store, nlohmann::json& row, nlohmann::json& exceptions) const;
    static void show_deletions(const primary::PublisherStatus::Lane& lane, nlohmann::json& row);
    void show_retention(const StoreId& store, const SourceFacts::Slot& slot,
                        nlohmann::json& row) const;
    void show_slot(const StoreId& store, nlohmann::json& row) const;

    const Config& config_;
    const Clock& clock_;
    http::HttpServer& server_;
    RuntimeLimits& limits_;
    std::shared_ptr<primary::Inventory> inventory_;
    std::shared_ptr<primary::Inventory>
        cut_;  ///< for the primary before; nullptr: it was handed over
    PrimaryStores stores_;
    std::map<StoreId, std::unique_ptr<primary::Sweep>> sweeps_;
    nats::JetStream stream_;
    primary::Publisher publisher_;
    std::mutex hearing_;  ///< one at a time hears of sites
    CheckNews check_news_;
    primary::RegisteredSites sites_;
    primary::LetGo let_go_;
    Synchronized<std::map<StoreId, Growth>> log_growth_;  ///< of databases' write-ahead logs
    nats::Responder responder_;
    nats::Responder safe_hearer_;
    PrimaryRequests asked_;
    SiteRequests requests_;
    StreamWatch stream_watch_;
    Workers workers_;  // last: ends before what it uses
};

}  // namespace antipode
