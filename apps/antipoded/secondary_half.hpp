#pragma once

#include <algorithm>
#include <atomic>
#include <mutex>

#include "adapters/http/client.hpp"
#include "adapters/http/server.hpp"
#include "adapters/nats/jetstream.hpp"
#include "adapters/nats/key_value.hpp"
#include "adapters/nats/requests.hpp"
#include "apps/antipoded/drill.hpp"
#include "apps/antipoded/expected_loss.hpp"
#include "apps/antipoded/half.hpp"
#include "apps/antipoded/mirror_watching.hpp"
#include "apps/antipoded/pull_places.hpp"
#include "apps/antipoded/runtime_limits.hpp"
#include "apps/antipoded/secondary_requests.hpp"
#include "apps/antipoded/secondary_stores.hpp"
#include "apps/antipoded/site_requests.hpp"
#include "apps/antipoded/stream_watch.hpp"
#include "apps/antipoded/worker_group.hpp"
#include "base/config.hpp"
#include "base/recent_stream.hpp"
#include "secondary/catch_up.hpp"
#include "secondary/inventory_check.hpp"
#include "secondary/pulls.hpp"
#include "secondary/receiver.hpp"
#include "secondary/registry.hpp"
#include "secondary/relay.hpp"
#include "secondary/repair.hpp"
#include "secondary/sweep.hpp"

namespace antipode {

/// Where a secondary takes from.
struct Upstream {
    std::string primary;
    /// Whose stream it reads: the primary's, or of an epoch that has ended another site's.
    std::string stream_of;
    /// The epoch has ended there, and `primary` is that of the next one: only what is left of it is
    /// applied.
    std::optional<v1::EpochStart> ended;
};

/// A site that is asked for large content, and need not be there.
http::HttpBulkSource::Options place_of(const Config& config, const std::string& site,
                                       const RuntimeLimits& limits);
/// Who may have large content but the primary: whose stream is read comes first.
std::vector<http::HttpBulkSource::Options> other_places(const Config& config,
                                                        const Upstream& upstream,
                                                        const RuntimeLimits& limits);

/// What a daemon does while its site is a secondary: relay, pull, apply, ask again for what it
/// lacks.
class SecondaryHalf final : public Half {
  public:
    SecondaryHalf(const Config& config, uint64_t epoch, const Upstream& upstream,
                  http::HttpServer& server, RuntimeLimits& limits, const Clock& clock);
    ~SecondaryHalf() override;

    void report(v1::SiteReport& report) const override;
    void hear(const std::vector<v1::SiteReport>& reports) override;
    void show(nlohmann::json& status) const override;
    void show_took(nlohmann::json& status) const override;
    nlohmann::json items(const StoreId& store, const ItemQuery& query) const override;
    const protocol::EventLog& events() const override { return receiver_.events(); }
    std::vector<WorkerState> workers() const override;
    bool has_stopped() const override { return stopped_; }

    /// What would be lost if this site were promoted now. Any thread.
    std::optional<std::string> expected_loss() { return expected_loss_.answer(); }
    /// Does what an operator asks of a secondary (SecondaryRequests). Any thread.
    v1::SiteAnswer fulfil(const v1::SiteRequest& request);

    // For the change of the primary; any thread.

    /// Everything up to `cuts` is applied. Throws Error{Retry} while an item or rows are missing.
    bool has_reached(const google::protobuf::RepeatedPtrField<v1::LaneCut>& cuts) const;
    /// Where each lane stands, what is seen to be missing, and the newest marker.
    std::vector<secondary::ReceiverLaneStatus> lanes() const { return receiver_.status(); }
    std::optional<TimePoint> recovery_point() const { return receiver_.recovery_point(); }
    /// The stream that this site follows can be read.
    bool reads() const;
    /// Something of the lane is applied right now: nothing holds it up.
    bool is_at_work(const secondary::ReceiverLaneStatus& lane) const;
    const secondary::Registry& registry() const { return registry_; }
    /// Nothing behind it can have come here. Throws Error{Retry} before the relay has begun.
    Position newest_here() const;
    /// The same, as far as it is known; and what of it is taken in.
    Position came() const { return std::max(relay_.status().relayed, receiver_.accepted()); }
    Position taken() const { return receiver_.accepted(); }
    /// This site is about to be the primary: what comes behind `end` is not taken in any more.
    void stop_at(const Position& end);
    /// Everything that came up to `position` is applied.
    bool has_applied(const Position& position) const;
    /// This site is about to be the primary: it must have what is here.
    void resume_all();
    /// The same: large content is pulled from every site that has it. Again while it lasts.
    void pull_from_all();
    /// What is not pulled yet, in bytes; and something of it nobody was asked for yet.
    uint64_t to_pull() const;
    bool pulls_more() const {
        return pull_places_.asks_others() && pulls_.has_untried(StoreKind::Blobs);
    }
    /// Of an epoch that has ended: everything of the lane that is before its end is applied.
    bool has_ended(const StoreId& store) const { return receiver_.has_ended(store); }
    /// The epoch with whose beginning that is; 0: what it reads has not ended.
    uint64_t end() const { return end_; }
    std::set<StoreId> paused() const { return pauses_.stores(); }

  private:
    struct Summary {
        std::string state;
        std::string reason;
        std::string next_step;
        uint64_t verified = 0;
        uint64_t parked = 0;
    };
    void serve_held();
    void start_workers();
    void start_work_with_primary();
    void compare_what_is_lost(secondary::DatabaseApply& apply, const std::stop_token& stop);
    void start_checks();
    void start_sweeps();
    void start_mirror_watch(SecondaryItems& store);
    std::string why_no_item(const StoreId& store, const std::string& item) const;
    void run_requests(const std::stop_token& stop, Worker::Progress progress);
    bool is_copied(const StoreId& store) const;
    void tell_safe(const secondary::Safe& safe);
    void show_catch_up(const secondary::ReceiverLaneStatus& lane, TimePoint now,
                       nlohmann::json& row) const;
    nlohmann::json show_inventory(const StoreId& store) const;
    nlohmann::json show_content_check(const StoreId& store) const;
    nlohmann::json show_lane(const secondary::ReceiverLaneStatus& lane, TimePoint now) const;
    std::string state_of(const secondary::ReceiverLaneStatus& lane, std::string& reason,
                         std::string& next_step) const;
    bool show_worker(const std::vector<WorkerState>& workers, const StoreId& store,
                     std::string& reason, std::string& next_step) const;
    const WorkerState* problem_of(const std::vector<WorkerState>& workers,
                                  const StoreId& store) const;
    /// nullptr: the store is no database.
    SecondaryDatabase* database_of(const StoreId& store) const;
    static void show_watch(SecondaryDatabase& database, const StoreId& store,
                           const std::vector<WorkerState>& workers, std::string& reason,
                           std::string& next_step);
    std::string why_unknown(const std::vector<secondary::ReceiverLaneStatus>& lanes) const;

    const Config& config_;
    const uint64_t epoch_;
    const uint64_t end_;  ///< as end()
    const Clock& clock_;
    http::HttpServer& server_;
    RuntimeLimits& limits_;
    const std::vector<StoreId> ids_;
    secondary::Registry registry_;
    SecondaryStores stores_;
    http::HttpBulkSource bulk_;
    PullPlaces pull_places_;
    nats::JetStream upstream_;
    nats::JetStream relay_stream_;
    nats::JetStream receive_stream_;
    RecentMessages recent_;  ///< what the relay stored, for the receiver
    RememberedAppends relay_appends_;
    RememberedReads receiver_reads_;
    nats::Requester requester_;
    nats::Requester safe_teller_;
    secondary::Pulls pulls_;
    secondary::Receiver receiver_;
    secondary::Relay relay_;
    secondary::Repair repair_;
    secondary::InventoryCheck inventory_check_;
    mutable Synchronized<std::map<StoreId, secondary::CatchUp>> catch_ups_;
    std::map<StoreId, std::unique_ptr<secondary::Sweep>> sweeps_;
    std::map<StoreId, std::unique_ptr<MirrorWatching>> mirror_watches_;
    Pauses pauses_;
    std::mutex asking_;  ///< one asks at a time
    SecondaryRequests asked_;
    SiteRequests requests_;
    std::atomic<bool> stopped_ = false;
    std::atomic<bool> heard_ = false;  ///< the primary knows of this site: it keeps what we lack
    WorkerGroup pull_workers_;
    Drill drill_;
    ExpectedLoss expected_loss_;
    StreamWatch stream_watch_;
    Workers workers_;  // last: ends before what it uses
};

}  // namespace antipode
