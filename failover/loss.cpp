#include "failover/loss.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/digest.hpp"
#include "base/limits.hpp"
#include "protocol/message.hpp"
#include "protocol/stream_search.hpp"

namespace antipode::failover {
namespace {

using Json = nlohmann::ordered_json;

/// What was announced of each store's items and is not fulfilled yet.
using Open = std::map<std::pair<StoreId, std::string>, Loss>;

/// Goes through the events behind the lanes' ends, in order.
class Search {
  public:
    Search(LossReport& report, const secondary::Registry& registry)
        : report_(report), registry_(registry) {
        for (const LaneEnd& lane : report.lanes) {
            ends_[lane.store] = lane.finished;
        }
    }

    void see(const protocol::Event& event) {
        report_.last_event = event.captured_at;
        const auto end = event.store ? ends_.find(*event.store) : ends_.end();
        if (end == ends_.end() || event.position <= end->second) {
            return;
        }
        const v1::Payload& payload = event.payload;
        if (payload.has_announcement()) {
            for (const std::string& item : payload.announcement().items()) {
                if (!payload.announcement().removals()) {
                    open_.try_emplace({*event.store, item},
                                      Loss{Loss::Kind::Announced, *event.store, item,
                                           event.position, event.captured_at, "it never came"});
                }
            }
        } else if (payload.has_transaction()) {
            const v1::Transaction& transaction = payload.transaction();
            if (transaction.last() && (transaction.change_count() > 0 || transaction.part() > 0)) {
                add({Loss::Kind::SetAside, *event.store,
                     "xid " + std::to_string(transaction.xid()) + " at " +
                         Lsn{transaction.commit_lsn()}.to_string(),
                     event.position, event.captured_at, "it waits for what never came"});
            }
        } else {
            see_item(event);
        }
    }

    void finish() {
        for (const auto& [key, loss] : open_) {
            add(loss);
        }
        for (const secondary::Exception& exception : registry_.exceptions(most_losses)) {
            if (exception.kind != secondary::ExceptionKind::Mended) {
                add({Loss::Kind::Failed, exception.store, exception.item, exception.position,
                     std::nullopt, exception.reason});
            }
        }
    }

  private:
    void see_item(const protocol::Event& event) {
        if (event.payload.has_reconciled()) {
            open_.erase({*event.store, protocol::whole_store});
            return;
        }
        const auto item = protocol::item_of(event.payload);
        if (!item || event.payload.has_unreadable()) {
            return;
        }
        open_.erase({*event.store, *item});
        const auto known = registry_.find(*event.store, *item);
        const bool applied = known && known->position >= event.position;
        if (!applied && !event.payload.has_unchanged() &&
            !registry_.is_exception(*event.store, *item)) {
            add({Loss::Kind::SetAside, *event.store, *item, event.position, event.captured_at,
                 "its content never came, or it waits for rows"});
        }
    }
    void add(Loss loss) {
        ++report_.known;
        if (report_.losses.size() < most_losses) {
            report_.losses.push_back(std::move(loss));
        }
    }

    LossReport& report_;
    const secondary::Registry& registry_;
    std::map<StoreId, Position> ends_;
    Open open_;
};

Json time_of(const std::optional<TimePoint>& time) {
    return time ? Json(to_microseconds(*time)) : Json();
}

}  // namespace

std::string_view to_string(Loss::Kind kind) {
    switch (kind) {
        case Loss::Kind::Announced:
            return "announced";
        case Loss::Kind::SetAside:
            return "set-aside";
        case Loss::Kind::Failed:
            return "failed";
    }
    return "?";
}

std::optional<TimePoint> LossReport::unknown_since() const {
    std::optional<TimePoint> least;
    for (const LaneEnd& lane : lanes) {
        if (!lane.captured_through) {
            return std::nullopt;
        }
        least = least ? std::min(*least, *lane.captured_through) : *lane.captured_through;
    }
    return least;
}

void find_losses(LossReport& report, Stream& stream, const secondary::Registry& registry) {
    std::optional<Position> least;
    for (const LaneEnd& lane : report.lanes) {
        least = least ? std::min(*least, lane.finished) : lane.finished;
    }
    uint64_t next =
        protocol::find_behind(stream, report.cluster, report.epoch, least.value_or(Position{}))
            .sequence;
    const uint64_t end = stream.info().last_sequence;
    // The newest event of all may stand at or before the ends.
    next = std::max<uint64_t>(1, std::min(next, end));
    Search search(report, registry);
    protocol::Assembler assembler;
    while (next <= end) {
        const auto messages = stream.read(next, limits::wait);
        if (messages.empty()) {
            break;
        }
        for (const StoredMessage& stored : messages) {
            auto opened = protocol::open(stored.bytes, report.cluster, report.epoch);
            const auto* message = std::get_if<protocol::Message>(&opened);
            if (message == nullptr) {
                continue;
            }
            auto assembled = assembler.add(*message);
            const auto* event = std::get_if<std::optional<protocol::Event>>(&assembled);
            if (event != nullptr && *event) {
                search.see(**event);
            }
        }
        next = messages.back().sequence + 1;
    }
    search.finish();
}

std::string LossReport::to_json() const {
    Json stores = Json::array();
    for (const LaneEnd& lane : lanes) {
        stores.push_back({{"store", lane.store.to_string()},
                          {"applied_position", lane.finished.to_string()},
                          {"applied_lsn", lane.lsn ? Json(lane.lsn.to_string()) : Json()},
                          {"captured_through_us", time_of(lane.captured_through)}});
    }
    Json items = Json::array();
    for (const Loss& loss : losses) {
        items.push_back({{"kind", to_string(loss.kind)},
                         {"store", loss.store.to_string()},
                         {"item", loss.item.empty() ? Json() : Json(printable(loss.item))},
                         {"position", loss.position.to_string()},
                         {"captured_at_us", time_of(loss.captured_at)},
                         {"reason", loss.reason}});
    }
    const Json report = {{"schema", "antipode.loss-report/1"},
                         {"state", "preliminary"},
                         {"cluster", cluster},
                         {"operation", operation},
                         {"old_primary", old_primary},
                         {"new_primary", new_primary},
                         {"epoch_ended", epoch},
                         {"fenced_by", fenced_by},
                         {"at_us", to_microseconds(at)},
                         {"last_marker_us", time_of(last_marker)},
                         {"last_event_us", time_of(last_event)},
                         {"unknown_since_us", time_of(unknown_since())},
                         {"stores", stores},
                         {"known_lost", known},
                         {"losses", items}};
    return report.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace antipode::failover
