#include "adapters/nats/jetstream.hpp"

#include <condition_variable>
#include <mutex>
#include <utility>

#include "adapters/nats/block_sync.hpp"
#include "adapters/nats/reason.hpp"
#include "adapters/nats/session.hpp"
#include "base/limits.hpp"

namespace antipode::nats {
namespace {

constexpr auto append_timeout = std::chrono::seconds(10);
/// So soon a connection that closed meanwhile is noticed.
constexpr auto closed_interval = std::chrono::milliseconds(100);
constexpr const char* expected_last_header = "Nats-Expected-Last-Sequence";

/// How often a reader to whom nothing comes looks whether the server still knows it.
constexpr std::chrono::seconds consumer_interval(5);
constexpr std::chrono::seconds heartbeat_interval(30);
constexpr std::chrono::seconds forgotten_after(30);
/// More than the server's flow control lets out: what exceeds it is an error of the connection.
constexpr int most_ahead_bytes = 64 << 20;

/// What the library's thread tells the appending thread.
struct Acknowledgements {
    std::mutex mutex;
    std::condition_variable changed;
    size_t expected = 0;
    size_t acknowledged = 0;
    uint64_t last_sequence = 0;
    std::string error;
};

void on_acknowledged(jsCtx*, natsMsg* message, jsPubAck* ack, jsPubAckErr* error,
                     void* closure) noexcept {
    auto& acks = *static_cast<Acknowledgements*>(closure);
    bool decided = false;
    {
        std::scoped_lock lock(acks.mutex);
        if (ack != nullptr) {
            ++acks.acknowledged;
            acks.last_sequence = std::max(acks.last_sequence, ack->Sequence);
        } else if (acks.error.empty()) {
            acks.error = error != nullptr && error->ErrText != nullptr
                             ? error->ErrText
                             : natsStatus_GetText(error != nullptr ? error->Err : NATS_ERR);
        }
        decided = acks.acknowledged == acks.expected || !acks.error.empty();
    }
    if (decided) {
        acks.changed.notify_one();
    }
    natsMsg_Destroy(message);
}

/// Why there are not all of them; empty: there are.
std::string await(Acknowledgements& acks, std::unique_lock<std::mutex>& lock,
                  natsConnection* connection) {
    const auto end = std::chrono::steady_clock::now() + append_timeout;
    const auto decided = [&] { return acks.acknowledged == acks.expected || !acks.error.empty(); };
    while (!acks.changed.wait_for(lock, closed_interval, decided)) {
        // A server that died answers no more, and the library says nothing of what it owed.
        if (natsConnection_IsClosed(connection)) {
            return natsStatus_GetText(NATS_CONNECTION_CLOSED);
        }
        if (std::chrono::steady_clock::now() >= end) {
            return "no acknowledgement in time";
        }
    }
    return acks.error;
}

Message outgoing(const OutgoingMessage& message, uint64_t expected_last) {
    Message out;
    check(natsMsg_Create(OutParam(out), message.subject.c_str(), nullptr, message.bytes.data(),
                         static_cast<int>(message.bytes.size())),
          "creating a message");
    check(natsMsgHeader_Set(out.get(), expected_last_header, std::to_string(expected_last).c_str()),
          "creating a message");
    return out;
}

std::string bytes_of(natsMsg* message) {
    return {natsMsg_GetData(message), static_cast<size_t>(natsMsg_GetDataLength(message))};
}

/// The connection and everything on it; dropped as one after an error.
struct Session {
    Connection connection;
    Acknowledgements acks;  // outlives the contexts that call back into it
    Context context;
    Context publisher;
    Subscription subscription;
    uint64_t next_sequence = 0;                           ///< of the subscription
    std::chrono::steady_clock::time_point consumer_seen;  ///< it was on the server
    uint64_t passed_over = 0;    ///< what the consumer seemed to have passed over; 0: nothing
    bool keeps_appends = false;  ///< what was appended was there

    ~Session() {
        // First end the threads that call back, then free what they call back into.
        close(connection.get(), subscription);
        publisher.reset();
        context.reset();
        connection.reset();
    }
};

}  // namespace

struct JetStream::State {
    Options options;
    std::unique_ptr<Session> session;
    BlockSync block_sync;

    explicit State(Options given)
        : options(std::move(given)), block_sync(options.store_dir, options.name) {}

    std::string what(const char* doing) const {
        return std::string(doing) + " stream " + options.name + " at " + options.endpoint.url;
    }

    Session& connected() {
        if (session && natsConnection_IsClosed(session->connection.get())) {
            session.reset();
        }
        if (!session) {
            auto fresh = std::make_unique<Session>();
            fresh->connection = connect(options.endpoint);
            fresh->context = jetstream(fresh->connection.get());
            if (options.create) {
                create(*fresh);
            }
            session = std::move(fresh);
        }
        return *session;
    }

    void create(Session& fresh) const {
        jsStreamConfig config;
        check(jsStreamConfig_Init(&config), what("creating"));
        const char* subjects[] = {options.subjects.c_str()};
        config.Name = options.name.c_str();
        config.Subjects = subjects;
        config.SubjectsLen = 1;
        config.Storage = js_FileStorage;
        config.Retention = js_LimitsPolicy;
        config.MaxBytes = static_cast<int64_t>(options.max_bytes);
        config.Discard = options.drop_oldest_when_full ? js_DiscardOld : js_DiscardNew;
        config.Replicas = 1;
        // Chained appends make duplicates impossible; the server need not remember ids.
        config.Duplicates = 100'000'000;
        jsErrCode code{};
        const natsStatus status =
            js_AddStream(nullptr, fresh.context.get(), &config, nullptr, &code);
        if (status != NATS_OK && code == JSStreamNameExistErr) {
            check(js_UpdateStream(nullptr, fresh.context.get(), &config, nullptr, &code),
                  what("updating"));
            return;
        }
        check(status, what("creating"));
    }

    /// Runs `use(session)`; the connection does not survive an error.
    template <typename Use>
    auto with_session(Use use) -> decltype(use(std::declval<Session&>())) {
        try {
            return use(connected());
        } catch (...) {
            session.reset();
            throw;
        }
    }

    jsCtx* publisher(Session& current) const {
        if (!current.publisher) {
            jsOptions js_options;
            check(jsOptions_Init(&js_options), what("publishing to"));
            js_options.PublishAsync.AckHandler = on_acknowledged;
            js_options.PublishAsync.AckHandlerClosure = &current.acks;
            js_options.PublishAsync.MaxPending = limits::append_messages * 2;
            check(natsConnection_JetStream(OutParam(current.publisher), current.connection.get(),
                                           &js_options),
                  what("publishing to"));
        }
        return current.publisher.get();
    }

    /// Messages come by themselves from now on, as fast as they are taken: asking for each would
    /// cost a round trip. The server sends at most 32 MiB ahead (its flow control), and wants a
    /// sign of life with that.
    void subscribe(Session& current, uint64_t sequence) const {
        if (current.subscription) {
            end(current.connection.get(), current.subscription);
        }
        jsSubOptions sub;
        check(jsSubOptions_Init(&sub), what("reading"));
        sub.Stream = options.name.c_str();
        sub.Config.DeliverPolicy = js_DeliverByStartSequence;
        sub.Config.OptStartSeq = std::max<uint64_t>(sequence, 1);
        sub.Config.AckPolicy = js_AckNone;
        sub.Config.FlowControl = true;
        sub.Config.Heartbeat = std::chrono::nanoseconds(heartbeat_interval).count();
        sub.Config.InactiveThreshold = std::chrono::nanoseconds(forgotten_after).count();
        sub.Config.MemoryStorage = true;
        check(js_SubscribeSync(OutParam(current.subscription), current.context.get(),
                               options.subjects.c_str(), nullptr, &sub, nullptr),
              what("reading"));
        // The library's own limit is of 65,536 messages, however small.
        check(natsSubscription_SetPendingLimits(current.subscription.get(), -1, most_ahead_bytes),
              what("reading"));
        current.next_sequence = sequence;
        current.consumer_seen = std::chrono::steady_clock::now();
    }

    /// A server forgets a consumer whose connection is gone for a while (this machine was
    /// suspended), or with its stream, and says nothing of it: that looks as if nothing came.
    void look_for_consumer(Session& current, uint64_t sequence) const {
        const auto now = std::chrono::steady_clock::now();
        if (now - current.consumer_seen < consumer_interval) {
            return;
        }
        jsConsumerInfo* raw = nullptr;
        jsErrCode code{};
        const natsStatus status =
            natsSubscription_GetConsumerInfo(&raw, current.subscription.get(), nullptr, &code);
        const Handle<jsConsumerInfo, jsConsumerInfo_Destroy> info(raw);
        if (status == NATS_NOT_FOUND || code == JSConsumerNotFoundErr) {
            subscribe(current, sequence);
            return;
        }
        check(status, what("reading"));
        must_not_pass_over(current, *info, sequence);
        current.consumer_seen = now;
    }

    /// nats-server 2.9 that has read a damaged file may hold messages that it never brings: its
    /// consumer says that it is behind them, or that they are to come, and they do not. That, too,
    /// looks as if nothing came. (What it had sent would be here before its answer.)
    void must_not_pass_over(Session& current, const jsConsumerInfo& consumer,
                            uint64_t sequence) const {
        const auto stream = look(current, "reading");
        const uint64_t last = stream->State.LastSeq;
        const bool behind_the_end = consumer.Delivered.Stream > std::max(last, sequence - 1);
        // Some that are held stand behind what has come, unless somebody deleted just these.
        const bool behind_the_last = stream->State.Msgs > 0 && last >= sequence &&
                                     consumer.NumPending == 0 && consumer.Delivered.Stream >= last;
        const bool stands_still =
            consumer.NumPending > 0 && consumer.Delivered.Stream < sequence && last >= sequence;
        if (!behind_the_end && !behind_the_last && !stands_still) {
            current.passed_over = 0;
        } else if (std::exchange(current.passed_over, sequence) == sequence) {
            // It has come meanwhile otherwise.
            throw DamagedStream(Reaction::Retry,
                                what("reading") +
                                    ": it does not bring what it holds behind message " +
                                    std::to_string(sequence - 1),
                                std::string(damaged_stream_remedy));
        }
    }

    Handle<jsStreamInfo, jsStreamInfo_Destroy> look(Session& current, const char* doing) const {
        jsStreamInfo* raw = nullptr;
        check(js_GetStreamInfo(&raw, current.context.get(), options.name.c_str(), nullptr, nullptr),
              what(doing));
        return Handle<jsStreamInfo, jsStreamInfo_Destroy>(raw);
    }

    /// nats-server 2.9 that has read a damaged file may refuse what is appended to the end that it
    /// names itself.
    void must_know_its_end(Session& current, uint64_t expected_last,
                           const std::string& reason) const {
        if (is_about_the_end(reason) &&
            look(current, "looking at")->State.LastSeq == expected_last) {
            throw DamagedStream(Reaction::Retry, what("publishing to") + ": " + reason,
                                std::string(damaged_stream_remedy));
        }
    }

    /// Or it may acknowledge messages and not have them. One that was started anew is asked once.
    void must_have(Session& current, uint64_t sequence) const {
        if (!current.keeps_appends && !get(current, sequence)) {
            throw DamagedStream(Reaction::Retry,
                                what("publishing to") + ": it does not have message " +
                                    std::to_string(sequence) + ", which it has acknowledged",
                                std::string(damaged_stream_remedy));
        }
        current.keeps_appends = true;
    }

    std::optional<StoredMessage> get(Session& current, uint64_t sequence) const {
        Message message;
        jsErrCode code{};
        const natsStatus status = js_GetMsg(OutParam(message), current.context.get(),
                                            options.name.c_str(), sequence, nullptr, &code);
        if (status == NATS_NOT_FOUND || code == JSNoMessageFoundErr) {
            return std::nullopt;
        }
        check(status, what("reading"));
        return StoredMessage{sequence, bytes_of(message.get()), natsMsg_GetSubject(message.get())};
    }

    /// What has come; waits for the first.
    std::vector<StoredMessage> take(Session& current, std::chrono::milliseconds wait) const {
        std::vector<StoredMessage> messages;
        size_t bytes = 0;
        auto timeout = std::max<int64_t>(wait.count(), 1);
        while (messages.size() < limits::read_messages && bytes < limits::read_bytes) {
            Message message;
            const natsStatus status =
                natsSubscription_NextMsg(OutParam(message), current.subscription.get(), timeout);
            if (status == NATS_TIMEOUT) {
                break;
            }
            check(status, what("reading"));
            jsMsgMetaData* raw = nullptr;
            check(natsMsg_GetMetaData(&raw, message.get()), what("reading"));
            const Handle<jsMsgMetaData, jsMsgMetaData_Destroy> meta(raw);
            messages.push_back({meta->Sequence.Stream, bytes_of(message.get()),
                                natsMsg_GetSubject(message.get())});
            bytes += messages.back().bytes.size();
            timeout = 0;
        }
        if (!messages.empty()) {
            current.next_sequence = messages.back().sequence + 1;
        }
        return messages;
    }
};

JetStream::JetStream(Options options) : state_(std::make_unique<State>(std::move(options))) {}
JetStream::~JetStream() = default;

Stream::Info JetStream::info() {
    return state_->with_session([&](Session& session) {
        const auto info = state_->look(session, "looking at");
        return Info{info->State.FirstSeq, info->State.LastSeq, info->State.Msgs, info->State.Bytes};
    });
}

std::optional<StoredMessage> JetStream::get(uint64_t sequence) {
    return state_->with_session([&](Session& session) { return state_->get(session, sequence); });
}

uint64_t JetStream::append(uint64_t expected_last, std::span<const OutgoingMessage> messages) {
    return state_->with_session([&](Session& session) {
        if (session.subscription) {
            // Who appends does not read: what is appended would come back, and take memory.
            end(session.connection.get(), session.subscription);
        }
        jsCtx* const publisher = state_->publisher(session);
        Acknowledgements& acks = session.acks;
        {
            std::scoped_lock lock(acks.mutex);
            acks.expected = messages.size();
            acks.acknowledged = 0;
            acks.last_sequence = 0;
            acks.error.clear();
        }
        uint64_t expected = expected_last;
        for (const OutgoingMessage& message : messages) {
            Message out = outgoing(message, expected++);
            natsMsg* raw = out.release();
            const natsStatus status = js_PublishMsgAsync(publisher, &raw, nullptr);
            natsMsg_Destroy(raw);
            check(status, state_->what("publishing to"));
        }
        std::unique_lock lock(acks.mutex);
        if (const std::string reason = await(acks, lock, session.connection.get());
            !reason.empty()) {
            lock.unlock();
            state_->must_know_its_end(session, expected_last, reason);
            throw Error(Reaction::Retry, state_->what("publishing to") + ": " + reason,
                        remedy_for(reason));
        }
        const uint64_t last = acks.last_sequence;
        lock.unlock();
        if (last != expected_last + messages.size()) {
            throw Error(Reaction::Retry,
                        state_->what("publishing to") + ": another writer appends");
        }
        state_->must_have(session, last);
        state_->block_sync.sync();
        return last;
    });
}

void JetStream::sync() {
    state_->block_sync.sync();
}

std::vector<StoredMessage> JetStream::read(uint64_t sequence, std::chrono::milliseconds wait) {
    return state_->with_session([&](Session& session) {
        if (!session.subscription || session.next_sequence != sequence) {
            state_->subscribe(session, sequence);
        }
        auto messages = state_->take(session, wait);
        if (messages.empty()) {
            state_->look_for_consumer(session, sequence);
        } else {
            session.consumer_seen = std::chrono::steady_clock::now();
        }
        return messages;
    });
}

void JetStream::purge_below(uint64_t sequence) {
    state_->with_session([&](Session& session) {
        jsOptions options;
        check(jsOptions_Init(&options), state_->what("purging"));
        options.Stream.Purge.Sequence = sequence;
        options.Wait = request_timeout_ms;
        check(
            js_PurgeStream(session.context.get(), state_->options.name.c_str(), &options, nullptr),
            state_->what("purging"));
    });
}

void JetStream::make_anew() {
    remove_stream(state_->options.endpoint, state_->options.name);
    state_->session.reset();
    state_->connected();
}

void remove_stream(const Endpoint& endpoint, const std::string& name) {
    const Connection connection = connect(endpoint);
    const Context context = jetstream(connection.get());
    jsErrCode code{};
    const natsStatus status = js_DeleteStream(context.get(), name.c_str(), nullptr, &code);
    if (status != NATS_NOT_FOUND && code != JSStreamNotFoundErr) {
        check(status, "deleting stream " + name + " at " + endpoint.url);
    }
}

}  // namespace antipode::nats
