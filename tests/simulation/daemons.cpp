#include "tests/simulation/daemons.hpp"

namespace antipode::simulation {
namespace {

const std::vector<StoreId> stores{rows_id, blobs_id, repositories_id};

/// Bytes that are read in pieces.
class Body final : public BulkBody {
  public:
    explicit Body(std::string bytes) : bytes_(std::move(bytes)) {}
    std::optional<uint64_t> size() const override { return bytes_.size(); }
    void seek(uint64_t offset) override { at_ = std::min<size_t>(offset, bytes_.size()); }
    size_t read(std::span<char> buffer) override {
        const size_t count = bytes_.copy(buffer.data(), buffer.size(), at_);
        at_ += count;
        return count;
    }

  private:
    std::string bytes_;
    size_t at_ = 0;
};

class ContentBulk final : public BulkHandler {
  public:
    explicit ContentBulk(SimulatedItemCapture& capture) : capture_(capture) {}
    std::unique_ptr<BulkBody> open(const BulkRequest& request) override {
        const auto reference = from_hex(request.query.at("ref"));
        auto content = capture_.content(reference.value_or(""));
        return content ? std::make_unique<Body>(std::move(*content)) : nullptr;
    }

  private:
    SimulatedItemCapture& capture_;
};

primary::Publisher::Options publisher_options() {
    primary::Publisher::Options options;
    options.cluster = cluster;
    options.site = "primary";
    options.epoch = epoch;
    options.marker_interval = std::chrono::milliseconds(100);
    options.reconcile_interval = std::chrono::seconds(20);
    options.wait = std::chrono::milliseconds(0);
    return options;
}

secondary::Receiver::Options receiver_options(std::chrono::milliseconds max_hold,
                                              Sabotage sabotage) {
    secondary::Receiver::Options receiver;
    receiver.cluster = cluster;
    receiver.epoch = epoch;
    receiver.wait = std::chrono::milliseconds(0);
    receiver.order.max_hold = max_hold;
    receiver.order.causal = sabotage != Sabotage::Eager;
    // Small, so that it fills.
    receiver.order.lane_events = 12;
    receiver.order.lane_bytes = 8000;
    return receiver;
}

}  // namespace

PrimaryDaemon::PrimaryDaemon(Service& service, primary::Inventory& inventory, Broker& broker,
                             Faults& faults, const Clock& clock, bool watched)
    : service_(service),
      blobs_(service, inventory, faults),
      repositories_(service, inventory, faults, watched),
      rows_(service, faults),
      blob_bulk_(blobs_id, inventory, std::make_shared<ContentBulk>(blobs_)),
      repository_bulk_(repositories_id, inventory, std::make_shared<ContentBulk>(repositories_)),
      publisher_(publisher_options(), broker.stream, inventory, {&rows_}, {&blobs_, &repositories_},
                 clock) {
    service_.on_change = [this](const StoreId& store, const std::string& item) {
        if (store == blobs_id) {
            blobs_.noticed(item);
        } else {
            repositories_.noticed(item);
        }
    };
}

PrimaryDaemon::~PrimaryDaemon() {
    service_.on_change = nullptr;
}

void PrimaryDaemon::publish() {
    try {
        if (!in_session_) {
            publisher_.begin_session();
            in_session_ = true;
        }
        publisher_.step({});
    } catch (const Error&) {
        in_session_ = false;
        throw;
    }
}

void PrimaryDaemon::capture_rows() {
    publisher_.capture_database(rows_, {});
}

Lsn PrimaryDaemon::stored() const {
    for (const primary::PublisherStatus::Lane& lane : publisher_.status().lanes) {
        if (lane.store == rows_id) {
            return lane.stored;
        }
    }
    return {};
}

BulkHandler* PrimaryDaemon::bulk(const std::string& path) {
    return path.starts_with(blobs_id.to_string()) ? &blob_bulk_ : &repository_bulk_;
}

SecondaryDaemon::SecondaryDaemon(std::chrono::milliseconds max_hold, Replica& replica,
                                 secondary::Registry& registry, FileTree& blob_tree,
                                 FileTree& repository_tree, Broker& upstream, Broker& local,
                                 BulkSource& primary, const secondary::Repair::Send& send,
                                 Faults& faults, const Clock& clock)
    : faults_(faults),
      registry_(registry),
      primary_(primary),
      blobs_(replica, blob_tree, faults),
      repositories_(replica, repository_tree, faults),
      rows_(replica, faults),
      blob_contents_(blobs_id, blob_tree, "incoming"),
      repository_contents_(repositories_id, repository_tree, "incoming"),
      pulls_(
          {{blobs_id, &blob_contents_}, {repositories_id, &repository_contents_}},
          [this](const StoreId& store) { receiver_.content_arrived(store); }, clock),
      receiver_(receiver_options(max_hold, faults.sabotage), local.stream, stores, registry, pulls_,
                expected_digest, clock),
      relay_(
          {cluster, epoch, stores, std::chrono::milliseconds(0)}, upstream.stream, local.stream,
          pulls_, registry, [] {}, clock),
      repair_(
          "secondary", stores, registry, primary, send,
          [&replica](const StoreId&) { return replica.position.lsn; }, clock) {}

void SecondaryDaemon::relay() {
    try {
        if (!relay_begun_) {
            relay_.begin();
            relay_begun_ = true;
        }
        relay_.step();
    } catch (const Error&) {
        relay_begun_ = false;
        throw;
    }
}

void SecondaryDaemon::receive() {
    try {
        if (!receiver_begun_) {
            receiver_.begin({});
            receiver_begun_ = true;
        }
        receiver_.step({});
        if (faults_.sabotage == Sabotage::SkippedGap) {
            for (const StoreId& store : stores) {
                if (const auto gap = registry_.gap(store)) {
                    registry_.mend_gap(store, gap->at);
                }
            }
        }
    } catch (const Error&) {
        receiver_begun_ = false;
        throw;
    }
}

void SecondaryDaemon::apply_rows() {
    try {
        if (!rows_begun_) {
            receiver_.begin_database(rows_, primary_, {});
            rows_begun_ = true;
        }
        receiver_.apply_database(rows_);
    } catch (const Error&) {
        rows_begun_ = false;
        throw;
    }
}

std::string SecondaryDaemon::waits_for() const {
    std::string text;
    for (const secondary::ReceiverLaneStatus& lane : receiver_.status()) {
        text += "\n  " + lane.store.to_string() + " stands at " + lane.order.finished.to_string() +
                ", " + std::to_string(lane.order.waiting) + " events wait; " + lane.order.held_by +
                lane.order.problem + (lane.gap ? "; a gap" : "") +
                (lane.exceptions > 0 ? "; exceptions" : "") + (lane.copying ? "; copying" : "");
    }
    return text;
}

Lsn SecondaryDaemon::safe() const {
    const auto lsns = relay_.status().safe.lsns;
    const auto found = lsns.find(rows_id);
    return found == lsns.end() ? Lsn{} : found->second;
}

}  // namespace antipode::simulation
