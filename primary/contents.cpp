#include "primary/contents.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "protocol/contents.hpp"
#include "protocol/lengths.hpp"

namespace antipode::primary {
namespace {

class MemoryBody final : public BulkBody {
  public:
    explicit MemoryBody(std::string bytes) : bytes_(std::move(bytes)) {}
    std::optional<uint64_t> size() const override { return bytes_.size(); }
    void seek(uint64_t offset) override { read_ = std::min<size_t>(offset, bytes_.size()); }
    size_t read(std::span<char> buffer) override {
        const size_t count = bytes_.copy(buffer.data(), buffer.size(), read_);
        read_ += count;
        return count;
    }

  private:
    const std::string bytes_;
    size_t read_ = 0;
};

/// Nothing is copied together: contents go from where they are read to where they are sent from.
class ContentsBody final : public BulkBody {
  public:
    ContentsBody(std::vector<std::string> references, OpenContent open)
        : references_(std::move(references)), open_(std::move(open)) {}

    std::optional<uint64_t> size() const override { return std::nullopt; }
    void seek(uint64_t) override {}
    size_t read(std::span<char> buffer) override {
        size_t filled = 0;
        while (filled < buffer.size() && (!length_.empty() || left_ > 0 || next())) {
            filled += read_some(buffer.subspan(filled));
        }
        return filled;
    }

  private:
    bool next() {
        if (next_ == references_.size()) {
            return false;
        }
        content_ = open_(references_[next_++]);
        left_ = content_ ? content_->size().value_or(0) : 0;
        protocol::append_length(length_,
                                content_ ? static_cast<uint32_t>(left_) : protocol::no_content);
        return true;
    }

    size_t read_some(std::span<char> buffer) {
        if (!length_.empty()) {
            const size_t count = length_.copy(buffer.data(), buffer.size());
            length_.erase(0, count);
            return count;
        }
        const size_t count = content_->read(buffer.first(std::min(left_, buffer.size())));
        if (count == 0) {
            throw Error(Reaction::Retry, "a content ended before its size");
        }
        left_ -= count;
        return count;
    }

    const std::vector<std::string> references_;
    const OpenContent open_;
    size_t next_ = 0;
    std::string length_;  ///< what of it is not sent yet; then comes the content
    std::unique_ptr<BulkBody> content_;
    size_t left_ = 0;
};

}  // namespace

std::unique_ptr<BulkBody> open_contents(const BulkRequest& request, OpenContent open) {
    auto references = protocol::decode_contents_request(request.posted);
    return references ? std::make_unique<ContentsBody>(std::move(*references), std::move(open))
                      : nullptr;
}

std::unique_ptr<BulkBody> body_of(std::string bytes) {
    return std::make_unique<MemoryBody>(std::move(bytes));
}

}  // namespace antipode::primary
