#include "primary/blobs/bulk.hpp"

#include <algorithm>
#include <charconv>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "primary/blobs/state.hpp"
#include "primary/contents.hpp"

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
        return open_contents(request,
                             [this](const std::string& one) { return small_content(one); });
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

/// Read before its length is told: one file that gets shorter must not keep the others.
std::unique_ptr<BulkBody> BlobBulk::small_content(const std::string& reference) try {
    const auto found = find(reference);
    if (!found || found->size > limits::inline_content_bytes) {
        return nullptr;
    }
    std::string content(found->size, '\0');
    const size_t count = found->file->read_at(0, content);
    return count == content.size() ? body_of(std::move(content)) : nullptr;
} catch (const Error&) {
    return nullptr;  // whoever asks for it alone is told why
}

}  // namespace antipode::primary
