#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "adapters/nats/connection.hpp"
#include "base/seams/stream.hpp"

namespace antipode::nats {

/// A Stream on a JetStream server. Connects on first use and again after every error; creates the
/// stream when it is the writer. One thread.
class JetStream final : public Stream {
  public:
    struct Options {
        Endpoint endpoint;
        std::string name;
        std::string subjects;
        bool create = true;  ///< false: a reader of another site's stream
        uint64_t max_bytes = 10ULL << 30;
        /// What a full stream does: refuse new messages (a relay stops, nothing is lost), or drop
        /// the oldest (a primary must not stop because one site is dead; that site then has a gap,
        /// which it mends from the stores).
        bool drop_oldest_when_full = false;
        /// When the server runs on this machine: appended messages are synced to disk before
        /// append() returns. Debian 12's nats-server syncs by itself only every two minutes.
        std::filesystem::path store_dir;
    };
    explicit JetStream(Options options);
    ~JetStream() override;

    Info info() override;
    std::optional<StoredMessage> get(uint64_t sequence) override;
    void sync() override;
    uint64_t append(uint64_t expected_last, std::span<const OutgoingMessage> messages) override;
    std::vector<StoredMessage> read(uint64_t sequence, std::chrono::milliseconds wait) override;
    void purge_below(uint64_t sequence) override;
    void make_anew() override;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Deletes a stream that is no longer needed; no effect when there is none. Throws Error{Retry}.
void remove_stream(const Endpoint& endpoint, const std::string& name);

}  // namespace antipode::nats
