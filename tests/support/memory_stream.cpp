#include "tests/support/memory_stream.hpp"

#include "base/error.hpp"
#include "base/limits.hpp"

namespace antipode::test {

void MemoryStream::call(const std::string& operation) const {
    if (before) {
        before(operation);
    }
}

Stream::Info MemoryStream::info() {
    call("info");
    const uint64_t first = messages_.empty() ? last_ + 1 : messages_.begin()->first;
    uint64_t bytes = 0;
    for (const auto& [sequence, message] : messages_) {
        bytes += message.size();
    }
    return {last_ == 0 ? 0 : first, last_, messages_.size(), bytes};
}

std::optional<StoredMessage> MemoryStream::get(uint64_t sequence) {
    call("get");
    return messages_.contains(sequence) ? std::optional(stored(sequence)) : std::nullopt;
}

uint64_t MemoryStream::append(uint64_t expected_last, std::span<const OutgoingMessage> messages) {
    call("append");
    if (expected_last != last_) {
        throw Error(Reaction::Retry, "the stream ends elsewhere");
    }
    const auto stored_before_failing = fail_append ? fail_append(messages.size()) : std::nullopt;
    const size_t count = std::min(stored_before_failing.value_or(messages.size()), messages.size());
    for (const OutgoingMessage& message : messages.first(count)) {
        put(message.bytes, message.subject);
    }
    if (stored_before_failing) {
        throw Error(Reaction::Retry, "no acknowledgement");
    }
    return last_;
}

std::vector<StoredMessage> MemoryStream::read(uint64_t sequence, std::chrono::milliseconds) {
    call("read");
    std::vector<StoredMessage> found;
    for (auto message = messages_.lower_bound(sequence);
         message != messages_.end() && found.size() < limits::read_messages; ++message) {
        found.push_back(stored(message->first));
    }
    if (cut_read) {
        found.resize(std::min(found.size(), cut_read(found.size())));
    }
    return found;
}

void MemoryStream::purge_below(uint64_t sequence) {
    call("purge");
    messages_.erase(messages_.begin(), messages_.lower_bound(sequence));
    subjects_.erase(subjects_.begin(), subjects_.lower_bound(sequence));
}

void MemoryStream::lose_tail(uint64_t count) {
    last_ -= std::min(last_, count);
    messages_.erase(messages_.upper_bound(last_), messages_.end());
}

void MemoryStream::make_anew() {
    messages_.clear();
    last_ = 0;
}

}  // namespace antipode::test
