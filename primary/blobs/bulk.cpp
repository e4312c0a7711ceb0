#include "primary/blobs/bulk.hpp"

#include <algorithm>

#include "base/digest.hpp"
#include "primary/blobs/state.hpp"

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

}  // namespace

std::unique_ptr<BulkBody> BlobBulk::open(const BulkRequest& request) {
    const auto text = request.parameter("ref");
    if (!request.path.ends_with("/content") || !text) {
        return nullptr;
    }
    const auto bytes = from_hex(*text);
    const auto reference = bytes ? BlobReference::decode(*bytes) : std::nullopt;
    if (!reference || !filter_.includes(reference->path)) {
        return nullptr;
    }
    auto file = tree_.open(reference->path);
    if (!file) {
        return nullptr;
    }
    const FileStat stat = file->stat();
    const bool same_size = stat.size == reference->size;
    const bool grew = stat.size > reference->size && stat.inode == reference->inode;
    if (!same_size && !grew) {
        return nullptr;
    }
    return std::make_unique<FileBody>(std::move(file), reference->size);
}

}  // namespace antipode::primary
