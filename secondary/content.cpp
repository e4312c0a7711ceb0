#include "secondary/content.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <spdlog/spdlog.h>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/limits.hpp"

namespace antipode::secondary {
namespace {

/// So that neither a crash nor the last sync costs much.
constexpr uint64_t sync_every_bytes = 64 * limits::mib;

/// Thrown through BulkSource::get when what comes cannot be what was asked for.
struct Superseded {};

}  // namespace

class ContentStore::Turn {
  public:
    Turn(ContentStore& store, const Sha256& wanted, uint64_t size, const std::stop_token& stop)
        : hash(wanted), total(size), store_(store) {
        std::unique_lock lock(store_.mutex_);
        if (!store_.turn_ended_.wait(lock, stop, [&] { return find() == store_.active_.end(); })) {
            throw Stopped{};
        }
        store_.active_.push_back({hash, 0, size});
    }
    ~Turn() {
        std::scoped_lock lock(store_.mutex_);
        store_.active_.erase(find());
        store_.turn_ended_.notify_all();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    void report(uint64_t bytes) {
        std::scoped_lock lock(store_.mutex_);
        find()->bytes = bytes;
    }

    const Sha256 hash;
    const uint64_t total;

  private:
    std::vector<Progress>::iterator find() {
        return std::find_if(store_.active_.begin(), store_.active_.end(),
                            [&](const Progress& pull) { return pull.hash == hash; });
    }
    ContentStore& store_;
};

ContentStore::ContentStore(StoreId store, FileTree& tree, std::string directory,
                           SameContent same_content)
    : store_(std::move(store)),
      tree_(tree),
      directory_(std::move(directory)),
      same_content_(std::move(same_content)) {}
ContentStore::~ContentStore() = default;

ContentStore::Outcome ContentStore::fetch(const v1::Content& content, BulkSource& primary,
                                          const std::stop_token& stop) {
    const auto hash = sha256_from_bytes(content.sha256());
    if (!hash || content.pull().empty()) {
        return Gone{"the event does not say what to pull"};
    }
    Turn turn(*this, *hash, content.size(), stop);
    if (is_here(*hash, content.size())) {
        return Here{path_of(*hash)};
    }
    require_directory();
    if (take_same(turn, stop)) {
        return Here{path_of(*hash)};
    }
    const auto part = tree_.stat(part_name(*hash));
    const Outcome first = pull(content, turn, primary, stop);
    const bool was_resumed = part && part->size > 0;
    if (std::holds_alternative<Here>(first) || !was_resumed) {
        return first;
    }
    // A power cut may have left a part whose bytes never reached the disk: once more, from zero.
    return pull(content, turn, primary, stop);
}

void ContentStore::require_directory() {
    std::set<std::string> changed;
    if (make_directories(tree_, directory_, changed)) {
        throw Error(Reaction::Retry,
                    printable(tree_.root().native()) + " is missing, or no directory",
                    "mount or create it");
    }
    for (const std::string& directory : changed) {
        tree_.sync_directory(directory);
    }
}

void ContentStore::expect(const v1::Content& content) {
    const auto hash = sha256_from_bytes(content.sha256());
    if (!hash || !same_content_) {
        return;
    }
    try {
        if (!tree_.stat(whole_name(*hash))) {
            require_directory();
            name_same(*hash, content.size());
        }
    } catch (const Error& error) {
        spdlog::debug("{}: {}", store_.to_string(), error.what());  // it is pulled, then
    }
}

/// True: a file that should have this content has our name.
bool ContentStore::name_same(const Sha256& hash, uint64_t size) {
    const std::string name = same_name(hash);
    if (tree_.stat(name)) {
        return true;
    }
    const auto items = same_content_ ? same_content_(hash, size) : std::vector<std::string>();
    return std::any_of(items.begin(), items.end(), [&](const std::string& item) {
        const auto stat = tree_.stat(item);
        return stat && stat->type == FileType::Regular && stat->size == size &&
               tree_.link(item, name);
    });
}

/// What an item has need not be pulled, nor copied yet: what we hold is another name of its file,
/// which nobody ever writes into.
bool ContentStore::take_same(Turn& turn, const std::stop_token& stop) {
    const std::string name = same_name(turn.hash);
    try {
        const auto file = name_same(turn.hash, turn.total) ? tree_.open(name) : nullptr;
        if (!file) {
            return false;
        }
        const HashedFile found = hash_file(*file, stop);
        const auto metadata = tree_.open_for_metadata(name);
        if (!metadata || found.hash != turn.hash || found.size != turn.total) {
            tree_.remove(name);  // a content check finds what is wrong with the item
            return false;
        }
        metadata->sync();
    } catch (const Error& error) {
        spdlog::debug("{}: {}", store_.to_string(), error.what());
        tree_.remove(name);
        return false;
    }
    place(turn.hash, name);
    drop_part(turn.hash);
    return true;
}

bool ContentStore::is_here(const Sha256& hash, uint64_t size) {
    const auto there = tree_.stat(whole_name(hash));
    if (there && there->type == FileType::Regular && there->size == size) {
        // A crash may have come between the rename and this.
        tree_.sync_directory(directory_);
        return true;
    }
    return false;
}

ContentStore::Outcome ContentStore::pull(const v1::Content& content, Turn& turn,
                                         BulkSource& primary, const std::stop_token& stop) {
    const std::string name = part_name(turn.hash);
    Sha256Stream stream;
    uint64_t bytes = 0;
    if (const auto part = tree_.open(name)) {
        for_each_chunk(*part, 0, [&](std::string_view chunk) {
            if (stop.stop_requested()) {
                throw Stopped{};
            }
            stream.update(chunk);
            bytes += chunk.size();
            turn.report(bytes);
            return true;
        });
    }
    std::string reason = "what came is not what was announced";
    try {
        const auto writer = tree_.append(name);
        uint64_t synced = bytes;
        if (bytes < turn.total) {
            const auto check_size = [&](const BulkSource::Answer& answer) {
                if (answer.total_size && *answer.total_size != turn.total) {
                    throw Superseded{};
                }
            };
            const auto take = [&](std::string_view chunk) {
                if (chunk.size() > turn.total - bytes) {
                    throw Superseded{};
                }
                writer->write(chunk);
                stream.update(chunk);
                bytes += chunk.size();
                turn.report(bytes);
                if (bytes - synced >= sync_every_bytes) {
                    sync_or_drop(turn.hash, *writer);
                    synced = bytes;
                }
            };
            const BulkRequest request{store_.to_string() + "/content",
                                      {{"ref", to_hex(content.pull())}}};
            if (!primary.get(request, bytes, check_size, take, stop).found) {
                reason = "the primary does not have it any more";
            }
        }
        if (bytes == turn.total && stream.finish() == turn.hash) {
            finish(turn.hash, *writer);
            return Here{path_of(turn.hash)};
        }
    } catch (const Superseded&) {
        reason = "the primary has another version by now";
    }
    drop_part(turn.hash);
    return Gone{reason};
}

void ContentStore::sync_or_drop(const Sha256& hash, FileWriter& part) {
    try {
        part.sync();
    } catch (const Error&) {
        // Nobody knows what is on the disk now, and the next sync would not say it again.
        drop_part(hash);
        throw;
    }
}

void ContentStore::finish(const Sha256& hash, FileWriter& part) {
    sync_or_drop(hash, part);
    place(hash, part_name(hash));
}

void ContentStore::drop_part(const Sha256& hash) {
    tree_.remove(part_name(hash));
}

/// Makes a checked, synced file of ours the whole content.
void ContentStore::place(const Sha256& hash, const std::string& file) {
    if (tree_.rename(file, whole_name(hash)) != FileTree::Placed::Yes) {
        throw Error(Reaction::Retry,
                    "pulled content vanished: " + printable(path_of(hash).native()));
    }
    try {
        tree_.sync_directory(directory_);
    } catch (const Error&) {
        tree_.remove(whole_name(hash));
        throw;
    }
}

std::filesystem::path ContentStore::path_of(const Sha256& hash) const {
    return tree_.root() / whole_name(hash);
}

void ContentStore::discard(const Sha256& hash) {
    if (!is_active(hash)) {
        tree_.remove(whole_name(hash));
        tree_.remove(same_name(hash));
        drop_part(hash);
    }
}

size_t ContentStore::keep_only(std::span<const Sha256> wanted) {
    std::set<std::string> known;
    const auto keep = [&](const Sha256& hash) {
        known.insert({whole_name(hash), part_name(hash), same_name(hash)});
    };
    for (const Sha256& hash : wanted) {
        keep(hash);
    }
    for (const Progress& pull : progress()) {
        keep(pull.hash);
    }
    size_t removed = 0;
    for (const FileTree::Entry& entry :
         tree_.list(directory_).value_or(std::vector<FileTree::Entry>())) {
        const std::string path = directory_ + "/" + entry.name;
        if (!known.contains(path) && tree_.remove(path)) {
            ++removed;
        }
    }
    return removed;
}

std::vector<ContentStore::Progress> ContentStore::progress() const {
    std::scoped_lock lock(mutex_);
    return active_;
}

bool ContentStore::is_active(const Sha256& hash) const {
    const auto pulls = progress();
    return std::any_of(pulls.begin(), pulls.end(),
                       [&](const Progress& pull) { return pull.hash == hash; });
}

std::string ContentStore::whole_name(const Sha256& hash) const {
    return directory_ + "/" + to_hex(hash);
}

std::string ContentStore::part_name(const Sha256& hash) const {
    return whole_name(hash) + ".part";
}

std::string ContentStore::same_name(const Sha256& hash) const {
    return whole_name(hash) + ".same";
}

}  // namespace antipode::secondary
