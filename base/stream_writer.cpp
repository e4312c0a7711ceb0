#include "base/stream_writer.hpp"

namespace antipode {

Stream::Info StreamWriter::begin() {
    const Stream::Info info = stream_.info();
    last_ = info.last_sequence;
    return info;
}

size_t StreamWriter::stored_prefix(std::span<const OutgoingMessage> messages) {
    const Stream::Info info = stream_.info();
    if (info.last_sequence == last_) {
        return 0;
    }
    const uint64_t stored = info.last_sequence - last_;
    if (info.last_sequence > last_ && stored <= messages.size()) {
        const auto newest = stream_.get(info.last_sequence);
        if (newest && newest->bytes == messages[stored - 1].bytes) {
            return stored;
        }
    }
    throw Error(Reaction::Resync, "the stream is not as it was left: it ends at " +
                                      std::to_string(info.last_sequence) + " instead of " +
                                      std::to_string(last_) +
                                      " (the broker lost messages, or somebody else writes to it)");
}

}  // namespace antipode
