#include "adapters/s3/bucket_tree.hpp"

#include <algorithm>
#include <set>

#include "base/digest.hpp"
#include "base/files.hpp"

namespace antipode::s3 {
namespace {

constexpr uint32_t usual_mode = 0644;
/// Comes with opening, so that a small object costs one request.
constexpr uint64_t first_piece_bytes = limits::inline_content_bytes;
constexpr uint64_t piece_bytes = 8 * limits::mib;

const std::string uploads_directory = std::string(private_directory) + "/uploads";

uint64_t number_of(const std::string& etag) {
    const Sha256 hash = sha256(etag);
    uint64_t number = 0;
    for (size_t i = 0; i < sizeof(number); ++i) {
        number = number << 8 | hash[i];
    }
    return number;
}

FileStat directory_stat() {
    FileStat stat;
    stat.type = FileType::Directory;
    return stat;
}

/// Without a ctime: the ETag says more than a clock that ticks in seconds.
FileStat stat_of(const Object& object) {
    FileStat stat;
    stat.size = object.size;
    stat.mtime_ns = object.modified_ns;
    stat.inode = number_of(object.etag);
    stat.mode = usual_mode;
    return stat;
}

/// Reads one version of an object, in pieces.
class ObjectReader final : public FileReader {
  public:
    ObjectReader(Bucket bucket, Bucket::Piece first)
        : bucket_(bucket), version_(first.version), bytes_(std::move(first.bytes)) {}

    FileStat stat() override { return stat_of(version_.object); }
    FileMetadata metadata(const FileStat& stat) const override {
        return version_.metadata.value_or(FileMetadata{stat.mode, stat.mtime_ns});
    }

    size_t read_at(uint64_t offset, std::span<char> buffer) override {
        size_t filled = 0;
        while (filled < buffer.size() && offset + filled < version_.object.size) {
            const uint64_t place = offset + filled;
            if (place < begin_ || place - begin_ >= bytes_.size()) {
                fetch(place);
            }
            filled += bytes_.copy(buffer.data() + filled, buffer.size() - filled, place - begin_);
        }
        return filled;
    }

  private:
    void fetch(uint64_t offset) {
        const Object& object = version_.object;
        auto piece = bucket_.read(object.key, object.etag, offset,
                                  std::min(piece_bytes, object.size - offset));
        if (!piece || piece->bytes.empty() || piece->version.object != object) {
            throw Error(Reaction::Retry, printable(object.key) + " changed while it was read");
        }
        bytes_ = std::move(piece->bytes);
        begin_ = offset;
    }

    Bucket bucket_;
    const Bucket::Version version_;
    uint64_t begin_ = 0;  ///< of what is in bytes_
    std::string bytes_;
};

[[noreturn]] void refuse_writing() {
    throw Error(Reaction::Stop, "an object cannot be written in place");
}

/// For an object that is there: only its metadata can be written.
class ObjectMetadata final : public FileWriter {
  public:
    ObjectMetadata(Bucket bucket, Bucket::Version version)
        : bucket_(bucket), version_(std::move(version)) {}

    void write(std::string_view) override { refuse_writing(); }
    void write_at(uint64_t, std::string_view) override { refuse_writing(); }
    void write_zeros_at(uint64_t, uint64_t) override { refuse_writing(); }
    void set_metadata(uint32_t mode, int64_t mtime_ns) override {
        const FileMetadata wanted{mode, mtime_ns};
        if (version_.metadata != wanted) {
            bucket_.set_metadata(version_.object.key, version_, wanted);
        }
    }
    void sync() override {}

  private:
    Bucket bucket_;
    const Bucket::Version version_;
};

/// Page after page.
class ObjectListing final : public FileListing {
  public:
    ObjectListing(Bucket bucket, std::string prefix)
        : bucket_(bucket), prefix_(std::move(prefix)) {}

    std::optional<Entry> next() override {
        while (place_ == page_.objects.size()) {
            if (began_ && page_.next.empty()) {
                return std::nullopt;
            }
            page_ = bucket_.list(prefix_, "", page_.next);
            place_ = 0;
            began_ = true;
        }
        Object& object = page_.objects[place_++];
        // Who compares it with what was published would take a gap for removals.
        if (!object.key.starts_with(prefix_) || (last_ && object.key <= *last_)) {
            throw Error(Reaction::Retry,
                        bucket_.name() + " does not list its keys in the order of their bytes: " +
                            printable(object.key),
                        "use a server that does, as Amazon S3 (no directory bucket), MinIO, Ceph "
                        "and Garage");
        }
        last_ = object.key;
        return Entry{object.key.substr(prefix_.size()), stat_of(object)};
    }

  private:
    Bucket bucket_;
    const std::string prefix_;
    Page page_;
    size_t place_ = 0;
    bool began_ = false;
    std::optional<std::string> last_;
};

}  // namespace

BucketTree::BucketTree(Bucket bucket, std::string prefix, FileTree& local)
    : bucket_(bucket), prefix_(std::move(prefix)), local_(local) {}

std::string BucketTree::name() const {
    return bucket_.name() + (prefix_.empty() ? "" : ", prefix " + printable(prefix_));
}

std::optional<FileStat> BucketTree::stat(const std::string& path) {
    if (path.empty()) {
        // Whether there is a bucket shows with everything that is asked of it.
        return directory_stat();
    }
    if (is_private(path)) {
        return local_.stat(path);
    }
    const auto version = bucket_.head(key_of(path));
    return version ? std::optional(stat_of(version->object)) : std::nullopt;
}

std::optional<std::vector<FileTree::Entry>> BucketTree::list(const std::string& directory) {
    if (is_private(directory)) {
        return local_.list(directory);
    }
    const std::string prefix = key_of(directory.empty() ? "" : directory + "/");
    std::vector<Entry> entries;
    Page page;
    bool any = false;
    do {
        page = bucket_.list(prefix, "/", page.next);
        any = any || !page.objects.empty() || !page.prefixes.empty();
        for (const Object& object : page.objects) {
            // Some programs keep an object named "directory/" for an empty directory.
            if (object.key.size() > prefix.size()) {
                entries.push_back({object.key.substr(prefix.size()), stat_of(object)});
            }
        }
        for (const std::string& below : page.prefixes) {
            if (below.size() > prefix.size() + 1) {
                entries.push_back({below.substr(prefix.size(), below.size() - prefix.size() - 1),
                                   directory_stat()});
            }
        }
    } while (!page.next.empty());
    return any || directory.empty() ? std::optional(std::move(entries)) : std::nullopt;
}

std::unique_ptr<FileListing> BucketTree::list_all() {
    return std::make_unique<ObjectListing>(bucket_, prefix_);
}

std::unique_ptr<FileReader> BucketTree::open(const std::string& path) {
    if (is_private(path)) {
        return local_.open(path);
    }
    auto piece = bucket_.read(key_of(path), "", 0, first_piece_bytes);
    return piece ? std::make_unique<ObjectReader>(bucket_, std::move(*piece)) : nullptr;
}

FileTree& BucketTree::local_only(const std::string& path) {
    if (!is_private(path)) {
        refuse_writing();
    }
    return local_;
}

std::unique_ptr<FileWriter> BucketTree::create(const std::string& path) {
    return local_only(path).create(path);
}

std::unique_ptr<FileWriter> BucketTree::append(const std::string& path) {
    return local_only(path).append(path);
}

std::unique_ptr<FileWriter> BucketTree::update(const std::string& path) {
    return local_only(path).update(path);
}

std::unique_ptr<FileWriter> BucketTree::open_for_metadata(const std::string& path) {
    if (is_private(path)) {
        return local_.open_for_metadata(path);
    }
    auto version = bucket_.head(key_of(path));
    // What is too large to be copied by the server is written anew.
    const bool can = version && Bucket::can_set_metadata(version->object.size);
    return can ? std::make_unique<ObjectMetadata>(bucket_, std::move(*version)) : nullptr;
}

bool BucketTree::make_directory(const std::string& path) {
    return is_private(path) ? local_.make_directory(path) : true;
}

FileTree::Placed BucketTree::rename(const std::string& from, const std::string& to) {
    if (is_private(from) && is_private(to)) {
        return local_.rename(from, to);
    }
    if (!is_private(from)) {
        throw Error(Reaction::Stop, "an object cannot be moved");
    }
    end_left_uploads();
    const auto staged = local_.open(from);
    if (!staged) {
        return Placed::SourceMissing;
    }
    upload(key_of(to), *staged);
    local_.remove(from);
    return Placed::Yes;
}

void BucketTree::upload(const std::string& key, FileReader& staged) {
    const FileStat stat = staged.stat();
    if (Bucket::is_large(stat.size)) {
        upload_in_parts(key, staged, stat);
    } else {
        bucket_.put(key, staged, stat.size, {stat.mode, stat.mtime_ns});
    }
}

void BucketTree::upload_in_parts(const std::string& key, FileReader& staged, const FileStat& stat) {
    const std::string note = uploads_directory + "/" + to_hex(sha256(key));
    if (local_.stat(note)) {
        bucket_.abort_uploads(key);
    }
    note_upload(note, key);
    const auto end_others = [&] {
        try {
            bucket_.abort_uploads(key);
            forget_upload(note);
        } catch (const Error&) {
            // The note is there: the next upload of this key ends them, or the next start.
        }
    };
    try {
        bucket_.put(key, staged, stat.size, {stat.mode, stat.mtime_ns});
    } catch (const Error&) {
        end_others();
        throw;
    }
    // One whose beginning was answered too late was begun twice.
    end_others();
}

void BucketTree::note_upload(const std::string& note, const std::string& key) {
    std::set<std::string> changed = {uploads_directory};
    make_directories(local_, uploads_directory, changed);
    const auto file = local_.create(note);
    file->write(key);
    file->sync();
    for (const std::string& directory : changed) {
        local_.sync_directory(directory);
    }
}

void BucketTree::forget_upload(const std::string& note) {
    local_.remove(note);
    local_.sync_directory(uploads_directory);
}

/// Once after a start: what an earlier run began and did not end.
void BucketTree::end_left_uploads() {
    std::scoped_lock lock(mutex_);
    if (ended_left_uploads_) {
        return;
    }
    for (const Entry& entry : local_.list(uploads_directory).value_or(std::vector<Entry>())) {
        const std::string note = uploads_directory + "/" + entry.name;
        std::string key;
        if (const auto file = local_.open(note)) {
            for_each_chunk(*file, 0, [&](std::string_view chunk) {
                key += chunk;
                return true;
            });
        }
        // A note that was cut short was never followed by an upload.
        if (to_hex(sha256(key)) == entry.name) {
            bucket_.abort_uploads(key);
        }
        forget_upload(note);
    }
    ended_left_uploads_ = true;
}

bool BucketTree::link(const std::string& from, const std::string& to) {
    return is_private(from) && is_private(to) && local_.link(from, to);
}

bool BucketTree::clone(const std::string& from, const std::string& to) {
    return is_private(from) && is_private(to) && local_.clone(from, to);
}

bool BucketTree::remove(const std::string& path) {
    if (is_private(path)) {
        return local_.remove(path);
    }
    end_left_uploads();
    bucket_.remove(key_of(path));
    return true;
}

bool BucketTree::remove_directory(const std::string& path) {
    return is_private(path) && local_.remove_directory(path);
}

void BucketTree::sync_directory(const std::string& path) {
    if (is_private(path) || path.empty()) {
        local_.sync_directory(path);
    }
}

}  // namespace antipode::s3
