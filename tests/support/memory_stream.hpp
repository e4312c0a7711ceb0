#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/seams/stream.hpp"

namespace antipode::test {

/// A stream in memory that fails when it is told to. One thread.
class MemoryStream final : public Stream {
  public:
    /// Called before every operation with its name; may throw.
    std::function<void(const std::string& operation)> before;
    /// Called with the number of messages of an append: how many of them to store before it fails;
    /// nullopt: it succeeds.
    std::function<std::optional<size_t>(size_t messages)> fail_append;
    /// Called with the number of messages that a read found: how many to return.
    std::function<size_t(size_t messages)> cut_read;

    Info info() override;
    std::optional<StoredMessage> get(uint64_t sequence) override;
    uint64_t append(uint64_t expected_last, std::span<const OutgoingMessage> messages) override;
    void sync() override { call("sync"); }
    std::vector<StoredMessage> read(uint64_t sequence, std::chrono::milliseconds wait) override;
    void purge_below(uint64_t sequence) override;
    void make_anew() override;

    // What happens to brokers.

    /// A power cut: the newest `count` messages were not synced.
    void lose_tail(uint64_t count);
    /// One message is not there any more, as after a flipped bit.
    void lose(uint64_t sequence) { messages_.erase(sequence); }
    /// One message holds other bytes.
    void replace(uint64_t sequence, const std::string& bytes) { messages_.at(sequence) = bytes; }
    /// As another writer does it.
    void put(const std::string& bytes, const std::string& subject = {}) {
        messages_[++last_] = bytes;
        subjects_[last_] = subject;
    }

    const std::map<uint64_t, std::string>& messages() const { return messages_; }
    uint64_t last() const { return last_; }

  private:
    void call(const std::string& operation) const;

    StoredMessage stored(uint64_t sequence) const {
        return {sequence, messages_.at(sequence), subjects_.at(sequence)};
    }

    std::map<uint64_t, std::string> messages_;
    std::map<uint64_t, std::string> subjects_;  ///< of those and earlier ones
    uint64_t last_ = 0;
};

}  // namespace antipode::test
