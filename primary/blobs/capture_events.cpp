/// What is published of a file that was read.
#include "base/limits.hpp"
#include "primary/blobs/capture.hpp"
#include "verify/blob_digest.hpp"

namespace antipode::primary {
namespace {

/// Beyond, content that was moved is sent again.
constexpr size_t most_gone = 200'000;
/// From so many on, small contents are pulled, but for those that are hardly larger than the
/// reference to them.
constexpr size_t many_items = 1000;
constexpr size_t tiny_bytes = 2 * limits::kib;

}  // namespace

std::optional<Reading> BlobCapture::compare(const std::string& item, const Snapshot& snapshot,
                                            const std::optional<Published>& published, bool whole) {
    const BlobState& state = snapshot.state;
    Reading reading;
    reading.published = {state.encode(), verify::blob_digest(state.hash, state.stat.size)};
    const auto before = published && !whole ? BlobState::decode(published->state) : std::nullopt;
    const bool same_content = before && published->digest == reading.published.digest;
    if (same_content && before->stat.mode == state.stat.mode &&
        before->stat.mtime_ns == state.stat.mtime_ns) {
        if (published->state == reading.published.state) {
            forget_reading(item);
            return std::nullopt;
        }
        reading.payload.mutable_unchanged()->set_item(item);
        return reading;
    }
    v1::BlobPut& put = *reading.payload.mutable_blob_put();
    put.set_path(item);
    put.set_mode(snapshot.metadata.mode);
    put.set_mtime_ns(snapshot.metadata.mtime_ns);
    put.mutable_content()->set_sha256(std::string(view(state.hash)));
    put.mutable_content()->set_size(state.stat.size);
    // Without a place for the content, the event says: what you have, with this mode and time.
    if (!same_content) {
        place_content(item, snapshot, reading.published.digest, whole, put);
    }
    return reading;
}

void BlobCapture::place_content(const std::string& item, const Snapshot& snapshot,
                                const Digest& digest, bool whole, v1::BlobPut& put) {
    const FileStat& stat = snapshot.state.stat;
    if (stat.size > limits::inline_content_bytes) {
        // A site that has it under another name does not pull it.
        put.mutable_content()->set_pull(BlobReference{item, stat.size, stat.inode}.encode());
        return;
    }
    const auto source = whole ? std::nullopt : item_that_moved(snapshot.state, digest);
    if (source && source->size() < stat.size) {
        put.set_copy_of(*source);
    } else if (waiting_ >= many_items && stat.size > tiny_bytes && !tree_.is_remote()) {
        put.mutable_content()->set_pull(BlobReference{item, stat.size, stat.inode}.encode());
        put.mutable_content()->set_together(true);
    } else {
        put.mutable_content()->set_inline_(snapshot.content);
    }
}

void BlobCapture::remember_gone(const std::string& item, const Published& published) {
    if (const auto state = BlobState::decode(published.state)) {
        gone_.with([&](auto& gone) {
            if (gone.size() >= most_gone) {
                gone.clear();
            }
            gone[state->stat.inode] = item;
        });
    }
}

void BlobCapture::forget_gone(const std::string& item, const Published& published) {
    if (const auto state = BlobState::decode(published.state)) {
        gone_.with([&](auto& gone) {
            const auto found = gone.find(state->stat.inode);
            if (found != gone.end() && found->second == item) {
                gone.erase(found);
            }
        });
    }
}

/// The item that secondaries have with this content, and whose file now has another name.
std::optional<std::string> BlobCapture::item_that_moved(const BlobState& state,
                                                        const Digest& digest) {
    const auto item = gone_.with([&](const auto& gone) {
        const auto found = gone.find(state.stat.inode);
        return found == gone.end() ? std::nullopt : std::optional(found->second);
    });
    const auto published = item ? inventory_.find(store_, *item) : std::nullopt;
    return published && published->digest == digest ? item : std::nullopt;
}

}  // namespace antipode::primary
