#include "adapters/nats/key_value.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "adapters/nats/session.hpp"

namespace antipode::nats {
namespace {

/// Who is told when a key changes. The library's thread may still be about to tell when the bucket
/// is gone.
struct Listener {
    std::mutex mutex;
    std::function<void()> changed;  ///< under mutex; empty: nobody listens any more

    void tell() {
        const std::scoped_lock lock(mutex);
        if (changed) {
            changed();
        }
    }
    void leave() {
        const std::scoped_lock lock(mutex);
        changed = nullptr;
    }
};
using SharedListener = std::shared_ptr<Listener>;

/// What the library's thread has, as long as it may tell.
struct Told {
    SharedListener listener;
    std::shared_ptr<const std::atomic<bool>> left;  ///< by us, not by the server
};

void on_change(natsConnection*, natsSubscription*, natsMsg* message, void* closure) noexcept {
    natsMsg_Destroy(message);
    static_cast<Told*>(closure)->listener->tell();
}

/// Nothing more will come. Of a server that is gone whoever waits for changes must not wait long:
/// the next one may have lost them.
void on_complete(void* closure) noexcept {
    const std::unique_ptr<Told> told(static_cast<Told*>(closure));
    if (!*told->left) {
        told->listener->tell();
    }
}

struct Session {
    Connection connection;
    Context context;
    Handle<kvStore, kvStore_Destroy> store;
    std::vector<Subscription> subscriptions;
    std::shared_ptr<std::atomic<bool>> left = std::make_shared<std::atomic<bool>>(false);

    ~Session() {
        *left = true;
        natsConnection_Close(connection.get());
        subscriptions.clear();
        store.reset();
        context.reset();
    }
    void subscribe(const std::string& subject, const SharedListener& listener,
                   const std::string& what) {
        auto closure = std::make_unique<Told>(Told{listener, left});
        Subscription subscription;
        check(natsConnection_Subscribe(OutParam(subscription), connection.get(), subject.c_str(),
                                       on_change, closure.get()),
              what);
        Told* const handed_over = closure.release();
        check(natsSubscription_SetOnCompleteCB(subscription.get(), on_complete, handed_over), what);
        subscriptions.push_back(std::move(subscription));
    }
};

/// A lost compare-and-set is NATS_ERR with the server's text (error 10071), or a key that exists.
bool lost_race(natsStatus status) {
    const char* const text = nats_GetLastError(nullptr);
    return status == NATS_ERR && text != nullptr &&
           (std::string(text).find("wrong last sequence") != std::string::npos ||
            std::string(text).find("key exists") != std::string::npos);
}

}  // namespace

struct Bucket::State {
    Endpoint endpoint;
    std::string name;
    bool create;
    std::unique_ptr<Session> session;
    std::vector<std::pair<std::string, SharedListener>> listeners;  ///< by the subject

    ~State() {
        for (const auto& [subject, listener] : listeners) {
            listener->leave();
        }
    }
    std::string what(const char* doing) const {
        return std::string(doing) + " bucket " + name + " at " + endpoint.url;
    }

    Session& connected() {
        if (session && natsConnection_IsClosed(session->connection.get())) {
            session.reset();
        }
        if (!session) {
            auto fresh = std::make_unique<Session>();
            fresh->connection = connect(endpoint);
            fresh->context = jetstream(fresh->connection.get());
            natsStatus status =
                js_KeyValue(OutParam(fresh->store), fresh->context.get(), name.c_str());
            if (status == NATS_NOT_FOUND && create) {
                kvConfig config;
                check(kvConfig_Init(&config), what("creating"));
                config.Bucket = name.c_str();
                config.History = 16;
                config.StorageType = js_FileStorage;
                config.Replicas = 1;
                status = js_CreateKeyValue(OutParam(fresh->store), fresh->context.get(), &config);
            }
            if (status == NATS_NOT_FOUND) {
                throw Error(Reaction::Stop, what("opening") + ": it does not exist",
                            "start antipoded on that site, or: antipode sites init --primary NAME");
            }
            check(status, what("opening"));
            for (const auto& [subject, listener] : listeners) {
                fresh->subscribe(subject, listener, what("listening to"));
            }
            session = std::move(fresh);
        }
        return *session;
    }

    template <typename Use>
    auto with_store(Use use) -> decltype(use(std::declval<kvStore*>())) {
        try {
            return use(connected().store.get());
        } catch (...) {
            session.reset();
            throw;
        }
    }
};

Bucket::Bucket(Endpoint endpoint, std::string name, bool create)
    : state_(std::make_unique<State>()) {
    state_->endpoint = std::move(endpoint);
    state_->name = std::move(name);
    state_->create = create;
}
Bucket::~Bucket() = default;

std::optional<KeyValue::Entry> Bucket::get(const std::string& key) {
    return state_->with_store([&](kvStore* store) -> std::optional<Entry> {
        kvEntry* raw = nullptr;
        const natsStatus status = kvStore_Get(&raw, store, key.c_str());
        if (status == NATS_NOT_FOUND) {
            return std::nullopt;
        }
        check(status, state_->what("reading"));
        const Handle<kvEntry, kvEntry_Destroy> entry(raw);
        const auto* bytes = static_cast<const char*>(kvEntry_Value(raw));
        return Entry{std::string(bytes, static_cast<size_t>(kvEntry_ValueLen(raw))),
                     kvEntry_Revision(raw)};
    });
}

std::vector<std::string> Bucket::keys() {
    return state_->with_store([&](kvStore* store) {
        kvKeysList list{};
        const natsStatus status = kvStore_Keys(&list, store, nullptr);
        if (status == NATS_NOT_FOUND) {
            return std::vector<std::string>{};
        }
        check(status, state_->what("listing"));
        std::vector<std::string> keys(list.Keys, list.Keys + list.Count);
        kvKeysList_Destroy(&list);
        return keys;
    });
}

void Bucket::put(const std::string& key, const std::string& value) {
    state_->with_store([&](kvStore* store) {
        check(
            kvStore_Put(nullptr, store, key.c_str(), value.data(), static_cast<int>(value.size())),
            state_->what("writing to"));
    });
}

std::optional<uint64_t> Bucket::update(const std::string& key, const std::string& value,
                                       uint64_t revision) {
    return state_->with_store([&](kvStore* store) -> std::optional<uint64_t> {
        uint64_t written = 0;
        const auto size = static_cast<int>(value.size());
        const natsStatus status =
            revision == 0
                ? kvStore_Create(&written, store, key.c_str(), value.data(), size)
                : kvStore_Update(&written, store, key.c_str(), value.data(), size, revision);
        if (lost_race(status)) {
            return std::nullopt;
        }
        check(status, state_->what("writing to"));
        return written;
    });
}

void Bucket::remove(const std::string& key) {
    state_->with_store([&](kvStore* store) {
        check(kvStore_Delete(store, key.c_str()), state_->what("writing to"));
    });
}

void Bucket::listen(const std::string& key, std::function<void()> changed) {
    auto listener = std::make_shared<Listener>();
    listener->changed = std::move(changed);
    state_->listeners.emplace_back("$KV." + state_->name + "." + key, std::move(listener));
    state_->session.reset();  // the next one listens
}

}  // namespace antipode::nats
