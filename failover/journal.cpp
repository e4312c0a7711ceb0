#include "failover/journal.hpp"

#include <nlohmann/json.hpp>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "failover/durable.hpp"

namespace antipode::failover {
namespace {

/// A file that has grown to this is put aside (".old") when the next operation begins.
constexpr uint64_t rotate_bytes = 1 << 20;
constexpr size_t longest_detail = 64 * 1024;
constexpr size_t remembered = 500;

std::string line_of(const JournalEntry& entry, const std::string& previous) {
    const nlohmann::ordered_json line = {{"number", entry.number},
                                         {"at_us", to_microseconds(entry.at)},
                                         {"epoch", entry.epoch},
                                         {"operation", entry.operation},
                                         {"state", to_string(entry.state)},
                                         {"event", entry.event},
                                         {"detail", entry.detail.substr(0, longest_detail)},
                                         {"previous", previous}};
    return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

struct Line {
    JournalEntry entry;
    std::string previous;
};

std::optional<Line> parse_line(const std::string& text) {
    const auto line = nlohmann::json::parse(text, nullptr, false);
    if (!line.is_object()) {
        return std::nullopt;
    }
    try {
        const auto state = parse_state(line.at("state").get<std::string>());
        if (!state) {
            return std::nullopt;
        }
        return Line{
            {line.at("number").get<uint64_t>(), from_microseconds(line.at("at_us").get<int64_t>()),
             line.at("epoch").get<uint64_t>(), line.at("operation").get<std::string>(), *state,
             line.at("event").get<std::string>(), line.at("detail").get<std::string>()},
            line.at("previous").get<std::string>()};
    } catch (const nlohmann::json::exception&) {
        return std::nullopt;
    }
}

}  // namespace

Journal::Journal(std::filesystem::path file) : file_(std::move(file)) {
    load();
}

void Journal::load() {
    if (const auto text = read_whole(file_)) {
        bytes_ = load(*text);
        if (bytes_ < text->size()) {
            truncate_durably(file_, bytes_);
        }
    }
    // A crash came between putting the file aside and beginning it anew.
    if (!last_) {
        if (const auto text = read_whole(put_aside())) {
            load(*text);
        }
    }
}

/// Where the last whole line ends.
size_t Journal::load(const std::string& text) {
    size_t begin = 0;
    for (size_t end = text.find('\n'); end != std::string::npos;
         begin = end + 1, end = text.find('\n', begin)) {
        const std::string line = text.substr(begin, end - begin);
        auto parsed = parse_line(line);
        // The first line of a file that was begun anew joins on to the one that was put aside.
        const bool joins = parsed && (!last_ || (parsed->previous == previous_ &&
                                                 parsed->entry.number == last_->number + 1));
        if (!joins) {
            throw Error(
                Reaction::Stop,
                "the journal " + file_.string() + " is damaged at byte " + std::to_string(begin),
                "look at it: each line names the hash of the one before; keep a copy, and "
                "cut it off before that byte");
        }
        previous_ = to_hex(sha256(line));
        last_ = parsed->entry;
        entries_.push_back(std::move(parsed->entry));
    }
    return begin;
}

void Journal::append(JournalEntry entry) {
    entry.number = last_ ? last_->number + 1 : 1;
    const bool begins = !last_ || last_->operation != entry.operation;
    if (begins && bytes_ > rotate_bytes) {
        rotate();
    }
    const std::string line = line_of(entry, previous_);
    append_durably(file_, bytes_, line);
    bytes_ += line.size();
    previous_ = to_hex(sha256(std::string_view(line).substr(0, line.size() - 1)));
    last_ = entry;
    entries_.push_back(std::move(entry));
    if (entries_.size() > remembered) {
        entries_.erase(entries_.begin());
    }
}

void Journal::rotate() {
    rename_durably(file_, put_aside());
    bytes_ = 0;
}

std::filesystem::path Journal::put_aside() const {
    return file_.string() + ".old";
}

std::vector<JournalEntry> Journal::tail(size_t most) const {
    const size_t count = std::min(most, entries_.size());
    return {entries_.end() - static_cast<std::ptrdiff_t>(count), entries_.end()};
}

}  // namespace antipode::failover
