#include "primary/blobs/capture.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

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

/// What is remembered of a published directory; no BlobState. Times change with what is in it.
std::string directory_state(const FileStat& stat) {
    return "d" + std::to_string(stat.mode);
}

bool proves_unchanged(const Published& published, const TreeWalk::Item& found) {
    if (names_directory(found.path)) {
        return published.state == directory_state(found.stat);
    }
    const auto state = BlobState::decode(published.state);
    return state && state->proves_unchanged(found.stat);
}

/// A directory goes after what is in it.
void put_directories_last(std::vector<std::string>& removed) {
    std::sort(removed.begin(), removed.end(), [](const auto& left, const auto& right) {
        const bool directory = names_directory(left);
        return directory != names_directory(right) ? !directory
               : directory                         ? left > right
                                                   : left < right;
    });
}

}  // namespace

BlobCapture::BlobCapture(StoreId store, FileTree& tree, FileWatch& watch,
                         const Inventory& inventory, const Clock& clock, PathFilter filter,
                         bool directories)
    : store_(std::move(store)),
      tree_(tree),
      watch_(watch),
      inventory_(inventory),
      clock_(clock),
      filter_(std::move(filter)),
      directories_(directories),
      name_(tree.name() + " of " + store_.to_string()) {
    watch_.exclude([filter = filter_](const std::string& path) { return filter.excludes(path); });
}

Noticed BlobCapture::drain() {
    const FileWatch::Changes changes = watch_.drain();
    Noticed noticed;
    noticed.complete = changes.complete;
    std::set<std::string> paths(changes.files.begin(), changes.files.end());
    for (const std::string& directory : changes.directories) {
        paths.insert(directory + '/');
    }
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
        if (!is_item(path)) {
            continue;
        }
        // Rows wait for a drain: what is far away is looked at when it is read.
        if (tree_.is_remote() || is_there(path)) {
            noticed.changed.push_back(path);
        } else if (may_be_published(path)) {
            noticed.removed.push_back(path);
        }
    }
    put_directories_last(noticed.removed);
    sort_out_moved(noticed);
    // Last, so that a root that went away meanwhile is seen: then nothing of this is a removal.
    try {
        require_same_root();
    } catch (const Error&) {
        noticed.removed.clear();
        noticed.moved.clear();
        noticed.complete = false;
    }
    return noticed;
}

/// A file that was moved is no deletion. Its new name is noticed together with its old one; inodes
/// are used again, so size and time must be its own, too.
void BlobCapture::sort_out_moved(Noticed& noticed) {
    if (noticed.removed.empty() || noticed.changed.empty() || tree_.is_remote()) {
        return;
    }
    std::unordered_map<uint64_t, FileStat> there;
    for (const std::string& item : noticed.changed) {
        // Another name that it had before is no new one.
        const auto known = inventory_.find(store_, item);
        const auto stat = known && !known->removed() ? std::nullopt : tree_.stat(path_of(item));
        if (stat) {
            there[stat->inode] = *stat;
        }
    }
    const auto was_moved = [&](const std::string& item) {
        const auto published = inventory_.find(store_, item);
        const auto state = published ? BlobState::decode(published->state) : std::nullopt;
        const auto found = state ? there.find(state->stat.inode) : there.end();
        return found != there.end() && found->second.size == state->stat.size &&
               found->second.mtime_ns == state->stat.mtime_ns;
    };
    const auto moved =
        std::stable_partition(noticed.removed.begin(), noticed.removed.end(),
                              [&](const std::string& item) { return !was_moved(item); });
    noticed.moved.assign(std::make_move_iterator(moved),
                         std::make_move_iterator(noticed.removed.end()));
    noticed.removed.erase(moved, noticed.removed.end());
}

bool BlobCapture::is_item(const std::string& item) const {
    return (directories_ || !names_directory(item)) && !why_no_path(path_of(item)) &&
           !is_filtered(item);
}

bool BlobCapture::is_filtered(const std::string& item) const {
    const std::string path = path_of(item);
    return names_directory(item) ? filter_.excludes(path) : !filter_.includes(path);
}

bool BlobCapture::is_there(const std::string& item) {
    if (!is_item(item)) {
        return false;
    }
    try {
        const auto stat = tree_.stat(path_of(item));
        return stat &&
               stat->type == (names_directory(item) ? FileType::Directory : FileType::Regular);
    } catch (const Error&) {
        // It cannot be looked at now: read() will say why, and be tried again.
        return true;
    }
}

bool BlobCapture::may_be_published(const std::string& item) {
    // In this order: what is not being read any more has been recorded.
    const bool being_read = unrecorded_.with(
        [&](const Unrecorded& unrecorded) { return unrecorded.items.contains(item); });
    const auto published = inventory_.find(store_, item);
    if (published && !published->removed()) {
        remember_gone(item, *published);
        return true;
    }
    return being_read;
}

Noticed BlobCapture::reconcile(const std::stop_token& stop) {
    const RootIdentity root = require_root();
    Noticed noticed;
    noticed.emptied = looks_unmounted(root);
    const auto cover = [&](const std::string& directory) {
        if (stop.stop_requested()) {
            throw Stopped{};
        }
        watch_.cover(directory);
    };
    TreeWalk walk(tree_, filter_, cover, directories_);
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
            if (!proves_unchanged(published, *file)) {
                noticed.changed.push_back(item);
            }
            file = walk.next();
        } else if (!walk.is_hidden(item) && !is_filtered(item)) {
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
    put_directories_last(noticed.removed);
    sort_out_moved(noticed);
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
        const bool came = looks ? looks->stat(item).has_value() : is_there(item);
        if (const auto published = came ? std::nullopt : inventory_.find(store_, item)) {
            remember_gone(item, *published);
        }
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
    if (why_no_path(path_of(item)) || is_filtered(item)) {
        return std::nullopt;
    }
    remember_reading(item);
    const auto published = inventory_.find(store_, item);
    if (names_directory(item)) {
        return read_directory(item, published, whole);
    }
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

/// One that was published when directories were items, and are not any more, is taken back.
std::optional<Reading> BlobCapture::read_directory(const std::string& item,
                                                   const std::optional<Published>& published,
                                                   bool whole) {
    const auto stat = directories_ ? tree_.stat(path_of(item)) : std::nullopt;
    if (!stat || stat->type != FileType::Directory) {
        return read_removed(item, published, whole);
    }
    Reading reading;
    reading.published = {directory_state(*stat), verify::directory_digest()};
    if (!whole && published && published->state == reading.published.state) {
        forget_reading(item);
        return std::nullopt;
    }
    reading.payload.mutable_blob_put()->set_path(item);
    reading.payload.mutable_blob_put()->set_mode(stat->mode);
    return reading;
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
    if (published) {
        forget_gone(item, *published);
    }
    Reading reading;
    reading.payload.mutable_blob_removed()->set_path(item);
    return reading;
}

/// The content was hashed when it was applied; it is not read again.
std::optional<Published> BlobCapture::assume(const std::string& item, const Digest& digest) {
    if (tree_.is_remote() && !assuming_) {
        assuming_.emplace(tree_);
    }
    const auto stat = assuming_ ? assuming_->stat(item) : tree_.stat(path_of(item));
    const FileType type = names_directory(item) ? FileType::Directory : FileType::Regular;
    if (!is_item(item) || !stat || stat->type != type) {
        return std::nullopt;
    }
    return Published{
        names_directory(item) ? directory_state(*stat) : BlobState{*stat, {}, true}.encode(),
        digest};
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
    try {
        for_each_chunk(*file, 0, [&](std::string_view chunk) {
            stream.update(chunk);
            size += chunk.size();
            pace(chunk.size());
            return !stop.stop_requested();
        });
    } catch (const Error& error) {
        if (std::string_view(error.what()).find(strerror(EIO)) == std::string_view::npos) {
            throw;
        }
        return error.what();
    }
    if (stop.stop_requested()) {
        throw Stopped{};
    }
    const bool same = verify::blob_digest(stream.finish(), size) == published->digest;
    return same || !state->proves_unchanged(file->stat())
               ? std::string()
               : "it has another content than when it was published, and nobody changed it";
}

std::optional<std::string> BlobCapture::why_no_item(const std::string& item) {
    const std::string path = path_of(item);
    if (const auto why = why_no_path(path)) {
        return why;
    }
    if (filter_.excludes(path)) {
        return "it is excluded";
    }
    if (is_filtered(item)) {
        return "no pattern of include is for it";
    }
    if (tree_.is_remote()) {
        return std::nullopt;  // whoever reads it sees what it is
    }
    const auto stat = tree_.stat(path);
    if (names_directory(item) && !directories_) {
        return "directories are none here (directories = \"as-needed\")";
    }
    if (!stat || stat->type == (names_directory(item) ? FileType::Directory : FileType::Regular)) {
        return std::nullopt;
    }
    return stat->type == FileType::Directory
               ? std::string("it is a directory") + (directories_ ? ": put a / at its end" : "")
           : stat->type == FileType::SymbolicLink ? "it is a symbolic link"
           : stat->type == FileType::Regular      ? "it is a file"
                                                  : "it is no regular file";
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
