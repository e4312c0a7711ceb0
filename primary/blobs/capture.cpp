#include "primary/blobs/capture.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/limits.hpp"
#include "verify/blob_digest.hpp"

namespace antipode::primary {
namespace {

/// A change this long after the last one has another time stamp on every file system.
constexpr int64_t tick_ns = 20'000'000;
/// A file that changes while it is read is read again so often.
constexpr int most_tries = 3;
/// Where a look is a request: of more items than this one listing of everything costs less.
constexpr size_t most_single_looks = 100;

int64_t now_ns(const Clock& clock) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(clock.now().time_since_epoch())
        .count();
}

bool same_version(const FileStat& left, const FileStat& right) {
    return left.size == right.size && left.mtime_ns == right.mtime_ns &&
           left.ctime_ns == right.ctime_ns && left.inode == right.inode;
}

}  // namespace

BlobCapture::BlobCapture(StoreId store, FileTree& tree, FileWatch& watch,
                         const Inventory& inventory, const Clock& clock,
                         std::vector<std::string> exclude)
    : store_(std::move(store)),
      tree_(tree),
      watch_(watch),
      inventory_(inventory),
      clock_(clock),
      filter_(std::move(exclude)),
      name_(tree.name() + " of " + store_.to_string()) {
    watch_.exclude([filter = filter_](const std::string& path) { return filter.excludes(path); });
}

Noticed BlobCapture::drain() {
    const FileWatch::Changes changes = watch_.drain();
    Noticed noticed;
    noticed.complete = changes.complete;
    std::set<std::string> paths(changes.files.begin(), changes.files.end());
    for (const std::string& directory : changes.gone_directories) {
        inventory_.for_each_below(store_, directory,
                                  [&](const std::string& item, const Published&) {
                                      paths.insert(item);
                                      return true;
                                  });
        unrecorded_.with([&](const Unrecorded& unrecorded) {
            paths.insert(unrecorded.items.lower_bound(directory + '/'),
                         unrecorded.items.lower_bound(directory + '0'));
        });
    }
    for (const std::string& path : paths) {
        if (filter_.excludes(path) || why_no_path(path)) {
            continue;
        }
        // Rows wait for a drain: what is far away is looked at when it is read.
        if (tree_.is_remote() || is_regular(path)) {
            noticed.changed.push_back(path);
        } else if (may_be_published(path)) {
            noticed.removed.push_back(path);
        }
    }
    // Last, so that a root that went away meanwhile is seen: then nothing of this is a removal.
    try {
        require_same_root();
    } catch (const Error&) {
        noticed.removed.clear();
        noticed.complete = false;
    }
    return noticed;
}

bool BlobCapture::is_regular(const std::string& path) {
    try {
        const auto stat = tree_.stat(path);
        return stat && stat->type == FileType::Regular;
    } catch (const Error&) {
        // It cannot be looked at now: read() will say why, and be tried again.
        return true;
    }
}

bool BlobCapture::may_be_published(const std::string& item) {
    const bool being_read = unrecorded_.with(
        [&](const Unrecorded& unrecorded) { return unrecorded.items.contains(item); });
    if (being_read) {
        return true;
    }
    const auto published = inventory_.find(store_, item);
    return published && !published->removed();
}

Noticed BlobCapture::reconcile(const std::stop_token& stop) {
    const RootIdentity root = require_root();
    Noticed noticed;
    noticed.emptied = looks_unmounted(root);
    TreeWalk walk(tree_, filter_, [&](const std::string& directory) {
        if (stop.stop_requested()) {
            throw Stopped{};
        }
        watch_.cover(directory);
    });
    auto file = walk.next();
    if (tree_.is_remote() && !file && !root_.copy()) {
        // Perhaps another bucket or prefix than the one that was compared last.
        noticed.emptied = inventory_.count_up_to(store_, 1) > 0;
    }
    std::vector<std::string> missing;
    const auto take_new_files_before = [&](const std::string* item) {
        for (; file && (item == nullptr || file->path < *item); file = walk.next()) {
            noticed.changed.push_back(file->path);
        }
    };
    inventory_.for_each(store_, [&](const std::string& item, const Published& published) {
        take_new_files_before(&item);
        if (file && file->path == item) {
            const auto state = BlobState::decode(published.state);
            if (!state || !state->proves_unchanged(file->stat)) {
                noticed.changed.push_back(item);
            }
            file = walk.next();
        } else if (!walk.is_hidden(item) && !filter_.excludes(item)) {
            missing.push_back(item);
        }
        return !stop.stop_requested();
    });
    take_new_files_before(nullptr);
    take_missing(std::move(missing), noticed);
    if (stop.stop_requested()) {
        throw Stopped{};
    }
    if (require_root() != root) {
        throw Error(Reaction::Retry, name_ + " was replaced while it was compared");
    }
    noticed.complete = walk.problem().empty();
    root_.with([&](std::optional<RootIdentity>& known) { known = root; });
    skipped_.with([&](Skipped& skipped) { skipped = walk.skipped(); });
    hidden_.with([&](std::string& hidden) { hidden = walk.problem(); });
    return noticed;
}

/// What a comparison did not find may have come after its directory was listed.
void BlobCapture::take_missing(std::vector<std::string> missing, Noticed& noticed) {
    std::optional<OrderedLooks> looks;
    if (tree_.is_remote() && missing.size() > most_single_looks) {
        looks.emplace(tree_);
    }
    for (std::string& item : missing) {
        const bool came = looks ? looks->stat(item).has_value() : is_regular(item);
        (came ? noticed.changed : noticed.removed).push_back(std::move(item));
    }
}

/// Throws unless the root is there.
BlobCapture::RootIdentity BlobCapture::require_root() {
    const auto stat = tree_.stat("");
    if (!stat || stat->type != FileType::Directory) {
        throw Error(Reaction::Retry, name_ + " is missing", "mount its file system, or create it");
    }
    return {stat->device, stat->inode};
}

/// Whether the root, which is another one than was compared last, or the first, is an empty one
/// although files were published from it: where a file system is not mounted.
bool BlobCapture::looks_unmounted(const RootIdentity& root) {
    // What is far away is no mount that may be gone: a listing fails, or is all there is.
    if (root_.copy() == root || tree_.is_remote()) {
        return false;
    }
    const auto entries = tree_.list("").value_or(std::vector<FileTree::Entry>());
    const bool empty = std::all_of(entries.begin(), entries.end(),
                                   [](const auto& entry) { return is_private(entry.name); });
    return empty && inventory_.count_up_to(store_, 1) > 0;
}

/// Throws when what is missing below the root may be missing because the root is another one.
void BlobCapture::require_same_root() {
    const auto known = root_.copy();
    const RootIdentity now = require_root();
    if ((known && now != *known) || looks_unmounted(now)) {
        throw Error(Reaction::Retry, name_ + " was replaced; it is compared next");
    }
}

std::optional<Reading> BlobCapture::read(const std::string& item, bool whole,
                                         const std::stop_token& stop) {
    if (why_no_path(item) || filter_.excludes(item)) {
        return std::nullopt;
    }
    remember_reading(item);
    const auto published = inventory_.find(store_, item);
    const auto stat = tree_.stat(item);
    if (!stat || stat->type != FileType::Regular) {
        return read_removed(item, published, whole);
    }
    const auto state = published ? BlobState::decode(published->state) : std::nullopt;
    if (!whole && state && state->proves_unchanged(*stat)) {
        forget_reading(item);
        return std::nullopt;
    }
    const auto snapshot = take_snapshot(item, stop);
    if (snapshot && state && state->proves_unchanged(snapshot->state.stat)) {
        require_same_content(item, *snapshot, published->digest);
    }
    return snapshot ? compare(item, *snapshot, published, whole)
                    : read_removed(item, published, whole);
}

/// What a failing disk made of a file must not be copied over what is right elsewhere.
void BlobCapture::require_same_content(const std::string& item, const Snapshot& snapshot,
                                       const Digest& published) {
    if (verify::blob_digest(snapshot.state.hash, snapshot.state.stat.size) != published) {
        throw Error(Reaction::Retry,
                    printable(item) +
                        " has another content than when it was published, and nobody changed it: "
                        "its times and size are the same",
                    "check the disk; bring the file back from a backup or from a secondary. If it "
                    "is right (written through a memory map), touch it");
    }
}

/// nullopt: there is no such file any more.
std::optional<BlobCapture::Snapshot> BlobCapture::take_snapshot(const std::string& item,
                                                                const std::stop_token& stop) {
    std::optional<Snapshot> snapshot;
    for (int tries = 0; tries < most_tries; ++tries) {
        const auto file = tree_.open(item);
        if (!file) {
            return std::nullopt;
        }
        snapshot = try_snapshot(*file, file->stat(), stop);
        const int64_t now = now_ns(clock_);
        const FileStat after = file->stat();
        if (snapshot && same_version(snapshot->state.stat, after)) {
            snapshot->state.settled = after.ctime_ns < now - tick_ns;
            return snapshot;
        }
        const bool grows = snapshot && after.size > snapshot->state.stat.size;
        if (grows && after.size > limits::inline_content_bytes) {
            break;  // reading it again costs much and would end the same way
        }
    }
    if (!snapshot) {
        throw Error(Reaction::Retry, printable(item) + " shrinks while it is read");
    }
    // It is written all the time. What was there when the reading began is right for a file that
    // only grows; any other version is followed by the next, since the stat shows that it changed.
    return snapshot;
}

/// What is there of the first `before.size` bytes; nullopt when it became shorter.
std::optional<BlobCapture::Snapshot> BlobCapture::try_snapshot(FileReader& file,
                                                               const FileStat& before,
                                                               const std::stop_token& stop) {
    Snapshot snapshot;
    snapshot.state.stat = before;
    snapshot.metadata = file.metadata(before);
    const bool small = before.size <= limits::inline_content_bytes;
    Sha256Stream stream;
    uint64_t left = before.size;
    for_each_chunk(file, 0, [&](std::string_view chunk) {
        if (stop.stop_requested()) {
            throw Stopped{};
        }
        const std::string_view part = chunk.substr(0, left);
        stream.update(part);
        if (small) {
            snapshot.content += part;
        }
        left -= part.size();
        return left > 0;
    });
    snapshot.state.hash = stream.finish();
    return left > 0 ? std::nullopt : std::optional(std::move(snapshot));
}

std::optional<Reading> BlobCapture::read_removed(const std::string& item,
                                                 const std::optional<Published>& published,
                                                 bool whole) {
    require_same_root();
    if (!whole && (!published || published->removed())) {
        forget_reading(item);
        return std::nullopt;
    }
    // The inventory knows it until the removal is recorded.
    forget_reading(item);
    Reading reading;
    reading.payload.mutable_blob_removed()->set_path(item);
    return reading;
}

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
    if (!same_content && state.stat.size <= limits::inline_content_bytes) {
        put.mutable_content()->set_inline_(snapshot.content);
    } else if (!same_content) {
        put.mutable_content()->set_pull(
            BlobReference{item, state.stat.size, state.stat.inode}.encode());
    }
    return reading;
}

/// The content was hashed when it was applied; it is not read again.
std::optional<Published> BlobCapture::assume(const std::string& item, const Digest& digest) {
    if (tree_.is_remote() && !assuming_) {
        assuming_.emplace(tree_);
    }
    const auto stat = assuming_ ? assuming_->stat(item) : tree_.stat(item);
    if (!stat || stat->type != FileType::Regular) {
        return std::nullopt;
    }
    return Published{BlobState{*stat, {}, true}.encode(), digest};
}

std::string BlobCapture::defect(const std::string& item, const Pace& pace,
                                const std::stop_token& stop) {
    const auto published = inventory_.find(store_, item);
    const auto state = published ? BlobState::decode(published->state) : std::nullopt;
    const auto file = state ? tree_.open(item) : nullptr;
    if (!file || !state->proves_unchanged(file->stat())) {
        return {};
    }
    Sha256Stream stream;
    uint64_t size = 0;
    for_each_chunk(*file, 0, [&](std::string_view chunk) {
        stream.update(chunk);
        size += chunk.size();
        pace(chunk.size());
        return !stop.stop_requested();
    });
    if (stop.stop_requested()) {
        throw Stopped{};
    }
    const bool same = verify::blob_digest(stream.finish(), size) == published->digest;
    return same || !state->proves_unchanged(file->stat())
               ? std::string()
               : "it has another content than when it was published, and nobody changed it";
}

void BlobCapture::remember_reading(const std::string& item) {
    unrecorded_.with([&](Unrecorded& unrecorded) {
        unrecorded.items.insert(item);
        if (unrecorded.items.size() < unrecorded.sweep_at) {
            return;
        }
        std::erase_if(unrecorded.items, [&](const std::string& candidate) {
            const auto published = inventory_.find(store_, candidate);
            return candidate != item && published && !published->removed();
        });
        unrecorded.sweep_at = unrecorded.items.size() + 10'000;
    });
}

void BlobCapture::forget_reading(const std::string& item) {
    unrecorded_.with([&](Unrecorded& unrecorded) { unrecorded.items.erase(item); });
}

bool BlobCapture::notices_everything() const {
    return root_.copy().has_value() && watch_.problem().empty();
}

std::string BlobCapture::problem() const {
    const std::string hidden = hidden_.copy();
    return hidden.empty() ? watch_.problem() : hidden;
}

}  // namespace antipode::primary
