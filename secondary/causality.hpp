#pragma once

#include "base/ids.hpp"
#include "protocol/message.hpp"

/// Where events stand in the order of causes. Pure.
namespace antipode::secondary {

inline bool is_database(const StoreId& store) {
    return store.kind == StoreKind::Database;
}

/// The place `number` in the event's session.
inline Position in_session_of(const protocol::Event& event, uint64_t number) {
    return {event.position.epoch, event.position.session, number};
}

/// Where an event stands for causality: the oldest announcement that it fulfils.
inline Position order_of(const protocol::Event& event) {
    const v1::Fulfils* fulfils = protocol::fulfils(event.payload);
    return fulfils == nullptr || fulfils->first() == 0 ? event.position
                                                       : in_session_of(event, fulfils->first());
}

/// The newest announcement that it fulfils.
inline Position fulfilled_through(const protocol::Event& event) {
    const v1::Fulfils* fulfils = protocol::fulfils(event.payload);
    return fulfils == nullptr ? Position{} : in_session_of(event, fulfils->through());
}

}  // namespace antipode::secondary
