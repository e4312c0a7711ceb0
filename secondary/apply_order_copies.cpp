#include <algorithm>

#include "base/refs.hpp"
#include "secondary/apply_order.hpp"

/// Items that are copied from another item, or borrow from it: such an event comes behind the
/// other's earlier changes and before its later events.
namespace antipode::secondary {

/// The item whose content it is a copy of, or from which it borrows; empty: none.
std::string ApplyOrder::leans_on(const protocol::Event& event) {
    for (const v1::Ref& ref : event.payload.ref_update().refs()) {
        if (ref.name() == pool_name) {
            return unescape_line(ref.new_target());
        }
        if (ref.name() > pool_name) {
            break;  // they are in order; and if they were not, it would fail and be asked for again
        }
    }
    return event.payload.blob_put().copy_of();
}

void ApplyOrder::note_copy(Lane& lane, const protocol::Event& event) {
    if (const std::string source = leans_on(event); !source.empty()) {
        lane.copies[source].insert(event.position);
    }
}

bool ApplyOrder::waits_for_copy(const Lane& lane, const protocol::Event& event) const {
    const auto copies = lane.copies.find(*protocol::item_of(event.payload));
    if (copies != lane.copies.end() && *copies->second.begin() < event.position) {
        return true;
    }
    const std::string source = leans_on(event);
    const auto before = source.empty() ? lane.by_item.end() : lane.by_item.find(source);
    // A removal may wait for rows, which may wait for this. Everything else waits for what stands
    // before it only.
    return before != lane.by_item.end() &&
           std::any_of(before->second.begin(), before->second.end(), [&](const Pending* other) {
               const v1::Payload& payload = other->event.payload;
               return (payload.has_blob_put() || payload.has_ref_update()) &&
                      other->event.position < event.position;
           });
}

void ApplyOrder::let_run(Lane& lane, const std::string& item) {
    if (waits_for_copy(lane, lane.by_item.at(item).front()->event)) {
        lane.behind_copies.insert(item);
    } else {
        lane.runnable.push_back(item);
    }
}

void ApplyOrder::look_again(Lane& lane, const std::string& item) {
    if (lane.behind_copies.erase(item) > 0) {
        let_run(lane, item);
    }
}

void ApplyOrder::end_copy(Lane& lane, const protocol::Event& event) {
    const auto copies = lane.copies.find(leans_on(event));
    if (copies == lane.copies.end()) {
        return;
    }
    copies->second.erase(event.position);
    if (copies->second.empty()) {
        lane.copies.erase(copies);
    }
}

void ApplyOrder::look_at_copies_of(Lane& lane, const std::string& item) {
    const auto copies = lane.copies.find(item);
    if (copies == lane.copies.end()) {
        return;
    }
    for (const Position& position : copies->second) {
        if (const auto pending = lane.queue.find(position); pending != lane.queue.end()) {
            look_again(lane, *protocol::item_of(pending->second.event.payload));
        }
    }
}

}  // namespace antipode::secondary
