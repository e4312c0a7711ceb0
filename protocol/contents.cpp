#include "protocol/contents.hpp"

#include <algorithm>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "protocol/lengths.hpp"

namespace antipode::protocol {
namespace {

[[noreturn]] void malformed(const char* how) {
    throw Error(Reaction::Retry, std::string("the primary's answer with contents is ") + how);
}

}  // namespace

std::string encode_contents_request(std::span<const std::string> references) {
    std::string text;
    for (const std::string& reference : references) {
        text += to_hex(reference) + "\n";
    }
    return text;
}

std::optional<std::vector<std::string>> decode_contents_request(std::string_view text) {
    std::vector<std::string> references;
    while (!text.empty()) {
        const size_t end = text.find('\n');
        const auto reference = from_hex(text.substr(0, end));
        if (end == std::string_view::npos || !reference || reference->empty() ||
            references.size() == limits::contents_at_once) {
            return std::nullopt;
        }
        references.push_back(*reference);
        text.remove_prefix(end + 1);
    }
    return references.empty() ? std::nullopt : std::optional(std::move(references));
}

void ContentsReader::feed(std::string_view chunk) {
    while (!chunk.empty()) {
        if (!wanted_) {
            take_length(chunk);
        }
        if (!wanted_) {
            continue;
        }
        const std::string_view part = chunk.substr(0, *wanted_ - content_.size());
        content_ += part;
        chunk.remove_prefix(part.size());
        if (content_.size() == *wanted_) {
            wanted_.reset();
            use_(std::exchange(content_, {}));
        }
    }
}

/// Takes what there is of the next length.
void ContentsReader::take_length(std::string_view& chunk) {
    if (left_ == 0) {
        malformed("longer than what was asked for");
    }
    const size_t count = std::min(length_bytes - length_.size(), chunk.size());
    length_ += chunk.substr(0, count);
    chunk.remove_prefix(count);
    const auto length = read_length(length_);
    if (!length) {
        return;
    }
    length_.clear();
    --left_;
    if (*length == no_content) {
        use_(std::nullopt);
        return;
    }
    if (*length > limits::content_in_memory_bytes) {
        malformed("malformed");
    }
    wanted_ = *length;
    content_.reserve(*length);
    if (*length == 0) {
        wanted_.reset();
        use_(std::string());
    }
}

void ContentsReader::finish() const {
    if (left_ > 0 || wanted_) {
        malformed("cut off");
    }
}

}  // namespace antipode::protocol
