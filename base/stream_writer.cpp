#include "base/stream_writer.hpp"

#include <algorithm>
#include <iterator>

#include "base/error.hpp"
#include "base/limits.hpp"

namespace antipode {
namespace {

size_t batch_size(const std::deque<OutgoingMessage>& queue) {
    size_t count = 0;
    size_t bytes = 0;
    while (count < queue.size() && count < limits::append_messages &&
           (count == 0 || bytes < limits::append_bytes)) {
        bytes += queue[count].bytes.size();
        ++count;
    }
    return count;
}

}  // namespace

Stream::Info StreamWriter::begin() {
    const Stream::Info info = stream_.info();
    if (info.last_sequence > 0) {
        stream_.sync();
    }
    last_ = info.last_sequence;
    uncertain_ = false;
    return info;
}

void StreamWriter::append(std::deque<OutgoingMessage>& queue) {
    if (uncertain_) {
        take_over_stored(queue);
        uncertain_ = false;
    }
    if (queue.empty()) {
        return;
    }
    const auto end = queue.begin() + static_cast<ptrdiff_t>(batch_size(queue));
    std::vector<OutgoingMessage> batch(std::make_move_iterator(queue.begin()),
                                       std::make_move_iterator(end));
    try {
        last_ = stream_.append(last_, batch);
    } catch (...) {
        uncertain_ = true;
        std::move(batch.begin(), batch.end(), queue.begin());
        throw;
    }
    queue.erase(queue.begin(), end);
}

void StreamWriter::take_over_stored(std::deque<OutgoingMessage>& queue) {
    const Stream::Info info = stream_.info();
    if (info.last_sequence == last_) {
        return;
    }
    const uint64_t stored = info.last_sequence - last_;
    if (info.last_sequence > last_ && stored <= queue.size()) {
        const auto newest = stream_.get(info.last_sequence);
        if (newest && newest->bytes == queue[stored - 1].bytes) {
            stream_.sync();
            queue.erase(queue.begin(), queue.begin() + static_cast<ptrdiff_t>(stored));
            last_ = info.last_sequence;
            return;
        }
    }
    throw Error(Reaction::Resync, "the stream is not as it was left: it ends at " +
                                      std::to_string(info.last_sequence) + " instead of " +
                                      std::to_string(last_) +
                                      " (the broker lost messages, or somebody else writes to it)");
}

}  // namespace antipode
