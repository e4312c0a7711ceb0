#include "secondary/content.hpp"

#include <algorithm>
#include <map>
#include <set>

#include <spdlog/spdlog.h>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/limits.hpp"

namespace antipode::secondary {

class ContentStore::Turn {
  public:
    Turn(ContentStore& store, const Sha256& wanted, uint64_t size, const std::stop_token& stop)
        : hash(wanted), total(size), store_(store) {
        std::unique_lock lock(store_.mutex_);
        if (!store_.turn_ended_.wait(lock, stop, [&] { return find() == store_.active_.end(); })) {
            throw Stopped{};
        }
        store_.active_.push_back({{hash, 0, size}, nullptr});
    }
    /// nullptr: somebody else has it.
    static std::unique_ptr<Turn> at_once(ContentStore& store, const Sha256& wanted) {
        std::scoped_lock lock(store.mutex_);
        std::unique_ptr<Turn> turn(new Turn(store, wanted));
        if (turn->find() != store.active_.end()) {
            turn->owned_ = false;
            return nullptr;
        }
        store.active_.push_back({{wanted, 0, 0}, nullptr});
        return turn;
    }
    ~Turn() {
        if (!owned_) {
            return;
        }
        end_pull();
        std::scoped_lock lock(store_.mutex_);
        store_.active_.erase(find());
        store_.turn_ended_.notify_all();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

    /// From now on others may help.
    void begin_pull(std::shared_ptr<RangedPull> pull) {
        pull_ = pull;
        std::scoped_lock lock(store_.mutex_);
        find()->pull = std::move(pull);
    }
    /// Nobody helps any more.
    void end_pull() {
        if (pull_) {
            pull_->close();
            pull_.reset();
            std::scoped_lock lock(store_.mutex_);
            find()->pull.reset();
        }
    }

    const Sha256 hash;
    const uint64_t total;

  private:
    Turn(ContentStore& store, const Sha256& wanted) : hash(wanted), total(0), store_(store) {}

    std::vector<Active>::iterator find() {
        return std::find_if(store_.active_.begin(), store_.active_.end(),
                            [&](const Active& active) { return active.progress.hash == hash; });
    }
    ContentStore& store_;
    bool owned_ = true;
    std::shared_ptr<RangedPull> pull_;
};

ContentStore::ContentStore(StoreId store, FileTree& tree, std::string directory,
                           SameContent same_content, uint64_t range_bytes)
    : store_(std::move(store)),
      tree_(tree),
      directory_(std::move(directory)),
      same_content_(std::move(same_content)),
      range_bytes_(range_bytes) {}
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
    if (const auto outcome = pull(content, turn, false, primary, stop)) {
        return *outcome;
    }
    // What an earlier try left was not right, whyever: once more, from the beginning.
    return pull(content, turn, true, primary, stop)
        .value_or(Gone{"what came is not what was announced"});
}

ContentStore::Here ContentStore::save(const v1::Content& content, const std::string& bytes,
                                      const std::stop_token& stop) {
    const Sha256 hash = sha256_from_bytes(content.sha256()).value();
    const Turn turn(*this, hash, content.size(), stop);
    if (!is_here(hash, content.size())) {
        require_directory();
        const std::string name = whole_name(hash) + ".part";
        const auto writer = tree_.create(name);
        writer->write(bytes);
        writer->sync();
        place(hash, name);
        RangedPull::remove_files(tree_, whole_name(hash));
    }
    return {path_of(hash)};
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

bool ContentStore::has(const v1::Content& content) try {
    const auto hash = sha256_from_bytes(content.sha256());
    const auto there = hash ? tree_.stat(whole_name(*hash)) : std::nullopt;
    return there && there->type == FileType::Regular && there->size == content.size();
} catch (const Error& error) {
    spdlog::debug("{}: {}", store_.to_string(), error.what());
    return false;  // it is pulled, then
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

bool ContentStore::keep(const std::string& item, const Sha256& hash, uint64_t size) {
    try {
        require_directory();
        return tree_.stat(same_name(hash)) || link_same(item, hash, size);
    } catch (const Error& error) {
        spdlog::debug("{}: {}", store_.to_string(), error.what());  // it is pulled, then
        return false;
    }
}

bool ContentStore::link_same(const std::string& item, const Sha256& hash, uint64_t size) {
    const auto stat = tree_.stat(item);
    return stat && stat->type == FileType::Regular && stat->size == size &&
           tree_.link(item, same_name(hash));
}

/// True: a file that should have this content has our name.
bool ContentStore::name_same(const Sha256& hash, uint64_t size) {
    if (tree_.stat(same_name(hash))) {
        return true;
    }
    const auto items = same_content_ ? same_content_(hash, size) : std::vector<std::string>();
    return std::any_of(items.begin(), items.end(),
                       [&](const std::string& item) { return link_same(item, hash, size); });
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
            return false;  // pull() takes what is right of it
        }
        metadata->sync();
    } catch (const Error& error) {
        spdlog::debug("{}: {}", store_.to_string(), error.what());
        tree_.remove(name);
        return false;
    }
    place(turn.hash, name);
    RangedPull::remove_files(tree_, whole_name(turn.hash));
    return true;
}

/// An item should have this content and is damaged: only what differs is pulled.
void ContentStore::adopt_damaged(const v1::Content& content, Turn& turn, RangedPull& pull,
                                 BulkSource& primary, const std::stop_token& stop) {
    const auto file = turn.total > range_bytes_ ? tree_.open(same_name(turn.hash)) : nullptr;
    if (!file || file->stat().size != turn.total) {
        return;
    }
    std::string hashes;
    const auto answer = primary.get(
        {store_.to_string() + "/hashes",
         {{"ref", to_hex(content.pull())}, {"bytes", std::to_string(range_bytes_)}}},
        0, {}, [&](std::string_view chunk) { hashes += chunk; }, stop);
    std::vector<Sha256> of_ranges;
    for (size_t at = 0; answer.found && at + sizeof(Sha256) <= hashes.size();
         at += sizeof(Sha256)) {
        of_ranges.push_back(*sha256_from_bytes(hashes.substr(at, sizeof(Sha256))));
    }
    if (!of_ranges.empty()) {
        spdlog::warn("{}: a file of {} bytes is damaged here: {} differ, and are pulled",
                     store_.to_string(), turn.total, pull.adopt(*file, of_ranges, stop));
    }
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

/// nullopt: what is here, or what came, has another hash.
std::optional<ContentStore::Outcome> ContentStore::pull(const v1::Content& content, Turn& turn,
                                                        bool from_scratch, BulkSource& primary,
                                                        const std::stop_token& stop) {
    const std::string name = whole_name(turn.hash);
    const BulkRequest request{store_.to_string() + "/content",
                              {{"ref", to_hex(content.pull())}, {"sha256", to_hex(turn.hash)}}};
    const auto pull = std::make_shared<RangedPull>(
        tree_, RangedPull::Options{name, turn.hash, turn.total, range_bytes_, request},
        from_scratch);
    if (!from_scratch && !pull->was_resumed()) {
        adopt_damaged(content, turn, *pull, primary, stop);
    }
    turn.begin_pull(pull);
    auto end = RangedPull::End::Open;
    while (end == RangedPull::End::Open) {
        while (pull->pull_next(primary, stop)) {
        }
        end = pull->wait(stop);
    }
    turn.end_pull();
    if (end != RangedPull::End::Open && end != RangedPull::End::Closed) {
        tree_.remove(same_name(turn.hash));
    }
    switch (end) {
        case RangedPull::End::Open:
        case RangedPull::End::Closed:
            break;
        case RangedPull::End::Right:
            place(turn.hash, name + ".part");
            RangedPull::remove_files(tree_, name);
            return Here{path_of(turn.hash), tree_.stat(name)};
        case RangedPull::End::Wrong:
            RangedPull::remove_files(tree_, name);
            if (pull->was_resumed()) {
                return std::nullopt;
            }
            if (primary.doubt(request)) {
                throw Error(Reaction::Retry, printable(name) + " came with another content");
            }
            return Gone{"what came is not what was announced"};
        case RangedPull::End::Gone:
            RangedPull::remove_files(tree_, name);
            return pull->was_resumed() ? std::nullopt
                                       : std::optional<Outcome>(Gone{pull->reason()});
    }
    throw Error(Reaction::Retry, "the pull of " + printable(name) + " was interrupted");
}

bool ContentStore::help(BulkSource& primary, const std::stop_token& stop) {
    std::vector<std::shared_ptr<RangedPull>> pulls;
    {
        std::scoped_lock lock(mutex_);
        for (const Active& active : active_) {
            if (active.pull) {
                pulls.push_back(active.pull);
            }
        }
    }
    return std::any_of(pulls.begin(), pulls.end(),
                       [&](const auto& pull) { return pull->pull_next(primary, stop); });
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

void ContentStore::discard(const Sha256& hash, const std::function<bool()>& unwanted) {
    // Whoever wants it just now waits until it is gone, or is left alone.
    const auto turn = Turn::at_once(*this, hash);
    if (turn && unwanted()) {
        tree_.remove(whole_name(hash));
        tree_.remove(same_name(hash));
        RangedPull::remove_files(tree_, whole_name(hash));
    }
}

size_t ContentStore::keep_only(std::span<const Sha256> wanted) {
    std::set<std::string> known;
    const auto keep = [&](const Sha256& hash) {
        const std::string name = whole_name(hash);
        known.insert({name, name + ".part", name + ".ranges", same_name(hash)});
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
    std::vector<Progress> all;
    for (const Active& active : active_) {
        all.push_back(active.progress);
        all.back().bytes = active.pull ? active.pull->bytes() : 0;
    }
    return all;
}

bool ContentStore::is_active(const Sha256& hash) const {
    const auto pulls = progress();
    return std::any_of(pulls.begin(), pulls.end(),
                       [&](const Progress& pull) { return pull.hash == hash; });
}

std::string ContentStore::whole_name(const Sha256& hash) const {
    return directory_ + "/" + to_hex(hash);
}

std::string ContentStore::same_name(const Sha256& hash) const {
    return whole_name(hash) + ".same";
}

}  // namespace antipode::secondary
