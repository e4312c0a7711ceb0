#include "base/recent_stream.hpp"

#include "base/limits.hpp"

namespace antipode {

void RecentMessages::add(uint64_t first, std::span<const OutgoingMessage> messages) {
    {
        const std::scoped_lock lock(mutex_);
        if (first != next_) {
            messages_.clear();
            bytes_ = 0;
        }
        next_ = first;
        for (const OutgoingMessage& message : messages) {
            messages_.push_back({next_++, message.bytes});
            bytes_ += message.bytes.size();
        }
        while (bytes_ > most_bytes_ && messages_.size() > messages.size()) {
            bytes_ -= messages_.front().bytes.size();
            messages_.pop_front();
        }
        known_ = true;
    }
    changed_.notify_all();
}

void RecentMessages::forget() {
    {
        const std::scoped_lock lock(mutex_);
        messages_.clear();
        bytes_ = 0;
        known_ = false;
    }
    changed_.notify_all();
}

std::optional<std::vector<StoredMessage>> RecentMessages::read(uint64_t sequence,
                                                               std::chrono::milliseconds wait) {
    std::unique_lock lock(mutex_);
    if (known_ && sequence == next_) {
        changed_.wait_for(lock, wait, [&] { return !known_ || sequence != next_; });
    }
    const uint64_t first = next_ - messages_.size();
    if (!known_ || sequence < first || sequence > next_) {
        return std::nullopt;
    }
    std::vector<StoredMessage> found;
    size_t bytes = 0;
    for (size_t i = sequence - first; i < messages_.size(); ++i) {
        if (found.size() == limits::read_messages || bytes >= limits::read_bytes) {
            break;
        }
        found.push_back(messages_[i]);
        bytes += found.back().bytes.size();
    }
    return found;
}

uint64_t RememberedAppends::append(uint64_t expected_last,
                                   std::span<const OutgoingMessage> messages) {
    try {
        const uint64_t last = stream_.append(expected_last, messages);
        recent_.add(expected_last + 1, messages);
        return last;
    } catch (...) {
        recent_.forget();
        throw;
    }
}

void RememberedAppends::make_anew() {
    recent_.forget();
    stream_.make_anew();
}

std::vector<StoredMessage> RememberedReads::read(uint64_t sequence,
                                                 std::chrono::milliseconds wait) {
    auto remembered = recent_.read(sequence, wait);
    return remembered ? std::move(*remembered) : stream_.read(sequence, wait);
}

}  // namespace antipode
