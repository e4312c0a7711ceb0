#include "primary/blobs/bulk.hpp"

#include <algorithm>
#include <charconv>
#include <functional>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "primary/blobs/state.hpp"
#include "protocol/contents.hpp"
#include "protocol/lengths.hpp"

namespace antipode::primary {
namespace {

class FileBody final : public BulkBody {
  public:
    FileBody(std::unique_ptr<FileReader> file, uint64_t size)
        : file_(std::move(file)), size_(size) {}

    std::optional<uint64_t> size() const override { return size_; }
    void seek(uint64_t offset) override { place_ = offset; }
    size_t read(std::span<char> buffer) override {
        // The server notices when a file ends before its size and cuts the connection.
        const uint64_t left = size_ - std::min(place_, size_);
        const size_t count =
            file_->read_at(place_, buffer.first(std::min<uint64_t>(left, buffer.size())));
        place_ += count;
        return count;
    }

  private:
    std::unique_ptr<FileReader> file_;
    const uint64_t size_;
    uint64_t place_ = 0;
};

/// Opens and reads one file after the other, when the one before was sent.
class ContentsBody final : public BulkBody {
  public:
    using Content = std::function<std::optional<std::string>(const std::string& reference)>;
    ContentsBody(std::vector<std::string> references, Content content)
        : references_(std::move(references)), content_(std::move(content)) {}

    std::optional<uint64_t> size() const override { return std::nullopt; }
    void seek(uint64_t) override {}
    size_t read(std::span<char> buffer) override {
        size_t filled = 0;
        while (filled < buffer.size() && (sent_ < record_.size() || next_record())) {
            const size_t count =
                record_.copy(buffer.data() + filled, buffer.size() - filled, sent_);
            sent_ += count;
            filled += count;
        }
        return filled;
    }

  private:
    bool next_record() {
        if (next_ == references_.size()) {
            return false;
        }
        const auto content = content_(references_[next_++]);
        record_.clear();
        sent_ = 0;
        protocol::append_length(
            record_, content ? static_cast<uint32_t>(content->size()) : protocol::no_content);
        record_ += content.value_or("");
        return true;
    }

    const std::vector<std::string> references_;
    const Content content_;
    size_t next_ = 0;
    std::string record_;
    size_t sent_ = 0;
};

/// The hash of each range, made when the one before was sent.
class HashesBody final : public BulkBody {
  public:
    HashesBody(std::unique_ptr<FileReader> file, uint64_t size, uint64_t range_bytes)
        : file_(std::move(file)), size_(size), range_bytes_(range_bytes) {}

    std::optional<uint64_t> size() const override { return std::nullopt; }
    void seek(uint64_t) override {}
    size_t read(std::span<char> buffer) override {
        Sha256 hash{};
        if (place_ >= size_ || buffer.size() < hash.size()) {
            return 0;
        }
        std::string bytes(std::min(range_bytes_, size_ - place_), '\0');
        if (file_->read_at(place_, bytes) != bytes.size()) {
            throw Error(Reaction::Retry, "the file got shorter while it was read");
        }
        hash = sha256(bytes);
        place_ += bytes.size();
        std::copy(hash.begin(), hash.end(), buffer.begin());
        return hash.size();
    }

  private:
    std::unique_ptr<FileReader> file_;
    const uint64_t size_;
    const uint64_t range_bytes_;
    uint64_t place_ = 0;
};

/// nullopt: it is no size of ranges that anybody asks for.
std::optional<uint64_t> range_bytes_of(const BulkRequest& request) {
    constexpr uint64_t least = 4096;
    const std::string text = request.parameter("bytes").value_or("");
    uint64_t bytes = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bytes);
    const bool whole = error == std::errc{} && end == text.data() + text.size();
    return whole && bytes >= least && bytes <= 64 * limits::mib ? std::optional(bytes)
                                                                : std::nullopt;
}

}  // namespace

std::unique_ptr<BulkBody> BlobBulk::open(const BulkRequest& request) {
    if (request.path.ends_with("/contents")) {
        auto references = protocol::decode_contents_request(request.posted);
        return references ? std::make_unique<ContentsBody>(
                                std::move(*references),
                                [this](const std::string& one) { return small_content(one); })
                          : nullptr;
    }
    const auto text = request.parameter("ref");
    const auto bytes = text ? from_hex(*text) : std::nullopt;
    const bool hashes = request.path.ends_with("/hashes");
    const auto range_bytes = hashes ? range_bytes_of(request) : std::nullopt;
    if (!bytes || (hashes ? !range_bytes : !request.path.ends_with("/content"))) {
        return nullptr;
    }
    auto found = find(*bytes);
    if (found && hashes) {
        return std::make_unique<HashesBody>(std::move(found->file), found->size, *range_bytes);
    }
    return found ? std::make_unique<FileBody>(std::move(found->file), found->size) : nullptr;
}

std::optional<BlobBulk::Found> BlobBulk::find(const std::string& bytes) {
    const auto reference = BlobReference::decode(bytes);
    if (!reference || !filter_.includes(reference->path)) {
        return std::nullopt;
    }
    auto file = tree_.open(reference->path);
    if (!file) {
        return std::nullopt;
    }
    const FileStat stat = file->stat();
    const bool same_size = stat.size == reference->size;
    const bool grew = stat.size > reference->size && stat.inode == reference->inode;
    if (!same_size && !grew) {
        return std::nullopt;
    }
    return Found{std::move(file), reference->size};
}

/// nullopt: it is not there (any more), or is not to be read: one file must not keep the others.
std::optional<std::string> BlobBulk::small_content(const std::string& reference) try {
    const auto found = find(reference);
    if (!found || found->size > limits::inline_content_bytes) {
        return std::nullopt;
    }
    std::string content(found->size, '\0');
    const size_t count = found->file->read_at(0, content);
    return count == content.size() ? std::optional(std::move(content)) : std::nullopt;
} catch (const Error&) {
    return std::nullopt;  // whoever asks for it alone is told why
}

}  // namespace antipode::primary
