#include "tests/support/memory_files.hpp"

#include <algorithm>
#include <utility>

#include "base/error.hpp"
#include "base/files.hpp"

namespace antipode::test {
namespace {

bool is_child(const std::string& path, const std::string& directory) {
    return !path.empty() && parent_of(path) == directory;
}

Error refused(const std::string& what, const std::string& path) {
    return {Reaction::Retry, what + " " + printable(path) + ": not possible here"};
}

}  // namespace

struct MemoryTree::Node {
    FileStat stat;
    std::string bytes;
    struct Durable {
        FileStat stat;
        std::string bytes;
    };
    std::optional<Durable> durable;

    FileStat current() const {
        FileStat now = stat;
        now.size = bytes.size();
        return now;
    }
    void make_durable() { durable = {stat, bytes}; }
};

class MemoryTree::Reader final : public FileReader {
  public:
    Reader(MemoryTree& tree, NodePointer node) : tree_(tree), node_(std::move(node)) {}
    FileStat stat() override {
        std::scoped_lock lock(tree_.mutex_);
        return node_->current();
    }
    size_t read_at(uint64_t offset, std::span<char> buffer) override {
        std::scoped_lock lock(tree_.mutex_);
        return offset >= node_->bytes.size()
                   ? 0
                   : node_->bytes.copy(buffer.data(), buffer.size(), offset);
    }

  private:
    MemoryTree& tree_;
    NodePointer node_;
};

class MemoryTree::Writer final : public FileWriter {
  public:
    Writer(MemoryTree& tree, NodePointer node, std::string path)
        : tree_(tree), node_(std::move(node)), path_(std::move(path)) {}
    void write(std::string_view bytes) override {
        std::scoped_lock lock(tree_.mutex_);
        tree_.about_to("write", path_);
        node_->bytes += bytes;
        tree_.touch(*node_);
        node_->stat.mtime_ns = node_->stat.ctime_ns;
        tree_.changed(path_);
    }
    void write_at(uint64_t offset, std::string_view bytes) override {
        std::scoped_lock lock(tree_.mutex_);
        tree_.about_to("write", path_);
        std::string& all = node_->bytes;
        all.resize(std::max<size_t>(all.size(), offset + bytes.size()));
        all.replace(offset, bytes.size(), bytes);
        tree_.touch(*node_);
        node_->stat.mtime_ns = node_->stat.ctime_ns;
        tree_.changed(path_);
    }
    void write_zeros_at(uint64_t offset, uint64_t size) override {
        write_at(offset, std::string(size, '\0'));
    }
    void set_metadata(uint32_t mode, int64_t mtime_ns) override {
        std::scoped_lock lock(tree_.mutex_);
        tree_.about_to("set metadata of", path_);
        tree_.touch(*node_);
        node_->stat.mode = mode;
        node_->stat.mtime_ns = mtime_ns;
        tree_.changed(path_);
    }
    void sync() override {
        std::scoped_lock lock(tree_.mutex_);
        tree_.about_to("sync", path_);
        node_->make_durable();
    }

  private:
    MemoryTree& tree_;
    NodePointer node_;
    std::string path_;
};

class MemoryTree::Barrier final : public FileBarrier {
  public:
    explicit Barrier(MemoryTree& tree) : tree_(tree) {}
    void sync() override {
        std::scoped_lock lock(tree_.mutex_);
        tree_.about_to("barrier", "");
        for (const auto& [path, node] : tree_.live_) {
            node->make_durable();
        }
        tree_.durable_ = tree_.live_;
    }

  private:
    MemoryTree& tree_;
};

MemoryTree::MemoryTree(const Clock& clock, std::filesystem::path root)
    : clock_(clock), root_(std::move(root)) {
    live_[""] = new_node(FileType::Directory, 0755);
    durable_ = live_;
}
MemoryTree::~MemoryTree() = default;

MemoryTree::NodePointer MemoryTree::new_node(FileType type, uint32_t mode) {
    auto node = std::make_shared<Node>();
    node->stat.type = type;
    node->stat.mode = mode;
    node->stat.inode = ++last_inode_;
    node->stat.device = 1;
    touch(*node);
    node->stat.mtime_ns = node->stat.ctime_ns;
    return node;
}

void MemoryTree::touch(Node& node) const {
    const auto now = clock_.now().time_since_epoch();
    node.stat.ctime_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

void MemoryTree::about_to(const std::string& operation, const std::string& path) const {
    if (!mounted_) {
        throw refused(operation, path);
    }
    if (fault_) {
        fault_(operation, path);
    }
}

void MemoryTree::changed(const std::string& path) {
    for (MemoryWatch* watch : watches_) {
        watch->files_.insert(path);
    }
}

void MemoryTree::gone(const std::string& directory) {
    for (MemoryWatch* watch : watches_) {
        watch->gone_directories_.insert(directory);
    }
}

MemoryTree::Node* MemoryTree::directory_at(const std::string& path) const {
    const auto found = live_.find(path);
    const bool there =
        mounted_ && found != live_.end() && found->second->stat.type == FileType::Directory;
    return there ? found->second.get() : nullptr;
}

MemoryTree::NodePointer MemoryTree::file_at(const std::string& path) const {
    const auto found = live_.find(path);
    const bool there =
        mounted_ && found != live_.end() && found->second->stat.type == FileType::Regular;
    return there ? found->second : nullptr;
}

std::optional<FileStat> MemoryTree::stat(const std::string& path) {
    std::scoped_lock lock(mutex_);
    const auto found = live_.find(path);
    return mounted_ && found != live_.end() ? std::optional(found->second->current())
                                            : std::nullopt;
}

std::optional<std::vector<FileTree::Entry>> MemoryTree::list(const std::string& directory) {
    std::scoped_lock lock(mutex_);
    if (directory_at(directory) == nullptr) {
        return std::nullopt;
    }
    std::vector<Entry> entries;
    for (const auto& [path, node] : live_) {
        if (is_child(path, directory)) {
            entries.push_back(
                {directory.empty() ? path : path.substr(directory.size() + 1), node->current()});
        }
    }
    return entries;
}

std::unique_ptr<FileReader> MemoryTree::open(const std::string& path) {
    std::scoped_lock lock(mutex_);
    auto node = file_at(path);
    return node ? std::make_unique<Reader>(*this, std::move(node)) : nullptr;
}

std::unique_ptr<FileWriter> MemoryTree::open_writer(const std::string& path, bool truncate) {
    std::scoped_lock lock(mutex_);
    about_to("create", path);
    NodePointer node = file_at(path);
    if (!node && (live_.contains(path) || directory_at(parent_of(path)) == nullptr)) {
        throw refused("opening", path);
    }
    if (!node) {
        node = live_[path] = new_node(FileType::Regular, 0600);
    }
    if (truncate) {
        node->bytes.clear();
    }
    changed(path);
    return std::make_unique<Writer>(*this, std::move(node), path);
}

std::unique_ptr<FileWriter> MemoryTree::create(const std::string& path) {
    return open_writer(path, true);
}

std::unique_ptr<FileWriter> MemoryTree::append(const std::string& path) {
    return open_writer(path, false);
}

std::unique_ptr<FileWriter> MemoryTree::update(const std::string& path) {
    return open_writer(path, false);
}

std::unique_ptr<FileWriter> MemoryTree::open_for_metadata(const std::string& path) {
    std::scoped_lock lock(mutex_);
    auto node = file_at(path);
    return node ? std::make_unique<Writer>(*this, std::move(node), path) : nullptr;
}

bool MemoryTree::make_directory(const std::string& path) {
    std::scoped_lock lock(mutex_);
    if (live_.contains(path) || directory_at(parent_of(path)) == nullptr) {
        return false;
    }
    about_to("make directory", path);
    live_[path] = new_node(FileType::Directory, 0755);
    return true;
}

FileTree::Placed MemoryTree::rename(const std::string& from, const std::string& to) {
    std::scoped_lock lock(mutex_);
    const NodePointer node = file_at(from);
    if (!node) {
        return Placed::SourceMissing;
    }
    if (directory_at(parent_of(to)) == nullptr) {
        return Placed::DirectoryMissing;
    }
    if (directory_at(to) != nullptr) {
        return Placed::DirectoryThere;
    }
    about_to("rename", to);
    live_.erase(from);
    live_[to] = node;
    touch(*node);
    changed(from);
    changed(to);
    return Placed::Yes;
}

bool MemoryTree::link(const std::string& from, const std::string& to) {
    std::scoped_lock lock(mutex_);
    const NodePointer node = file_at(from);
    if (!node || directory_at(parent_of(to)) == nullptr) {
        throw refused("linking", from);
    }
    if (live_.contains(to)) {
        return false;
    }
    about_to("link", to);
    live_[to] = node;
    ++node->stat.links;
    touch(*node);
    changed(to);
    return true;
}

bool MemoryTree::remove(const std::string& path) {
    std::scoped_lock lock(mutex_);
    const NodePointer node = file_at(path);
    if (!node) {
        return false;
    }
    about_to("remove", path);
    live_.erase(path);
    --node->stat.links;
    touch(*node);
    changed(path);
    return true;
}

bool MemoryTree::remove_directory(const std::string& path) {
    std::scoped_lock lock(mutex_);
    const auto below = live_.lower_bound(path + "/");
    if (path.empty() || directory_at(path) == nullptr ||
        (below != live_.end() && below->first.starts_with(path + "/"))) {
        return false;
    }
    about_to("remove directory", path);
    live_.erase(path);
    gone(path);
    return true;
}

void MemoryTree::sync_directory(const std::string& path) {
    std::scoped_lock lock(mutex_);
    if (directory_at(path) == nullptr) {
        return;
    }
    about_to("sync directory", path);
    std::erase_if(durable_, [&](const auto& entry) { return is_child(entry.first, path); });
    for (const auto& [name, node] : live_) {
        if (is_child(name, path)) {
            durable_[name] = node;
        }
    }
}

std::unique_ptr<FileBarrier> MemoryTree::barrier() {
    return std::make_unique<Barrier>(*this);
}

void MemoryTree::put(const std::string& path, const std::string& bytes) {
    std::set<std::string> made;
    if (make_directories(*this, parent_of(path), made)) {
        throw refused("writing", path);
    }
    create(path)->write(bytes);
}

void MemoryTree::remove_all(const std::string& directory) {
    for (const Entry& entry : list(directory).value_or(std::vector<Entry>())) {
        const std::string path = directory + "/" + entry.name;
        entry.stat.type == FileType::Directory ? remove_all(path) : static_cast<void>(remove(path));
    }
    remove_directory(directory);
}

void MemoryTree::move_all(const std::string& directory, const std::string& to) {
    std::scoped_lock lock(mutex_);
    about_to("rename", to);
    auto node = live_.extract(directory);
    node.key() = to;
    live_.insert(std::move(node));
    for (auto next = live_.lower_bound(directory + "/");
         next != live_.end() && next->first.starts_with(directory + "/");) {
        auto inner = live_.extract(next++);
        inner.key() = to + inner.key().substr(directory.size());
        if (inner.mapped()->stat.type == FileType::Regular) {
            changed(inner.key());
        }
        live_.insert(std::move(inner));
    }
    gone(directory);
}

std::map<std::string, std::string> MemoryTree::contents() const {
    std::scoped_lock lock(mutex_);
    std::map<std::string, std::string> files;
    for (const auto& [path, node] : live_) {
        if (node->stat.type == FileType::Regular) {
            files[path] = node->bytes;
        }
    }
    return files;
}

void MemoryTree::power_cut() {
    std::scoped_lock lock(mutex_);
    Names left;
    // A directory comes before what is in it, so a lost one takes that along.
    for (const auto& [path, node] : durable_) {
        const auto parent = left.find(parent_of(path));
        const bool reachable = path.empty() || (parent != left.end() &&
                                                parent->second->stat.type == FileType::Directory);
        if (!reachable) {
            continue;
        }
        if (node->stat.type == FileType::Regular) {
            if (node->durable) {
                node->stat = node->durable->stat;
                node->bytes = node->durable->bytes;
            } else {
                node->bytes.clear();
            }
            node->stat.links = 0;
        }
        left[path] = node;
    }
    for (const auto& [path, node] : left) {
        node->stat.links += node->stat.type == FileType::Regular ? 1 : 0;
    }
    live_ = durable_ = left;
}

void MemoryTree::set_mounted(bool mounted) {
    std::scoped_lock lock(mutex_);
    mounted_ = mounted;
}

void MemoryTree::set_fault(
    std::function<void(const std::string& operation, const std::string& path)> fault) {
    std::scoped_lock lock(mutex_);
    fault_ = std::move(fault);
}

MemoryWatch::MemoryWatch(MemoryTree& tree) : tree_(tree) {
    std::scoped_lock lock(tree_.mutex_);
    tree_.watches_.insert(this);
}

MemoryWatch::~MemoryWatch() {
    std::scoped_lock lock(tree_.mutex_);
    tree_.watches_.erase(this);
}

void MemoryWatch::exclude(std::function<bool(const std::string& path)> excluded) {
    std::scoped_lock lock(tree_.mutex_);
    excluded_ = std::move(excluded);
}

FileWatch::Changes MemoryWatch::drain() {
    std::function<bool(const std::string&)> excluded;
    Changes changes;
    {
        std::scoped_lock lock(tree_.mutex_);
        const auto files = std::exchange(files_, {});
        const auto directories = std::exchange(gone_directories_, {});
        changes.files.assign(files.begin(), files.end());
        changes.gone_directories.assign(directories.begin(), directories.end());
        changes.complete = std::exchange(complete_, true);
        excluded = excluded_;
    }
    // Without the lock: it may look at the tree.
    if (excluded) {
        std::erase_if(changes.files, excluded);
        std::erase_if(changes.gone_directories, excluded);
    }
    return changes;
}

bool MemoryWatch::wait(std::chrono::milliseconds, const std::stop_token& stop) {
    std::scoped_lock lock(tree_.mutex_);
    return !stop.stop_requested() && (!files_.empty() || !gone_directories_.empty() || !complete_);
}

void MemoryWatch::lose_everything() {
    std::scoped_lock lock(tree_.mutex_);
    files_.clear();
    gone_directories_.clear();
    complete_ = false;
}

}  // namespace antipode::test
