#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "base/seams/database.hpp"

namespace antipode::postgres {

/// Reads a logical replication slot through the pgoutput plugin over a replication connection of
/// its own, and asks by another whether large transactions, which the server sends while they run,
/// have committed. One thread, but for wake(). After an exception call stop() or start() again.
class SlotSource final : public ChangeSource {
  public:
    struct Options {
        std::string url;
        std::string slot;
        std::string publication;
        /// An earlier connection of the same name that still holds the slot is ended: it belongs to
        /// a process that died. Unique per store and node.
        std::string application_name;
        /// Where large transactions are kept until they commit.
        std::filesystem::path spool_directory;
        /// What the server may hold of running transactions before it sends the largest one. With
        /// little it decodes faster than with its default of 64 MiB: that is larger than caches.
        uint64_t decoding_bytes = 4 << 20;
        /// A large transaction is handed out as soon as it has committed, before decoding has come
        /// to that place. It may be broken off then (DecodedBreakOff).
        bool ahead = true;
    };
    explicit SlotSource(Options options);
    ~SlotSource() override;

    Lsn start() override;
    void stop() override;
    std::optional<Decoded> next(std::chrono::milliseconds wait) override;
    void send_status(Lsn confirmed, bool ask) override;
    void wake() override;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace antipode::postgres
