#include "secondary/blobs/apply.hpp"

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/limits.hpp"
#include "secondary/blobs/batch.hpp"
#include "verify/blob_digest.hpp"

namespace antipode::secondary {
namespace {

class PacedReader final : public FileReader {
  public:
    PacedReader(FileReader& file, const Pace& pace) : file_(file), pace_(pace) {}
    FileStat stat() override { return file_.stat(); }
    size_t read_at(uint64_t offset, std::span<char> buffer) override {
        const size_t size = file_.read_at(offset, buffer);
        pace_(size);
        return size;
    }

  private:
    FileReader& file_;
    const Pace& pace_;
};

std::string staging_name() {
    return std::string(private_directory) + "/staging";
}

}  // namespace

BlobApply::BlobApply(StoreId store, FileTree& tree, DeletedFiles* deleted, bool directories)
    : store_(std::move(store)), tree_(tree), deleted_(deleted), directories_(directories) {}

std::string BlobApply::incoming_name() {
    return std::string(private_directory) + "/incoming";
}

std::filesystem::path BlobApply::incoming_directory() const {
    return tree_.root() / incoming_name();
}

std::vector<Result> BlobApply::apply(std::span<const ItemTask> tasks, const std::stop_token& stop) {
    prepare();
    BlobBatch batch(tree_, staging_name(), staged_, deleted_,
                    directories_ ? &made_for_files_ : nullptr, tasks.size(), stop);
    {
        const std::shared_lock beside_others(batches_);
        for (const ItemTask& task : tasks) {
            if (stop.stop_requested()) {
                throw Stopped{};
            }
            batch.stage(task);
        }
        batch.finish();
    }
    if (batch.has_full_directories()) {
        // What is in them may just be removed by another batch; soon, or it is tried again later.
        const std::unique_lock alone(batches_, limits::wait);
        batch.finish_directories();
    }
    return batch.take_results();
}

Look BlobApply::look(const std::string& item, const Pace& pace, const std::stop_token& stop) {
    prepare();
    const auto stat = tree_.stat(path_of(item));
    if (!stat) {
        return {};
    }
    if (names_directory(item)) {
        return stat->type == FileType::Directory
                   ? Look{verify::directory_digest(),
                          {},
                          verify::attributes_of_directory(stat->mode)}
                   : Look{{}, "something that is no directory stands in its place"};
    }
    if (stat->type != FileType::Regular) {
        return {{}, "something that is no plain file stands in its place"};
    }
    const auto file = tree_.open(item);
    if (!file) {
        return {};
    }
    PacedReader paced(*file, pace);
    try {
        const HashedFile hashed = hash_file(paced, stop);
        // Of objects in a bucket they cannot always be set.
        return {verify::blob_digest(hashed.hash, hashed.size),
                {},
                tree_.is_remote() ? verify::Attributes{}
                                  : verify::attributes_of_file(file->metadata(file->stat()))};
    } catch (const Error& error) {
        return {{}, error.what()};
    }
}

void BlobApply::for_each(const std::function<bool(const std::string& name)>& use,
                         const std::stop_token& stop) {
    prepare();
    if (const auto all = tree_.list_all()) {
        for (auto next = all->next(); next; next = all->next()) {
            if (stop.stop_requested()) {
                throw Stopped{};
            }
            if (!is_private(next->path) && !use(next->path)) {
                return;
            }
        }
        return;
    }
    std::vector<std::string> directories = {""};
    while (!directories.empty()) {
        const std::string directory = std::move(directories.back());
        directories.pop_back();
        for (const FileTree::Entry& entry :
             tree_.list(directory).value_or(std::vector<FileTree::Entry>())) {
            if (stop.stop_requested()) {
                throw Stopped{};
            }
            std::string name = directory.empty() ? entry.name : directory + "/" + entry.name;
            if (is_private(name)) {
                continue;
            }
            if (entry.stat.type == FileType::Directory) {
                if (directories_ && !use(name + '/')) {
                    return;
                }
                directories.push_back(std::move(name));
            } else if (!use(name)) {
                return;
            }
        }
    }
}

/// Makes our directories and, the first time, removes what a crash left in them. Throws when the
/// root is missing, or is not the one that was prepared.
void BlobApply::prepare() {
    std::scoped_lock lock(mutex_);
    const std::string name = tree_.name();
    if (prepared_) {
        const auto staging = tree_.stat(staging_name());
        if (!staging || staging->type != FileType::Directory) {
            throw Error(Reaction::Retry,
                        name + " of " + store_.to_string() + " lost its " + staging_name() +
                            ": it is unmounted, or was emptied",
                        "mount its file system; if it was emptied on purpose, restart antipoded");
        }
        return;
    }
    std::set<std::string> changed;
    for (const std::string& directory : {incoming_name(), staging_name()}) {
        if (const auto obstacle = make_directories(tree_, directory, changed)) {
            throw Error(Reaction::Retry,
                        obstacle->empty()
                            ? name + " of " + store_.to_string() + " is missing"
                            : printable(*obstacle) + " in " + name + " is no directory",
                        obstacle->empty() ? "mount its file system, or create it" : "remove it");
        }
    }
    for (const FileTree::Entry& entry :
         tree_.list(staging_name()).value_or(std::vector<FileTree::Entry>())) {
        tree_.remove(staging_name() + "/" + entry.name);
    }
    for (const std::string& directory : changed) {
        tree_.sync_directory(directory);
    }
    prepared_ = true;
}

}  // namespace antipode::secondary
