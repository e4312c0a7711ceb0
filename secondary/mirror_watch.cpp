#include "secondary/mirror_watch.hpp"

#include <spdlog/spdlog.h>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/files.hpp"
#include "base/item_query.hpp"

namespace antipode::secondary {
namespace {

/// Apply, when it is done with an item, has recorded it by then.
constexpr std::chrono::milliseconds settle_time(1500);
/// What changes without end is judged all the same.
constexpr std::chrono::seconds longest_settle(15);
/// While many files come at once each is ours; looking them all up would hold up apply.
constexpr size_t judged_at_once = 500;
constexpr size_t most_noticed = 100'000;
constexpr size_t page = 1000;
/// Going through all directories takes a while in a large tree.
constexpr std::chrono::seconds cover_interval(60);

std::string join(const std::string& directory, const std::string& name) {
    return directory.empty() ? name : directory + "/" + name;
}

}  // namespace

MirrorWatch::MirrorWatch(StoreId store, FileTree& tree, FileWatch& watch, MirrorPlaces& places,
                         Registry& registry, Unknown unknown, Applying applying, const Clock& clock)
    : store_(std::move(store)),
      tree_(tree),
      watch_(watch),
      places_(places),
      registry_(registry),
      unknown_(std::move(unknown)),
      applying_(std::move(applying)),
      clock_(clock) {
    watch_.exclude([this](const std::string& path) { return places_.excludes(path); });
}

void MirrorWatch::step(const std::stop_token& stop) {
    if (root_is_new() || (!covered_ && clock_.steady_now() >= cover_due_)) {
        cover_all(stop);
        cover_due_ = clock_.steady_now() + cover_interval;
    }
    take();
    judge_due(stop);
}

std::string MirrorWatch::problem() const {
    const std::string own = problem_.copy();
    return own.empty() ? watch_.problem() : own;
}

/// Another directory has the root's name now: the watches have stayed with the old one.
bool MirrorWatch::root_is_new() {
    const auto stat = tree_.stat("");
    const auto now = stat ? std::optional<Identity>({stat->device, stat->inode}) : std::nullopt;
    return std::exchange(root_, now) != now;
}

/// Each directory is watched before it is listed: what comes between is noticed.
void MirrorWatch::cover_all(const std::stop_token& stop) {
    std::string unlisted = root_ ? "" : "the root is missing";
    std::vector<std::string> waiting = {""};
    covered_ = root_.has_value();  // unless take() hears of a loss
    for (size_t covered = 1; !waiting.empty(); ++covered) {
        if (stop.stop_requested()) {
            throw Stopped{};
        }
        if (covered % page == 0) {
            take();  // the kernel's queue is short
        }
        const std::string directory = std::move(waiting.back());
        waiting.pop_back();
        watch_.cover(directory);
        try {
            for (const auto& entry :
                 tree_.list(directory).value_or(std::vector<FileTree::Entry>())) {
                std::string path = join(directory, entry.name);
                if (entry.stat.type == FileType::Directory && !places_.excludes(path)) {
                    waiting.push_back(std::move(path));
                }
            }
        } catch (const Error& error) {
            unlisted = error.describe();
        }
    }
    problem_.with([&](std::string& problem) { problem = unlisted; });
}

void MirrorWatch::take() {
    FileWatch::Changes changes = watch_.drain();
    for (const std::string& file : changes.files) {
        note(file);
    }
    for (const std::string& directory : changes.directories) {
        note(directory + '/');
    }
    for (const std::string& directory : changes.gone_directories) {
        note(directory + '/');
    }
    if (!changes.complete) {
        spdlog::info(
            "{}: changed faster than it can be watched: what changed by hand just now is "
            "found by the check of its content",
            store_.to_string());
        covered_ = false;
    }
}

void MirrorWatch::note(const std::string& place) {
    if (noticed_.size() < most_noticed) {
        const SteadyTime now = clock_.steady_now();
        Noticed& noticed = noticed_.try_emplace(place, Noticed{.first = now}).first->second;
        noticed.last = now;
        noticed.at = clock_.now();
    }
}

void MirrorWatch::judge_due(const std::stop_token& stop) {
    const SteadyTime now = clock_.steady_now();
    std::set<std::string> differing;
    size_t judged = 0;
    known_.clear();
    for (auto next = noticed_.begin(); next != noticed_.end() && judged < judged_at_once;) {
        if (now - next->second.last < settle_time && now - next->second.first < longest_settle) {
            ++next;
            continue;
        }
        if (is_being_applied(next->first)) {
            next->second.first = next->second.last = now;
            ++next;
            continue;
        }
        judge(next->first, next->second, differing, stop);
        next = noticed_.erase(next);
        ++judged;
    }
    ask(differing);
}

bool MirrorWatch::is_being_applied(const std::string& place) {
    const auto item = places_.item_of(path_of(place), names_directory(place));
    return item && applying_(*item);
}

void MirrorWatch::ask(std::set<std::string>& differing) {
    if (!differing.empty()) {
        spdlog::warn("{}: {} changed here, not by this daemon, {} first; read again",
                     store_.to_string(), differing.size(), printable(*differing.begin()));
        registry_.ask_for_looks(store_, {differing.begin(), differing.end()});
        asked_.with([&](uint64_t& asked) { asked += differing.size(); });
        differing.clear();
    }
}

void MirrorWatch::judge(const std::string& place, const Noticed& noticed,
                        std::set<std::string>& differing, const std::stop_token& stop) {
    const bool is_directory = names_directory(place);
    const std::string path = path_of(place);
    if (const auto item = places_.item_of(path, is_directory)) {
        judge_item(*item, path, noticed, differing);
    }
    if (!is_directory || tree_.stat(path)) {
        return;
    }
    // Gone with all that was in it.
    unknown_(path, false);
    ItemQuery below{.prefix = place, .most = page};
    for (bool more = true; more;) {
        const auto items = registry_.list(store_, below);
        for (const Registry::ListedItem& item : items) {
            if (stop.stop_requested()) {
                throw Stopped{};
            }
            judge_item(item.item, item.item, noticed, differing);
        }
        if (differing.size() >= page) {
            ask(differing);
        }
        known_.clear();  // a page at a time
        more = items.size() == page;
        below.after = more ? std::optional(items.back().item) : std::nullopt;
    }
}

void MirrorWatch::judge_item(const std::string& item, const std::string& path,
                             const Noticed& noticed, std::set<std::string>& differing) {
    if (differing.contains(item)) {
        return;
    }
    const auto is_read_again = [&] { return known_of(item).is_read_again; };
    const auto was_applied = [&] {
        const auto& state = known_of(item).state;
        return state && !state->digest.empty();
    };
    const auto may_differ = [&] {
        const Known& known = known_of(item);
        return places_.may_differ({.path = path,
                                   .item = item,
                                   .noticed = noticed.at,
                                   .state = *known.state,
                                   .applied = known.applied});
    };
    if (is_read_again()) {
        return;
    }
    if (!was_applied()) {
        unknown_(item, places_.is_here(item));
    } else if (may_differ()) {
        known_.erase(item);  // it may have been applied once more since
        if (!is_read_again() && was_applied() && may_differ()) {
            differing.insert(item);
        }
    }
}

/// A push changes several files at once: what is known of it is read once.
const MirrorWatch::Known& MirrorWatch::known_of(const std::string& item) {
    const auto [place, is_new] = known_.try_emplace(item);
    Known& known = place->second;
    if (!is_new) {
        return known;
    }
    if (registry_.is_awaited(store_, item)) {
        known.is_read_again = true;  // or brought
        return known;
    }
    const auto listed = registry_.list(store_, {.item = item});
    if (!listed.empty()) {
        known.state = listed.front().state;
        known.applied = listed.front().applied_at.value_or(TimePoint{});
        // Of a look that has begun nobody knows what it saw.
        known.is_read_again =
            listed.front().look_asked && !registry_.is_being_looked_at(store_, item);
    }
    return known;
}

}  // namespace antipode::secondary
