#include "failover/loss.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "protocol/message.hpp"
#include "protocol/stream_search.hpp"

namespace antipode::failover {
namespace {

using Json = nlohmann::ordered_json;

using ItemKey = std::pair<StoreId, std::string>;

constexpr const char* content_missing = "its content never came, or it waits for rows";

std::string object_name(const std::string& oid, const std::string& target) {
    return oid.empty() ? target : to_hex(oid);
}

/// Goes through the events behind the lanes' ends, in order.
class Search {
  public:
    Search(LossReport& report, const secondary::Registry& registry)
        : report_(report), registry_(registry) {
        for (const LaneEnd& lane : report.lanes) {
            ends_[lane.store] = lane;
        }
    }

    /// A message that can be read comes next.
    void come_to(const protocol::Message& message) { judge_damaged(message.first()); }

    /// Where it stands, and how many events share it, is known from the one that comes next.
    void see_damaged(const StoredMessage& message, protocol::Refusal why) {
        damaged_.push_back(damaged_message(message, protocol::to_string(why)));
    }

    void see(const protocol::Event& event) {
        report_.last_event = event.captured_at;
        const auto end = event.store ? ends_.find(*event.store) : ends_.end();
        if (end == ends_.end() || event.position <= end->second.finished) {
            return;
        }
        if (event.payload.has_announcement()) {
            see_announcement(event);
        } else if (event.payload.has_transaction()) {
            see_transaction(event, end->second.lsn);
        } else {
            see_item(event);
        }
    }

    void finish() {
        judge_damaged(std::nullopt);
        for (const auto& [transaction, loss] : cut_short_) {
            add(loss);
        }
        for (const auto& [key, loss] : set_aside_) {
            add(loss);
        }
        for (const auto& [key, loss] : open_) {
            const bool counted =
                set_aside_.contains(key) || registry_.is_exception(key.first, key.second);
            if (!counted) {
                add(loss);
            }
        }
        for (const secondary::Exception& exception : registry_.exceptions(all)) {
            if (exception.kind != secondary::ExceptionKind::Mended) {
                add({Loss::Kind::Failed,
                     exception.store,
                     exception.item,
                     exception.position,
                     std::nullopt,
                     exception.reason,
                     {}});
            }
        }
    }

  private:
    static constexpr size_t all = 1'000'000;

    /// `next`: where the events go on behind the damaged messages; nullopt: nowhere.
    void judge_damaged(const std::optional<Position>& next) {
        for (size_t messages = damaged_.size(); auto& loss : std::exchange(damaged_, {})) {
            const auto end = loss ? ends_.find(loss->store) : ends_.end();
            if (end != ends_.end() && !(next && reaches(end->second.finished, *next, messages))) {
                add(*loss);
            }
            --messages;
        }
    }
    /// Whether `finished` covers the first of so many messages right before `next`. Numbers have no
    /// gaps, and each message has one at least.
    static bool reaches(const Position& finished, const Position& next, uint64_t messages) {
        const bool same = finished.epoch == next.epoch && finished.session == next.session;
        return finished >= next ||
               (same && next.number > messages && finished.number >= next.number - messages);
    }

    void see_announcement(const protocol::Event& event) {
        const v1::Announcement& announcement = event.payload.announcement();
        for (const std::string& item : announcement.items()) {
            if (!announcement.removals()) {
                open_.try_emplace({*event.store, item}, Loss{Loss::Kind::Announced,
                                                             *event.store,
                                                             item,
                                                             event.position,
                                                             event.captured_at,
                                                             "it never came",
                                                             {}});
            }
        }
    }
    void see_transaction(const protocol::Event& event, Lsn applied) {
        const v1::Transaction& transaction = event.payload.transaction();
        if (!transaction.last()) {
            if (Lsn{transaction.commit_lsn()} >= applied) {
                Loss loss = transaction_loss(event, Loss::Kind::Announced, transaction.xid(),
                                             transaction.commit_lsn());
                loss.reason = "its end never came";
                cut_short_[{*event.store, transaction.xid()}] = std::move(loss);
            }
            return;
        }
        // Others may have come before its end.
        cut_short_.erase({*event.store, transaction.xid()});
        for (const v1::Transaction::Member& member : transaction.members()) {
            cut_short_.erase({*event.store, member.xid()});
            if (Lsn{member.end_lsn()} > applied) {
                add(transaction_loss(event, Loss::Kind::SetAside, member.xid(),
                                     member.commit_lsn()));
            }
        }
        // Where sequences stand is no write of anybody's, and neither is a barrier.
        const bool changes = transaction.change_count() > 0 || transaction.part() > 0 ||
                             transaction.statements_size() > 0;
        if (transaction.members_size() == 0 && changes) {
            add(transaction_loss(event, Loss::Kind::SetAside, transaction.xid(),
                                 transaction.commit_lsn()));
        }
    }
    static Loss transaction_loss(const protocol::Event& event, Loss::Kind kind, uint32_t xid,
                                 uint64_t commit_lsn) {
        return {kind,
                *event.store,
                "xid " + std::to_string(xid) + " at " + Lsn{commit_lsn}.to_string(),
                event.position,
                event.captured_at,
                "it waits for what never came",
                {}};
    }

    void see_item(const protocol::Event& event) {
        if (event.payload.has_reconciled()) {
            open_.erase({*event.store, protocol::whole_store});
            return;
        }
        const auto item = protocol::item_of(event.payload);
        if (!item || event.payload.has_unreadable()) {
            return;
        }
        const ItemKey key{*event.store, *item};
        open_.erase(key);
        const auto known = registry_.find(*event.store, *item);
        const bool applied =
            known ? known->position >= event.position : protocol::is_removal(event.payload);
        if (applied || event.payload.has_unchanged() ||
            registry_.is_exception(*event.store, *item)) {
            return;
        }
        // However often it changed, the item is lost once: as it was last.
        Loss& loss =
            set_aside_
                .try_emplace(key, Loss{Loss::Kind::SetAside, *event.store, *item, {}, {}, {}, {}})
                .first->second;
        loss.position = event.position;
        loss.captured_at = event.captured_at;
        loss.reason =
            protocol::is_removal(event.payload) ? "its removal waits for rows" : content_missing;
        see_refs(event.payload.ref_update(), loss);
    }
    static void see_refs(const v1::RefUpdate& update, Loss& loss) {
        for (const v1::Ref& ref : update.refs()) {
            const auto before = loss.refs.find(ref.name());
            const std::string old = before == loss.refs.end()
                                        ? object_name(ref.old_oid(), ref.old_target())
                                        : before->second.old_value;
            loss.refs[ref.name()] = {old, object_name(ref.new_oid(), ref.new_target())};
        }
    }
    void add(const Loss& loss) {
        ++report_.known;
        report_.set_aside += loss.kind == Loss::Kind::SetAside ? 1 : 0;
        if (report_.losses.size() < most_losses) {
            report_.losses.push_back(loss);
        }
    }

    LossReport& report_;
    const secondary::Registry& registry_;
    std::vector<std::optional<Loss>> damaged_;  ///< messages since the last one that can be read
    std::map<StoreId, LaneEnd> ends_;
    std::map<ItemKey, Loss> open_;       ///< announced, and not fulfilled yet
    std::map<ItemKey, Loss> set_aside_;  ///< came, and is not applied
    /// Transactions of which only a part came, by xid.
    std::map<std::pair<StoreId, uint32_t>, Loss> cut_short_;
};

Json time_of(const std::optional<TimePoint>& time) {
    return time ? Json(to_microseconds(*time)) : Json();
}

Json row_of(const Loss& loss) {
    Json refs = Json::array();
    for (const auto& [name, change] : loss.refs) {
        refs.push_back(
            {{"ref", printable(name)}, {"old", change.old_value}, {"new", change.new_value}});
    }
    Json row = {{"kind", to_string(loss.kind)},
                {"store", loss.store.to_string()},
                {"item", loss.item.empty() ? Json() : Json(printable(loss.item))},
                {"position", loss.position.is_origin() ? Json() : Json(loss.position.to_string())},
                {"captured_at_us", time_of(loss.captured_at)},
                {"reason", loss.reason},
                {"refs", refs}};
    if (printable(loss.item) != loss.item) {
        row["item_hex"] = to_hex(loss.item);
    }
    if (loss.changes > 0) {
        row["changes"] = loss.changes;
    }
    if (!loss.kept.empty()) {
        row["kept"] = printable(loss.kept);
    }
    return row;
}

std::string text_of(const Json& json, int indent) {
    return json.dump(indent, ' ', false, Json::error_handler_t::replace);
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
        case Loss::Kind::Quarantined:
            return "quarantined";
        case Loss::Kind::Undone:
            return "undone";
        case Loss::Kind::LetGo:
            return "let-go";
        case Loss::Kind::Unreadable:
            return "unreadable";
    }
    return "?";
}

std::string_view without_place(std::string_view item) {
    return item.substr(0, item.find(" at "));
}

std::optional<Loss> damaged_message(const StoredMessage& message, std::string_view why) {
    const auto store = protocol::lane_of(message.subject);
    if (!store) {
        return std::nullopt;
    }
    Loss loss;
    loss.kind = Loss::Kind::Unreadable;
    loss.store = *store;
    loss.item = "message " + std::to_string(message.sequence) + " of the stream";
    loss.reason = why;
    if (store->kind != StoreKind::Database) {
        loss.reason += "; several changes may have shared it";
    }
    return loss;
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
    const protocol::Place place =
        protocol::find_behind(stream, report.cluster, report.epoch, least.value_or(Position{}));
    const uint64_t end = stream.info().last_sequence;
    // The newest event of all may stand at or before the ends.
    uint64_t next = std::max<uint64_t>(1, std::min(place.after, end));
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
                search.see_damaged(stored, std::get<protocol::Refusal>(opened));
                continue;
            }
            search.come_to(*message);
            auto assembled = assembler.add(*message);
            if (const auto* refusal = std::get_if<protocol::Refusal>(&assembled)) {
                search.see_damaged(stored, *refusal);
            } else {
                for (const auto& event : std::get<std::vector<protocol::Event>>(assembled)) {
                    search.see(event);
                }
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
        items.push_back(row_of(loss));
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
    return text_of(report, 2) + "\n";
}

std::string to_json(const Loss& loss) {
    return text_of(row_of(loss), -1);
}

void FinalLoss::add(const Loss& loss) {
    ++known;
    if (loss.kind == Loss::Kind::Undone) {
        ++counts.undone;
    } else if (loss.kind == Loss::Kind::Unreadable) {
        ++counts.unreadable;
    } else if (loss.store.kind == StoreKind::Database) {
        ++counts.transactions;
        counts.changes += loss.changes;
    } else if (loss.store.kind == StoreKind::Repositories) {
        ++counts.repositories;
        counts.refs += loss.refs.size();
    } else {
        ++counts.files;
    }
    if (losses.size() < most_losses) {
        losses.push_back(loss);
    }
}

std::string rejoined_report(const std::string& completed, TimePoint now) {
    Json report = Json::parse(completed, nullptr, false);
    if (report.is_object()) {
        report["rejoined_at_us"] = to_microseconds(now);
    }
    return text_of(report, 2) + "\n";
}

std::string complete_report(const std::string& preliminary, const FinalLoss& loss) {
    Json report = Json::parse(preliminary, nullptr, false);
    if (!report.is_object() || report["schema"] != "antipode.loss-report/1") {
        throw Error(Reaction::Stop, "the loss report of the promotion cannot be read",
                    "compare the versions of Antipode on both sites (antipode version)");
    }
    // It may be completed a second time.
    const Json before = report.contains("preliminary")
                            ? report["preliminary"]
                            : Json{{"known_lost", report["known_lost"]},
                                   {"unknown_since_us", report["unknown_since_us"]}};
    report["state"] = "final";
    report["completed_by"] = loss.site;
    report["completed_at_us"] = to_microseconds(loss.at);
    report["rejoined_at_us"] = nullptr;
    report["quarantine"] = loss.quarantine.string();
    report["unknown_since_us"] = nullptr;
    report["known_lost"] = loss.known;
    report["lost"] = {{"transactions", loss.counts.transactions},
                      {"changes", loss.counts.changes},
                      {"repositories", loss.counts.repositories},
                      {"refs", loss.counts.refs},
                      {"files", loss.counts.files},
                      {"undone_removals", loss.counts.undone},
                      {"unreadable", loss.counts.unreadable}};
    report["losses"] = Json::array();
    for (const Loss& one : loss.losses) {
        report["losses"].push_back(row_of(one));
    }
    report["preliminary"] = before;
    return text_of(report, 2) + "\n";
}

}  // namespace antipode::failover
