#include "secondary/ranged_pull.hpp"

#include <algorithm>
#include <charconv>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/worker.hpp"

namespace antipode::secondary {
namespace {

/// Thrown through BulkSource::get when what comes cannot be what was asked for.
struct Superseded {};

std::string read_all(FileReader& file) {
    std::string text;
    for_each_chunk(file, 0, [&](std::string_view chunk) {
        text += chunk;
        return true;
    });
    return text;
}

/// Takes a number and the character behind it off the front; nullopt: it is not there, whole.
std::optional<uint64_t> take_number(std::string_view& text, char behind) {
    uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const auto length = static_cast<size_t>(end - text.data());
    if (error != std::errc{} || length >= text.size() || text[length] != behind) {
        return std::nullopt;
    }
    text.remove_prefix(length + 1);
    return number;
}

}  // namespace

/// Counts a thread that pulls a range, while it does.
class RangedPull::Running {
  public:
    Running(RangedPull& pull, size_t range) : pull_(pull), range_(range) {}
    ~Running() {
        std::scoped_lock lock(pull_.mutex_);
        pull_.ranges_[range_].running = false;
        --pull_.running_;
        pull_.changed_.notify_all();
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

  private:
    RangedPull& pull_;
    const size_t range_;
};

RangedPull::RangedPull(FileTree& tree, Options options, bool from_scratch)
    : tree_(tree), options_(std::move(options)) {
    const uint64_t count = (options_.size + options_.range_bytes - 1) / options_.range_bytes;
    ranges_.resize(count);
    const auto known = from_scratch ? std::vector<Range>() : read_list();
    if (known.empty()) {
        begin_anew();
        return;
    }
    ranges_ = known;
    was_resumed_ = true;
    write_list();  // a crash may have left half a line at its end
}

/// Empty: there is nothing of use.
std::vector<RangedPull::Range> RangedPull::read_list() const {
    const auto file = tree_.open(list());
    const auto there = tree_.stat(part());
    if (!file || !there || there->type != FileType::Regular) {
        return {};
    }
    const std::string text = read_all(*file);
    std::string_view rest = text;
    if (take_number(rest, '\n') != options_.range_bytes) {
        return {};
    }
    std::vector<Range> known(ranges_.size());
    while (true) {
        const auto range = take_number(rest, ' ');
        const auto bytes = range ? take_number(rest, '\n') : std::nullopt;
        if (!bytes) {
            return known;
        }
        const bool possible = *range < known.size() && *bytes <= size_of(*range) &&
                              *range * options_.range_bytes + *bytes <= there->size;
        if (!possible) {
            return {};
        }
        known[*range].bytes = known[*range].recorded = std::max(known[*range].bytes, *bytes);
    }
}

void RangedPull::begin_anew() {
    if (tree_.remove(list())) {
        // A list must never be there with another part than its own.
        tree_.sync_directory(parent_of(options_.name));
    }
    tree_.create(part());
}

void RangedPull::write_list() {
    list_ = tree_.create(list());
    list_->write(std::to_string(options_.range_bytes) + "\n");
    for (size_t range = 0; range < ranges_.size(); ++range) {
        if (ranges_[range].recorded > 0) {
            write_line(range);
        }
    }
    list_->sync();
    tree_.sync_directory(parent_of(options_.name));
}

void RangedPull::write_line(size_t range) {
    list_->write(std::to_string(range) + " " + std::to_string(ranges_[range].recorded) + "\n");
}

void RangedPull::remove_files(FileTree& tree, const std::string& name) {
    tree.remove(name + ".ranges");
    tree.remove(name + ".part");
}

uint64_t RangedPull::size_of(size_t range) const {
    return std::min(options_.range_bytes, options_.size - range * options_.range_bytes);
}

bool RangedPull::has_range() const {
    for (size_t range = 0; range < ranges_.size(); ++range) {
        if (!ranges_[range].running && ranges_[range].bytes < size_of(range)) {
            return true;
        }
    }
    return false;
}

std::optional<size_t> RangedPull::take() {
    std::scoped_lock lock(mutex_);
    for (size_t range = 0; range < ranges_.size() && !closed_ && gone_.empty(); ++range) {
        if (!ranges_[range].running && ranges_[range].bytes < size_of(range)) {
            ranges_[range].running = true;
            ++running_;
            return range;
        }
    }
    return std::nullopt;
}

std::string RangedPull::adopt(FileReader& file, const std::vector<Sha256>& hashes,
                              const std::stop_token& stop) {
    std::string differing;
    uint64_t differing_from = 0;
    const auto tell = [&](uint64_t end) {
        if (differing_from < end) {
            differing += (differing.empty() ? "bytes " : ", ") + std::to_string(differing_from) +
                         " to " + std::to_string(end - 1);
        }
    };
    const auto writer = tree_.update(part());
    std::string bytes;
    for (size_t range = 0; range < std::min(ranges_.size(), hashes.size()); ++range) {
        if (stop.stop_requested()) {
            throw Stopped{};
        }
        const uint64_t begin = range * options_.range_bytes;
        bytes.resize(size_of(range));
        if (file.read_at(begin, bytes) != bytes.size() || sha256(bytes) != hashes[range]) {
            continue;
        }
        tell(begin);
        differing_from = begin + bytes.size();
        is_all_zeros(bytes) ? writer->write_zeros_at(begin, bytes.size())
                            : writer->write_at(begin, bytes);
        ranges_[range].bytes = bytes.size();
    }
    tell(options_.size);
    writer->sync();
    for (Range& range : ranges_) {
        range.recorded = range.bytes;
    }
    write_list();
    return differing;
}

bool RangedPull::pull_next(BulkSource& primary, const std::stop_token& stop) {
    const std::stop_callback forward(stop, [this] { stop_.request_stop(); });
    const auto range = take();
    if (range) {
        const Running running(*this, *range);
        try {
            pull(*range, primary);
        } catch (const Superseded&) {
            give_up("the primary has another version by now");
        } catch (const Stopped&) {
            close_soon();
            if (stop.stop_requested()) {
                throw;
            }
            return false;  // another thread ended it
        }
    }
    hash_on(stop);
    return range.has_value();
}

void RangedPull::pull(size_t range, BulkSource& primary) {
    const auto writer = tree_.update(part());
    const uint64_t begin = range * options_.range_bytes;
    uint64_t bytes = ranges_[range].bytes;  // nobody else changes it now
    const auto check_size = [&](const BulkSource::Answer& answer) {
        if (answer.total_size && *answer.total_size != options_.size) {
            throw Superseded{};
        }
    };
    const auto take_chunk = [&](std::string_view chunk) {
        if (stop_.stop_requested()) {
            throw Stopped{};
        }
        if (chunk.size() > size_of(range) - bytes) {
            throw Superseded{};
        }
        if (is_all_zeros(chunk)) {
            writer->write_zeros_at(begin + bytes, chunk.size());
        } else {
            writer->write_at(begin + bytes, chunk);
        }
        bytes += chunk.size();
        add_bytes(range, chunk.size());
    };
    bool found = false;
    try {
        found = primary
                    .get(options_.request, {begin + bytes, size_of(range) - bytes}, check_size,
                         take_chunk, stop_.get_token())
                    .found;
    } catch (const Superseded&) {
        throw;
    } catch (...) {
        try {
            record(range, *writer);
        } catch (const Error&) {
            // What went wrong first is the reason.
        }
        throw;
    }
    if (!found) {
        give_up("the primary does not have it any more");
    } else if (bytes < size_of(range)) {
        throw Superseded{};
    } else {
        record(range, *writer);
    }
}

void RangedPull::add_bytes(size_t range, uint64_t count) {
    std::scoped_lock lock(mutex_);
    ranges_[range].bytes += count;
}

/// What came lasts from now on.
void RangedPull::record(size_t range, FileWriter& writer) {
    if (ranges_[range].bytes == ranges_[range].recorded) {
        return;
    }
    try {
        writer.sync();
    } catch (const Error&) {
        // Nobody knows what is on the disk now, and the next sync would not say it again.
        close_soon();
        remove_files(tree_, options_.name);
        throw;
    }
    std::scoped_lock lock(mutex_);
    ranges_[range].recorded = ranges_[range].bytes;
    if (ranges_.size() == 1 && all_here()) {
        return;  // its new name comes next, and says it
    }
    try {
        if (list_) {
            write_line(range);
            list_->sync();
        } else {
            write_list();
        }
    } catch (const Error&) {
        closed_ = true;  // nothing must follow half a line
        stop_.request_stop();
        throw;
    }
}

bool RangedPull::all_here() const {
    for (size_t range = 0; range < ranges_.size(); ++range) {
        if (ranges_[range].recorded < size_of(range)) {
            return false;
        }
    }
    return true;
}

void RangedPull::close_soon() {
    std::scoped_lock lock(mutex_);
    closed_ = true;
    stop_.request_stop();
    changed_.notify_all();
}

void RangedPull::give_up(std::string reason) {
    std::scoped_lock lock(mutex_);
    gone_ = std::move(reason);
    stop_.request_stop();
    changed_.notify_all();
}

/// What has come is still in memory: hashing it now spares reading it from the disk later.
void RangedPull::hash_on(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    if (hashing_) {
        return;  // that thread goes on with what has come meanwhile
    }
    hashing_ = true;
    try {
        while (!closed_ && hashed_ < ranges_.size() &&
               ranges_[hashed_].recorded == size_of(hashed_)) {
            const uint64_t begin = hashed_ * options_.range_bytes;
            uint64_t left = size_of(hashed_);
            lock.unlock();
            const auto file = tree_.open(part());
            if (file) {
                for_each_chunk(*file, begin, [&](std::string_view chunk) {
                    if (stop.stop_requested()) {
                        throw Stopped{};
                    }
                    const std::string_view bytes = chunk.substr(0, left);
                    stream_.update(bytes);
                    left -= bytes.size();
                    return left > 0;
                });
            }
            lock.lock();
            ++hashed_;
        }
        if (hashed_ == ranges_.size() && !result_) {
            result_ = stream_.finish();
        }
    } catch (...) {
        if (!lock.owns_lock()) {
            lock.lock();
        }
        closed_ = true;  // a part of it is hashed: it begins again
        hashing_ = false;
        changed_.notify_all();
        throw;
    }
    hashing_ = false;
    changed_.notify_all();
}

std::optional<RangedPull::End> RangedPull::end() const {
    if (running_ > 0 || hashing_) {
        return std::nullopt;
    }
    if (!gone_.empty()) {
        return End::Gone;
    }
    if (closed_) {
        return End::Closed;
    }
    if (result_) {
        return *result_ == options_.hash ? End::Right : End::Wrong;
    }
    return std::nullopt;
}

RangedPull::End RangedPull::wait(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    const bool is_usable = changed_.wait(lock, stop, [&] {
        return end().has_value() || (has_range() && !closed_ && gone_.empty());
    });
    if (!is_usable) {
        throw Stopped{};
    }
    return end().value_or(End::Open);
}

std::string RangedPull::reason() const {
    std::scoped_lock lock(mutex_);
    return gone_;
}

void RangedPull::close() {
    close_soon();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return running_ == 0 && !hashing_; });
}

uint64_t RangedPull::bytes() const {
    std::scoped_lock lock(mutex_);
    uint64_t sum = 0;
    for (const Range& range : ranges_) {
        sum += range.bytes;
    }
    return sum;
}

}  // namespace antipode::secondary
