#include "secondary/blobs/batch.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/files.hpp"
#include "verify/blob_digest.hpp"

namespace antipode::secondary {
namespace {

/// From here on one barrier costs less than a sync for each.
constexpr size_t barrier_from = 8;
/// How often directories that come and go under our hands are made again.
constexpr int most_tries = 10;
/// A mirror does not make programs that run as somebody else.
constexpr uint32_t mirrored_mode = 0777;

Result unneeded(Digest digest) {
    return {Result::Kind::Unneeded, std::move(digest), {}, {}, {}};
}

Result obstructed(FileTree& tree, const std::string& path, const std::string& what) {
    return Result::failed(FailureClass::LocalDefect,
                          what + " stands in the way: " + printable(path),
                          "move it away: " + printable((tree.root() / path).native()));
}

}  // namespace

StagedFile::~StagedFile() {
    if (tree_ == nullptr) {
        return;
    }
    try {
        tree_->remove(name_);
    } catch (const Error&) {
        // The next start removes it.
    }
}

BlobBatch::BlobBatch(FileTree& tree, std::string staging, std::atomic<uint64_t>& numbers,
                     DeletedFiles* deleted, MadeForFiles* made_for_files, size_t tasks,
                     std::stop_token stop)
    : tree_(tree),
      staging_(std::move(staging)),
      numbers_(numbers),
      deleted_(deleted),
      made_for_files_(made_for_files),
      stop_(std::move(stop)) {
    if (tasks >= barrier_from) {
        barrier_ = tree_.barrier();
    }
}

template <typename Body>
void BlobBatch::guarded(size_t result, Body&& body) {
    try {
        body();
    } catch (const Error& error) {
        results_[result] = Result::failed(FailureClass::Transient, error.what(), error.next_step());
    }
}

void BlobBatch::stage(const ItemTask& task) {
    const size_t index = results_.size();
    results_.emplace_back();
    const v1::Payload& payload = task.event->payload;
    if (!payload.has_blob_put() && !payload.has_blob_removed()) {
        results_[index] =
            Result::failed(FailureClass::Refused, "the event is none of a store of files");
        return;
    }
    const std::string& item =
        payload.has_blob_put() ? payload.blob_put().path() : payload.blob_removed().path();
    const std::string path = path_of(item);
    const auto objection =
        is_private(path) ? std::optional<std::string>("it is Antipode's own") : why_no_path(path);
    if (objection) {
        results_[index] = Result::failed(
            FailureClass::Refused, "the name " + printable(path) + " is refused: " + *objection,
            "rename the file on the primary");
    } else if (payload.has_blob_removed()) {
        (names_directory(item) ? directory_removals_ : removals_).push_back({index, path});
    } else if (names_directory(item)) {
        directories_.push_back({index, path, payload.blob_put().mode() & mirrored_mode});
    } else {
        guarded(index, [&] { results_[index] = stage_put(index, payload.blob_put(), task); });
    }
}

Result BlobBatch::stage_put(size_t result, const v1::BlobPut& put, const ItemTask& task) {
    const v1::Content& content = put.content();
    const auto hash = sha256_from_bytes(content.sha256());
    if (!hash) {
        return Result::failed(FailureClass::Refused, "the event names no SHA-256");
    }
    if (const auto kept = keep_if_equal(put, *hash)) {
        return *kept;
    }
    const bool is_copy =
        content.place_case() == v1::Content::PLACE_NOT_SET && !put.copy_of().empty();
    if (content.place_case() == v1::Content::PLACE_NOT_SET && !is_copy) {
        return Result::needs_whole("its mode or time changed, but the content here is another");
    }
    StagedFile file(tree_, staging_ + "/" + std::to_string(++numbers_));
    if (task.bytes) {
        stage_bytes(put, *task.bytes, file.name());
    } else if (const auto failure = is_copy ? stage_copy(put, *hash, file.name())
                                    : content.has_inline_()
                                        ? stage_inline(put, *hash, file.name())
                                        : stage_pulled(put, *hash, task, file.name())) {
        return *failure;
    }
    staged_.push_back({result, std::move(file), put.path()});
    return Result::applied(verify::blob_digest(*hash, content.size()));
}

/// The result when the content that is here is right already.
std::optional<Result> BlobBatch::keep_if_equal(const v1::BlobPut& put, const Sha256& hash) {
    const auto stat = tree_.stat(put.path());
    if (!stat || stat->type != FileType::Regular || stat->size != put.content().size()) {
        return std::nullopt;
    }
    std::unique_ptr<FileWriter> metadata;
    try {
        const auto file = tree_.open(put.path());
        if (!file || hash_file(*file, stop_).hash != hash) {
            return std::nullopt;
        }
        metadata = tree_.open_for_metadata(put.path());
    } catch (const Error&) {
        // It cannot be read; writing it anew does not need that.
    }
    if (!metadata) {
        return std::nullopt;
    }
    Digest digest = verify::blob_digest(hash, put.content().size());
    const bool same =
        stat->mode == (put.mode() & mirrored_mode) && stat->mtime_ns == put.mtime_ns();
    if (same) {
        // A crash may have come right before the syncs.
        if (!barrier_) {
            metadata->sync();
        }
    } else {
        finish_file(*metadata, put);
    }
    changed_directories_.insert(parent_of(put.path()));
    return same ? unneeded(std::move(digest)) : Result::applied(std::move(digest));
}

std::optional<Result> BlobBatch::stage_inline(const v1::BlobPut& put, const Sha256& hash,
                                              const std::string& file) {
    const std::string& bytes = put.content().inline_();
    if (bytes.size() != put.content().size() || sha256(bytes) != hash) {
        return Result::failed(
            FailureClass::PrimaryDefect,
            "the content in the event is not what the event says it is",
            "antipode doctor on the primary; the file is asked for again by itself");
    }
    stage_bytes(put, bytes, file);
    return std::nullopt;
}

void BlobBatch::stage_bytes(const v1::BlobPut& put, const std::string& bytes,
                            const std::string& file) {
    const auto writer = tree_.create(file);
    writer->write(bytes);
    finish_file(*writer, put);
}

std::optional<Result> BlobBatch::stage_copy(const v1::BlobPut& put, const Sha256& hash,
                                            const std::string& file) {
    const std::string& from = put.copy_of();
    std::unique_ptr<FileReader> source;
    try {
        source = is_private(from) || why_no_path(from) ? nullptr : tree_.open(from);
    } catch (const Error&) {
        // It cannot be read; the primary sends the content.
    }
    return source && copy(*source, put, hash, file)
               ? std::nullopt
               : std::optional(Result::needs_whole("what it is a copy of is another here"));
}

std::optional<Result> BlobBatch::stage_pulled(const v1::BlobPut& put, const Sha256& hash,
                                              const ItemTask& task, const std::string& file) {
    const std::string name = task.content.lexically_relative(tree_.root()).native();
    const auto stat = why_no_path(name) ? std::nullopt : tree_.stat(name);
    const auto source = stat ? tree_.open(name) : nullptr;
    if (!source) {
        return Result::failed(FailureClass::Transient, "its content is not here");
    }
    // The one file gets a second name when nobody else has it; two items never share a file.
    bool is_linked = stat->links == 1 && tree_.link(name, file);
    const auto linked = is_linked ? tree_.stat(file) : std::nullopt;
    if (is_linked && (!linked || linked->links != 2)) {
        tree_.remove(file);  // another item did the same just then
        is_linked = false;
    }
    bool right = false;
    if (is_linked && stat == task.checked) {
        right = finish_staged(put, file);
    } else if (is_linked || tree_.clone(name, file)) {
        right = finish_if_right(put, hash, file);
    } else {
        right = copy(*source, put, hash, file);
    }
    if (right) {
        return std::nullopt;
    }
    tree_.remove(name);
    return Result::failed(FailureClass::Transient,
                          "its content was damaged after it was pulled; it is pulled again");
}

bool BlobBatch::finish_if_right(const v1::BlobPut& put, const Sha256& hash,
                                const std::string& file) {
    const auto content = tree_.open(file);
    const HashedFile hashed = content ? hash_file(*content, stop_) : HashedFile{};
    return hashed.hash == hash && hashed.size == put.content().size() && finish_staged(put, file);
}

bool BlobBatch::finish_staged(const v1::BlobPut& put, const std::string& file) {
    const auto metadata = tree_.open_for_metadata(file);
    if (!metadata) {
        return false;
    }
    finish_file(*metadata, put);
    return true;
}

bool BlobBatch::copy(FileReader& from, const v1::BlobPut& put, const Sha256& hash,
                     const std::string& file) {
    const auto writer = tree_.create(file);
    Sha256Stream stream;
    uint64_t size = 0;
    for_each_chunk(from, 0, [&](std::string_view chunk) {
        if (stop_.stop_requested()) {
            throw Stopped{};
        }
        stream.update(chunk);
        if (is_all_zeros(chunk)) {
            writer->write_zeros_at(size, chunk.size());  // what is sparse stays so
        } else {
            writer->write_at(size, chunk);
        }
        size += chunk.size();
        return size <= put.content().size();
    });
    if (size != put.content().size() || stream.finish() != hash) {
        return false;
    }
    finish_file(*writer, put);
    return true;
}

void BlobBatch::finish_file(FileWriter& file, const v1::BlobPut& put) {
    file.set_metadata(put.mode() & mirrored_mode, put.mtime_ns());
    if (!barrier_) {
        file.sync();
    }
}

void BlobBatch::fail_applied(const Error& error) {
    for (Result& result : results_) {
        if (result.kind == Result::Kind::Applied || result.kind == Result::Kind::Unneeded) {
            result = Result::failed(FailureClass::Transient, error.what(), error.next_step());
        }
    }
}

void BlobBatch::finish() {
    try {
        if (barrier_) {
            barrier_->sync();
        }
    } catch (const Error& error) {
        fail_applied(error);
        return;
    }
    move_into_place();
    try {
        make_names_durable();
    } catch (const Error& error) {
        fail_applied(error);
    }
}

void BlobBatch::move_into_place() {
    // A file that makes room for a directory, or the other way round, goes first.
    for (const Removal& removal : removals_) {
        guarded(removal.result, [&] { remove(removal); });
    }
    // What is in a directory goes before it, and comes after it, but before its mode: a mode may
    // forbid to make something in it.
    std::sort(directory_removals_.begin(), directory_removals_.end(),
              [](const auto& left, const auto& right) { return left.target > right.target; });
    for (const Removal& removal : directory_removals_) {
        guarded(removal.result, [&] { remove_directory(removal); });
    }
    std::sort(directories_.begin(), directories_.end(),
              [](const auto& left, const auto& right) { return left.path < right.path; });
    for (const Directory& directory : directories_) {
        guarded(directory.result, [&] { make(directory); });
    }
    for (Staged& staged : staged_) {
        guarded(staged.result, [&] { place(staged); });
    }
    for (auto next = directories_.rbegin(); next != directories_.rend(); ++next) {
        guarded(next->result, [&] { set_mode(*next); });
    }
}

void BlobBatch::finish_directories() {
    changed_directories_.clear();
    for (const Removal& removal : std::exchange(full_directories_, {})) {
        guarded(removal.result, [&] { remove_directory(removal); });
    }
    try {
        make_names_durable();
    } catch (const Error& error) {
        fail_applied(error);
    }
}

void BlobBatch::remove(const Removal& removal) {
    const auto stat = tree_.stat(removal.target);
    // What else may stand there is not what the event is about: the file is gone.
    const bool was_there = stat && stat->type == FileType::Regular && remove_file(removal.target);
    results_[removal.result] = was_there ? Result::applied({}) : unneeded({});
    changed_directories_.insert(parent_of(removal.target));
    remove_emptied(parent_of(removal.target));
}

/// Directories that exist through their files alone go with the last one.
void BlobBatch::remove_emptied(std::string directory) {
    const auto stays = [&] {
        return made_for_files_ != nullptr &&
               !made_for_files_->with([&](const auto& made) { return made.contains(directory); });
    };
    while (!directory.empty() && !stays() && tree_.remove_directory(directory)) {
        not_for_files(directory);
        directory = parent_of(directory);
        changed_directories_.insert(directory);
    }
}

void BlobBatch::remove_directory(const Removal& removal) {
    const std::string& path = removal.target;
    const auto stat = tree_.stat(path);
    Result& result = results_[removal.result];
    changed_directories_.insert(parent_of(path));
    if (!stat || stat->type != FileType::Directory) {
        result = unneeded({});
    } else if (tree_.remove_directory(path)) {
        not_for_files(path);
        result = Result::applied({});
    } else if (made_for_files_ == nullptr) {
        result = unneeded({});  // it goes with its last file
    } else {
        full_directories_.push_back(removal);
        result = Result::failed(
            FailureClass::Transient,
            "the directory is not empty; it is tried again when what the "
            "primary had in it is removed",
            "move away what is only here: " + printable((tree_.root() / path).native()));
    }
}

void BlobBatch::make(const Directory& directory) {
    Result& result = results_[directory.result];
    const auto there = tree_.stat(directory.path);
    const bool unchanged = there && there->type == FileType::Directory &&
                           (there->mode & mirrored_mode) == directory.mode;
    result = unchanged ? unneeded(verify::directory_digest())
                       : Result::applied(verify::directory_digest());
    changed_directories_.insert(parent_of(directory.path));
    for (int tries = 0; tries < most_tries; ++tries) {
        const auto stat = tree_.stat(directory.path);
        if (stat && stat->type == FileType::Directory) {
            not_for_files(directory.path);
            return;
        }
        const std::string inside = directory.path + "/.";
        if (auto failure = make_room(inside, FileTree::Placed::DirectoryMissing)) {
            result = std::move(*failure);
            return;
        }
    }
    result = Result::failed(FailureClass::Transient, "its parent comes and goes");
}

void BlobBatch::not_for_files(const std::string& directory) {
    if (made_for_files_ != nullptr) {
        made_for_files_->with([&](auto& made) { made.erase(directory); });
    }
}

void BlobBatch::set_mode(const Directory& directory) {
    const Result::Kind kind = results_[directory.result].kind;
    const auto stat = tree_.stat(directory.path);
    const bool made = kind == Result::Kind::Applied || kind == Result::Kind::Unneeded;
    if (!made || !stat || stat->type != FileType::Directory ||
        (stat->mode & mirrored_mode) == directory.mode) {
        return;
    }
    if (const auto metadata = tree_.open_for_metadata(directory.path)) {
        metadata->set_metadata((stat->mode & ~mirrored_mode) | directory.mode, stat->mtime_ns);
        changed_directories_.insert(directory.path);
    }
}

void BlobBatch::place(Staged& staged) {
    for (int tries = 0; tries < most_tries; ++tries) {
        const FileTree::Placed placed = tree_.rename(staged.file.name(), staged.target);
        if (placed == FileTree::Placed::Yes) {
            staged.file.moved_away();
            changed_directories_.insert(parent_of(staged.target));
            return;
        }
        if (const auto failure = make_room(staged.target, placed)) {
            results_[staged.result] = *failure;
            return;
        }
    }
    results_[staged.result] =
        Result::failed(FailureClass::Transient, "its directory comes and goes");
}

/// The result when the file cannot be placed; nullopt: try again.
std::optional<Result> BlobBatch::make_room(const std::string& target, FileTree::Placed obstacle) {
    switch (obstacle) {
        case FileTree::Placed::Yes:
            return std::nullopt;
        case FileTree::Placed::SourceMissing:
            return Result::failed(FailureClass::Transient, "the staged file vanished");
        case FileTree::Placed::DirectoryThere:
            if (remove_empty_directories(target)) {
                return std::nullopt;
            }
            return Result::failed(FailureClass::Transient,
                                  "a directory that is not empty has its name; it is tried again "
                                  "when the files in it are removed");
        case FileTree::Placed::DirectoryMissing:
            break;
    }
    const auto blocked = make_parents(target);
    if (!blocked) {
        return std::nullopt;
    }
    const auto stat = tree_.stat(*blocked);
    if (stat && stat->type == FileType::Regular) {
        // A mirrored file whose removal is still to come.
        remove_file(*blocked);
        return std::nullopt;
    }
    return stat ? std::optional(obstructed(tree_, *blocked, "a symbolic link or special file"))
                : std::nullopt;
}

bool BlobBatch::remove_file(const std::string& path) {
    return deleted_ != nullptr ? deleted_->take(path, changed_directories_) : tree_.remove(path);
}

/// As make_directories(), of what is above `path`.
std::optional<std::string> BlobBatch::make_parents(const std::string& path) {
    if (made_for_files_ != nullptr) {
        std::set<std::string> missing;
        for (std::string above = parent_of(path); !above.empty() && !tree_.stat(above);
             above = parent_of(above)) {
            missing.insert(above);
        }
        made_for_files_->with([&](auto& made) { made.merge(missing); });
    }
    return make_directories(tree_, parent_of(path), changed_directories_);
}

/// Removes directories that hold nothing but such directories. False: there is something else.
bool BlobBatch::remove_empty_directories(const std::string& directory) {
    for (const FileTree::Entry& entry :
         tree_.list(directory).value_or(std::vector<FileTree::Entry>())) {
        if (entry.stat.type != FileType::Directory ||
            !remove_empty_directories(directory + "/" + entry.name)) {
            return false;
        }
    }
    return tree_.remove_directory(directory) || !tree_.stat(directory);
}

void BlobBatch::make_names_durable() {
    if (barrier_ && changed_directories_.size() >= barrier_from) {
        barrier_->sync();
        return;
    }
    for (const std::string& directory : changed_directories_) {
        tree_.sync_directory(directory);
    }
}

}  // namespace antipode::secondary
