#include "adapters/nats/requests.hpp"

#include "adapters/nats/session.hpp"

namespace antipode::nats {
namespace {

std::string bytes_of(natsMsg* message) {
    return {natsMsg_GetData(message), static_cast<size_t>(natsMsg_GetDataLength(message))};
}

}  // namespace

struct Requester::State {
    Endpoint endpoint;
    Connection connection;

    std::string what() const { return "asking the primary at " + endpoint.url; }
    natsConnection* connected() {
        if (!connection || natsConnection_IsClosed(connection.get())) {
            connection = connect(endpoint);
        }
        return connection.get();
    }
};

Requester::Requester(Endpoint endpoint) : state_(std::make_unique<State>()) {
    state_->endpoint = std::move(endpoint);
}
Requester::~Requester() = default;

std::string Requester::request(const std::string& subject, const std::string& bytes) {
    Message reply;
    const natsStatus status =
        natsConnection_Request(OutParam(reply), state_->connected(), subject.c_str(), bytes.data(),
                               static_cast<int>(bytes.size()), request_timeout_ms);
    if (status != NATS_OK) {
        state_->connection.reset();
    }
    check(status, state_->what());
    return bytes_of(reply.get());
}

void Requester::tell(const std::string& subject, const std::string& bytes) {
    check(natsConnection_Publish(state_->connected(), subject.c_str(), bytes.data(),
                                 static_cast<int>(bytes.size())),
          state_->what());
}

struct Responder::State {
    Endpoint endpoint;
    std::string subject;
    Connection connection;
    Subscription subscription;

    std::string what() const { return "answering requests at " + endpoint.url; }
    void drop() {
        close(connection.get(), subscription);
        connection.reset();
    }
};

Responder::Responder(Endpoint endpoint, std::string subject) : state_(std::make_unique<State>()) {
    state_->endpoint = std::move(endpoint);
    state_->subject = std::move(subject);
}
Responder::~Responder() {
    state_->drop();
}

std::optional<Responder::Request> Responder::next(std::chrono::milliseconds wait) {
    if (!state_->connection || natsConnection_IsClosed(state_->connection.get())) {
        state_->drop();
        state_->connection = connect(state_->endpoint);
        check(natsConnection_SubscribeSync(OutParam(state_->subscription), state_->connection.get(),
                                           state_->subject.c_str()),
              state_->what());
    }
    Message message;
    const natsStatus status =
        natsSubscription_NextMsg(OutParam(message), state_->subscription.get(), wait.count());
    if (status == NATS_TIMEOUT) {
        return std::nullopt;
    }
    if (status != NATS_OK) {
        state_->drop();
    }
    check(status, state_->what());
    const char* const reply = natsMsg_GetReply(message.get());
    return Request{bytes_of(message.get()), reply != nullptr ? reply : ""};
}

void Responder::answer(const Request& request, const std::string& bytes) {
    if (!request.reply_to.empty()) {
        check(natsConnection_Publish(state_->connection.get(), request.reply_to.c_str(),
                                     bytes.data(), static_cast<int>(bytes.size())),
              state_->what());
    }
}

}  // namespace antipode::nats
