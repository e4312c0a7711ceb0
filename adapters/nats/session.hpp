#pragma once

#include <string>

#include <nats/nats.h>

#include "adapters/nats/connection.hpp"
#include "base/error.hpp"
#include "base/handle.hpp"

/// Inside adapters/nats only: a connection and what hangs on it.
namespace antipode::nats {

using Connection = Handle<natsConnection, natsConnection_Destroy>;
using Context = Handle<jsCtx, jsCtx_Destroy>;
using Message = Handle<natsMsg, natsMsg_Destroy>;
using Subscription = Handle<natsSubscription, natsSubscription_Destroy>;

inline constexpr int64_t request_timeout_ms = 5000;

/// Throws Error{Retry} unless `status` is NATS_OK. `what`: "publishing to nats://...".
void check(natsStatus status, const std::string& what);

/// Connects once, without the library's own reconnects: owners drop a connection that failed and
/// make a new one, so that nothing is ever replayed behind their back.
Connection connect(const Endpoint& endpoint);

/// A JetStream context on `connection`.
Context jetstream(natsConnection* connection);

/// Takes no more messages, and lets the server forget the consumer; the connection goes on. Waits
/// for the server, as the library's thread (3.4) may still be delivering into what is freed
/// otherwise. Throws Error{Retry}; then the connection must be closed before `subscription` is
/// freed.
void end(natsConnection* connection, Subscription& subscription);

/// Ends the connection, and with it the library's threads, then the subscription. Either may be
/// null.
void close(natsConnection* connection, Subscription& subscription) noexcept;

}  // namespace antipode::nats
