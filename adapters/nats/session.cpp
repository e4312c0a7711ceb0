#include "adapters/nats/session.hpp"

#include <mutex>

#include "adapters/nats/reason.hpp"

namespace antipode::nats {
namespace {

constexpr int64_t connect_timeout_ms = 3000;
constexpr int64_t ping_interval_ms = 5000;
constexpr int max_pings_out = 2;
constexpr int64_t write_deadline_ms = 10000;

using Options = Handle<natsOptions, natsOptions_Destroy>;

/// The library prints some errors to stderr by default; ours go through exceptions.
void silent(natsConnection*, natsSubscription*, natsStatus, void*) noexcept {}

}  // namespace

void check(natsStatus status, const std::string& what) {
    if (status == NATS_OK) {
        return;
    }
    const char* const last = nats_GetLastError(nullptr);
    const std::string reason = reason_of(natsStatus_GetText(status), last == nullptr ? "" : last);
    throw Error(Reaction::Retry, what + ": " + reason, remedy_for(reason));
}

Connection connect(const Endpoint& endpoint) {
    const std::string what = "connecting to " + endpoint.url;
    Options options;
    check(natsOptions_Create(OutParam(options)), what);
    natsOptions* const o = options.get();
    check(natsOptions_SetURL(o, endpoint.url.c_str()), what);
    check(natsOptions_SetName(o, endpoint.client_name.c_str()), what);
    check(natsOptions_SetTimeout(o, connect_timeout_ms), what);
    check(natsOptions_SetPingInterval(o, ping_interval_ms), what);
    check(natsOptions_SetMaxPingsOut(o, max_pings_out), what);
    check(natsOptions_SetWriteDeadline(o, write_deadline_ms), what);
    check(natsOptions_SetSendAsap(o, true), what);
    check(natsOptions_SetAllowReconnect(o, false), what);
    check(natsOptions_SetErrorHandler(o, silent, nullptr), what);
    if (!endpoint.credentials_file.empty()) {
        check(
            natsOptions_SetUserCredentialsFromFiles(o, endpoint.credentials_file.c_str(), nullptr),
            what);
    }
    Connection connection;
    check(natsConnection_Connect(OutParam(connection), o), what);
    return connection;
}

Context jetstream(natsConnection* connection) {
    jsOptions options;
    check(jsOptions_Init(&options), "JetStream");
    options.Wait = request_timeout_ms;
    Context context;
    check(natsConnection_JetStream(OutParam(context), connection, &options), "JetStream");
    return context;
}

void end(natsConnection* connection, Subscription& subscription) {
    // A server that does not know the consumer any more has nothing to forget.
    (void)natsSubscription_Unsubscribe(subscription.get());
    // What answers is behind all that the thread was delivering.
    check(natsConnection_FlushTimeout(connection, request_timeout_ms), "leaving a subscription");
    subscription.reset();
}

void close(natsConnection* connection, Subscription& subscription) noexcept {
    natsConnection_Close(connection);
    subscription.reset();
}

}  // namespace antipode::nats
