#include "protocol/event_log.hpp"

#include <utility>

#include "base/words.hpp"

namespace antipode::protocol {
namespace {

std::string text_of(const v1::Payload& payload) {
    if (payload.has_transaction()) {
        const v1::Transaction& transaction = payload.transaction();
        const std::string others =
            transaction.members_size() > 1
                ? " and " + std::to_string(transaction.members_size() - 1) + " before"
                : "";
        return "xid " + std::to_string(transaction.xid()) + others + ", " +
               counted(transaction.change_count(), "change", "changes") +
               (transaction.last() ? ", commit " + Lsn{transaction.commit_lsn()}.to_string()
                                   : ", part " + std::to_string(transaction.part()));
    }
    if (payload.has_announcement()) {
        return counted(static_cast<uint64_t>(payload.announcement().items_size()), "item", "items");
    }
    if (payload.has_ref_update()) {
        return counted(static_cast<uint64_t>(payload.ref_update().refs_size()), "ref", "refs");
    }
    if (payload.has_unchanged()) {
        // Without a digest nothing was ever published of it, and now it is gone.
        const v1::Unchanged& unchanged = payload.unchanged();
        return unchanged.removal_follows() || unchanged.digest_algorithm().empty()
                   ? "it was removed before the primary had read it"
                   : "";
    }
    if (payload.has_blob_put()) {
        return std::to_string(payload.blob_put().content().size()) + " bytes";
    }
    return {};
}

}  // namespace

void EventLog::note(const Position& position, const std::optional<StoreId>& store,
                    TimePoint captured_at, const v1::Payload& payload) {
    SeenEvent event;
    event.position = position;
    event.store = store ? store->to_string() : "";
    event.kind = kind_of(payload);
    if (const std::string* item = item_of(payload)) {
        event.item = *item;
    }
    event.text = text_of(payload);
    event.captured_at = captured_at;
    add(std::move(event));
}

void EventLog::tell(const StoreId& store, const std::string& kind, const std::string& text,
                    TimePoint at) {
    SeenEvent event;
    event.store = store.to_string();
    event.kind = kind;
    event.text = text;
    event.captured_at = at;
    add(std::move(event));
}

void EventLog::add(SeenEvent event) {
    log_.with([&](Log& log) {
        event.sequence = ++log.sequence;
        log.events.push_back(std::move(event));
        if (log.events.size() > most_) {
            log.events.pop_front();
        }
    });
}

std::vector<SeenEvent> EventLog::behind(uint64_t after, size_t most) const {
    return log_.with([&](const Log& log) {
        std::vector<SeenEvent> events;
        for (auto event = log.events.rbegin();
             event != log.events.rend() && event->sequence > after && events.size() < most;
             ++event) {
            events.push_back(*event);
        }
        return std::vector<SeenEvent>(events.rbegin(), events.rend());
    });
}

}  // namespace antipode::protocol
