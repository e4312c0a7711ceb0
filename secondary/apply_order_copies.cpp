#include <algorithm>

#include "secondary/apply_order.hpp"

/// Items that are copied from another item: such an event comes behind the other's earlier changes
/// and before its later events.
namespace antipode::secondary {
namespace {

/// nullptr: its content is not that of another item.
const std::string* copied_from(const protocol::Event& event) {
    const v1::BlobPut& put = event.payload.blob_put();
    return put.copy_of().empty() ? nullptr : &put.copy_of();
}

}  // namespace

void ApplyOrder::note_copy(Lane& lane, const protocol::Event& event) {
    if (const std::string* const source = copied_from(event)) {
        lane.copies[*source].insert(event.position);
    }
}

bool ApplyOrder::waits_for_copy(const Lane& lane, const protocol::Event& event) const {
    const auto copies = lane.copies.find(*protocol::item_of(event.payload));
    if (copies != lane.copies.end() && *copies->second.begin() < event.position) {
        return true;
    }
    const std::string* const source = copied_from(event);
    const auto before = source == nullptr ? lane.by_item.end() : lane.by_item.find(*source);
    // A removal may wait for rows, which may wait for this. Everything else waits for what stands
    // before it only.
    return before != lane.by_item.end() &&
           std::any_of(before->second.begin(), before->second.end(), [&](const Pending* other) {
               return other->event.payload.has_blob_put() && other->event.position < event.position;
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
    const std::string* const source = copied_from(event);
    const auto copies = source == nullptr ? lane.copies.end() : lane.copies.find(*source);
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
