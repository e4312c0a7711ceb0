#include "primary/repositories/capture.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/limits.hpp"
#include "base/worker.hpp"
#include "primary/contents.hpp"
#include "verify/refs.hpp"

namespace antipode::primary {
namespace {

/// So many directories are looked at again and again until they are repositories.
constexpr size_t most_unfinished = 256;
/// git follows no more.
constexpr size_t most_pools = 5;
constexpr std::chrono::milliseconds pool_wait(20);
constexpr std::chrono::seconds longest_pool_wait(60);

void fill(v1::Ref& ref, const RefChange& change) {
    ref.set_name(change.name);
    ref.set_old_oid(change.before.oid);
    ref.set_new_oid(change.after.oid);
    ref.set_old_target(change.before.target);
    ref.set_new_target(change.after.target);
}

/// To be pulled.
void refer(v1::Content& content, const Pack& pack) {
    content.set_sha256(std::string(view(pack.sha256)));
    content.set_size(pack.size);
    content.set_pull(content.sha256());
}

void fill(v1::Content& content, const Pack& pack) {
    refer(content, pack);
    if (pack.size <= limits::inline_content_bytes) {
        content.set_inline_(pack.bytes);
    }
    content.set_together(pack.size > limits::inline_content_bytes &&
                         pack.size <= limits::content_in_memory_bytes);
}

bool is_below(const std::vector<std::string>& directories, const std::string& item) {
    return std::any_of(directories.begin(), directories.end(), [&](const std::string& directory) {
        return (item + "/").starts_with(directory);
    });
}

Reading removal(const std::string& item) {
    Reading reading;
    reading.payload.mutable_repository_removed()->set_repository(item);
    return reading;
}

}  // namespace

std::string encode_state(const RepositoryState& state) {
    return to_hex(state.fingerprint) + "\n" + verify::canonical_refs(state.refs);
}

RepositoryState decode_state(const std::string& bytes) {
    const size_t newline = bytes.find('\n');
    auto fingerprint = from_hex(std::string_view(bytes).substr(0, newline));
    auto refs = newline == std::string::npos
                    ? std::nullopt
                    : verify::parse_canonical_refs(std::string_view(bytes).substr(newline + 1));
    if (!fingerprint || !refs) {
        throw Error(Reaction::Resync, "the inventory holds no valid state of a repository");
    }
    return {std::move(*fingerprint), std::move(*refs)};
}

RepositoryCapture::RepositoryCapture(StoreId store, Repositories& repositories,
                                     RepositoryChanges& changes, const Inventory& inventory)
    : store_(std::move(store)),
      repositories_(repositories),
      changes_(changes),
      inventory_(inventory) {}

Noticed RepositoryCapture::drain() {
    RepositoryChanges::Taken taken = changes_.take();
    Noticed noticed;
    noticed.complete = taken.complete;
    std::set<std::string> names = std::exchange(unfinished_, {});
    names.insert(taken.names.begin(), taken.names.end());
    for (const std::string& directory : taken.gone_directories) {
        add_known(directory, names);
    }
    for (const std::string& name : names) {
        sort_in(name, noticed);
    }
    if (unfinished_.size() > most_unfinished) {
        unfinished_.clear();
        noticed.complete = false;  // the reconcile finds those that have become repositories
    }
    return noticed;
}

/// Adds every repository at or below `directory` that is published, or soon will be.
void RepositoryCapture::add_known(const std::string& directory, std::set<std::string>& names) {
    names.insert(directory);
    inventory_.for_each_below(store_, directory, [&](const std::string& item, const Published&) {
        names.insert(item);
        return true;
    });
    seen_.with([&](const auto& all) {
        // '0' follows '/' in the order of bytes.
        const auto last = all.lower_bound(directory + '0');
        for (auto next = all.lower_bound(directory + '/'); next != last; ++next) {
            names.insert(next->first);
        }
    });
}

void RepositoryCapture::sort_in(const std::string& name, Noticed& noticed) {
    switch (look_at(name)) {
        case Presence::Repository:
            noticed.changed.push_back(name);
            break;
        case Presence::Absent:
            if (may_be_published(name)) {
                noticed.removed.push_back(name);
            }
            break;
        case Presence::Damaged:
        case Presence::Foreign:
            // It is being deleted, or damaged, and read() tells; or it is being made, file by
            // file, and the last of them may be one that is not watched.
            if (may_be_published(name)) {
                noticed.changed.push_back(name);
            } else {
                unfinished_.insert(name);
            }
            break;
    }
}

Presence RepositoryCapture::look_at(const std::string& name) {
    try {
        return repositories_.presence(name);
    } catch (const Error&) {
        // It was named once and must not get lost: read() tells what is wrong with it.
        return Presence::Repository;
    }
}

bool RepositoryCapture::may_be_published(const std::string& item) const {
    if (seen_.with([&](const auto& all) { return all.contains(item); })) {
        return true;
    }
    const auto published = inventory_.find(store_, item);
    return published && !published->removed();
}

Noticed RepositoryCapture::reconcile(const std::stop_token& stop) {
    changes_.cover(stop);
    const Discovery discovery = repositories_.discover(stop);
    if (discovery.found.empty() && inventory_.count(store_) > 0) {
        refuse_empty_root();
    }
    Noticed noticed;
    noticed.complete = discovery.unreadable.empty();
    std::set<std::string> known;
    inventory_.for_each(store_, [&](const std::string& item, const Published& published) {
        if (stop.stop_requested()) {
            throw Stopped{};
        }
        known.insert(item);
        compare(item, published, discovery, noticed);
        return true;
    });
    bool covered = true;
    for (const std::string& item : discovery.found) {
        if (!known.contains(item)) {
            noticed.changed.push_back(item);
        }
        covered = covered && changes_.covers(item);
    }
    all_covered_ = covered && noticed.complete;
    put_in_order(noticed.changed);
    return noticed;
}

/// Of how many pools below each other it is.
size_t RepositoryCapture::depth_of(std::string name) {
    size_t depth = 0;
    try {
        while (depth < most_pools) {
            name = repositories_.pool_of(name);
            if (name.empty()) {
                break;
            }
            ++depth;
        }
    } catch (const Error&) {
        // Reading it tells what is wrong with it.
    }
    return depth;
}

void RepositoryCapture::put_in_order(std::vector<std::string>& items) {
    std::map<std::string, size_t> depths;
    for (const std::string& item : items) {
        depths[item] = depth_of(item);
    }
    std::stable_sort(items.begin(), items.end(), [&](const std::string& a, const std::string& b) {
        return depths.at(a) < depths.at(b);
    });
}

/// What is published of a pool. It is announced before those that borrow from it, and may be on its
/// way: that is waited for, but not for ever, as it may be one that cannot be read. nullopt: it is
/// not published.
std::optional<RefMap> RepositoryCapture::await_pool(const std::string& pool,
                                                    const std::stop_token& stop) {
    while (true) {
        const auto published = inventory_.find(store_, pool);
        if (published && !published->removed() && !published->forgotten()) {
            return decode_state(published->state).refs.refs;
        }
        const bool patient = waited_.with([&](auto& all) {
            all[pool] += pool_wait;
            return all[pool] < longest_pool_wait;
        });
        if (!patient || repositories_.presence(pool) != Presence::Repository) {
            return std::nullopt;
        }
        if (sleep_unless_stopped(pool_wait, stop)) {
            throw Stopped{};
        }
    }
}

std::string RepositoryCapture::defect(const std::string& item, const Pace&,
                                      const std::stop_token& stop) {
    return look_at(item) == Presence::Repository ? repositories_.defect(item, stop) : std::string();
}

bool RepositoryCapture::notices_everything() const {
    return all_covered_ && changes_.problem().empty();
}

std::optional<std::string> RepositoryCapture::why_no_item(const std::string& item) {
    if (const auto why = why_no_path(item)) {
        return why;
    }
    return is_private(item) || repositories_.presence(item) == Presence::Foreign
               ? std::optional<std::string>("there is no bare repository, but something else")
               : std::nullopt;
}

std::string RepositoryCapture::problem() const {
    std::string problem = changes_.problem();
    if (problem.empty() && !all_covered_) {
        problem = "some repositories are behind symbolic links, or could not be looked at";
    }
    return problem.empty() ? problem
                           : problem + " (such changes are found by the periodic reconcile)";
}

void RepositoryCapture::compare(const std::string& item, const Published& published,
                                const Discovery& discovery, Noticed& noticed) {
    if (std::binary_search(discovery.found.begin(), discovery.found.end(), item)) {
        if (!as_published(item, published)) {
            noticed.changed.push_back(item);
        }
    } else if (!is_below(discovery.unreadable, item)) {
        // Only what is not there at all was removed: what has lost its HEAD is corrupt.
        const bool removed = repositories_.presence(item) == Presence::Absent;
        (removed ? noticed.removed : noticed.changed).push_back(item);
    }
}

bool RepositoryCapture::as_published(const std::string& item, const Published& published) {
    if (published.forgotten()) {
        return false;
    }
    try {
        if (repositories_.presence(item) != Presence::Repository) {
            return false;  // the refs may be as they were, and the objects gone
        }
        const std::string fingerprint = repositories_.fingerprint(item);
        const Seen seen = seen_.with([&](auto& all) { return all[item]; });
        if (!fingerprint.empty() &&
            (decode_state(published.state).fingerprint == fingerprint ||
             (seen.fingerprint == fingerprint && seen.digest == published.digest))) {
            return true;
        }
        const auto refs = repositories_.read_refs(item);
        if (!refs || verify::refs_digest(*refs) != published.digest) {
            return false;
        }
        seen_.with([&](auto& all) { all[item] = {fingerprint, published.digest}; });
        return true;
    } catch (const Error&) {
        return false;  // read() says what is wrong with it
    }
}

std::optional<Reading> RepositoryCapture::read(const std::string& item, bool whole,
                                               const std::stop_token& stop) try {
    // From now on it may be published at any time: when it goes away, that must be noticed.
    seen_.with([&](auto& all) { all.try_emplace(item); });
    const auto published = inventory_.find(store_, item);
    const bool builds_on = !whole && published && !published->removed() && !published->forgotten();
    RepositoryState now;
    const bool there = repositories_.presence(item) != Presence::Absent;
    if (there && !builds_on) {  // what was pushed just now is too young for one
        now.fingerprint = repositories_.fingerprint(item);
    }
    auto refs = there ? repositories_.read_refs(item) : std::nullopt;
    if (!refs) {
        return read_absent(item, published, whole);
    }
    now.refs = std::move(*refs);
    const std::string pool = pool_in(now.refs.refs);
    const auto lent = pool.empty() ? std::nullopt : await_pool(pool, stop);
    if (!lent) {
        now.refs.refs.erase(std::string(pool_name));  // secondaries could not borrow either
    }
    if (!builds_on) {
        return read_refs(item, now, std::nullopt, {}, lent, stop);
    }
    if (verify::refs_digest(now.refs) == published->digest) {
        seen_.with([&](auto& all) { all[item] = {now.fingerprint, published->digest}; });
        return std::nullopt;
    }
    RepositoryState before = decode_state(published->state);
    // Where history ends otherwise than before, objects are needed that no new ref leads to.
    const bool joins_on = before.refs.object_format == now.refs.object_format &&
                          shallow_part(before.refs.refs) == shallow_part(now.refs.refs);
    return read_refs(item, now, joins_on ? std::optional(std::move(before)) : std::nullopt,
                     published->digest, lent, stop);
} catch (const Error& error) {
    throw Error(Reaction::Retry, "capturing " + printable(item) + ": " + error.what(),
                error.next_step());
}

std::optional<Published> RepositoryCapture::assume(const std::string& item, const Digest& digest) {
    if (repositories_.presence(item) != Presence::Repository) {
        return std::nullopt;
    }
    RepositoryState now;
    now.fingerprint = repositories_.fingerprint(item);
    auto refs = repositories_.read_refs(item);
    if (!refs || verify::refs_digest(*refs) != digest) {
        return std::nullopt;
    }
    now.refs = std::move(*refs);
    return Published{encode_state(now), digest};
}

std::optional<Reading> RepositoryCapture::read_absent(const std::string& item,
                                                      const std::optional<Published>& published,
                                                      bool whole) {
    if (repositories_.root_is_empty() && inventory_.count(store_) > 0) {
        refuse_empty_root();
    }
    seen_.with([&](auto& all) { all.erase(item); });
    if (!whole && (!published || published->removed())) {
        return std::nullopt;
    }
    return removal(item);
}

Reading RepositoryCapture::read_refs(const std::string& item, const RepositoryState& now,
                                     const std::optional<RepositoryState>& before,
                                     const Digest& digest_before, const std::optional<RefMap>& lent,
                                     const std::stop_token& stop) {
    // What is published is durable here first: a site must never have more than the primary after
    // a power cut. The refs were read before, so all that they need is synced now.
    repositories_.sync(item);
    const RefMap nothing;
    const RefMap& old_refs = before ? before->refs.refs : nothing;
    const std::set<std::string> old_oids = oids_of(old_refs);
    std::vector<std::string> wants;
    for (const std::string& oid : oids_of(now.refs.refs)) {
        if (!old_oids.contains(oid)) {
            wants.push_back(oid);
        }
    }
    Reading reading;
    reading.published = {encode_state(now), verify::refs_digest(now.refs)};
    v1::RefUpdate& update = *reading.payload.mutable_ref_update();
    update.set_repository(item);
    update.set_object_format(now.refs.object_format);
    update.set_full(!before);
    update.set_digest_before(before ? digest_before.value : std::string());
    update.set_digest_after(reading.published.digest.value);
    for (const RefChange& change : difference(old_refs, now.refs.refs)) {
        fill(*update.add_refs(), change);
    }
    if (!wants.empty()) {
        std::set<std::string> haves = lent ? oids_of(*lent) : std::set<std::string>();
        haves.insert(old_oids.begin(), old_oids.end());
        add_packs(update, wants, {haves.begin(), haves.end()}, stop);
    }
    return reading;
}

/// Packed for exactly the refs that the event names, wherever they have moved since.
void RepositoryCapture::add_packs(v1::RefUpdate& update, const std::vector<std::string>& wants,
                                  const std::vector<std::string>& haves,
                                  const std::stop_token& stop) {
    const std::string& item = update.repository();
    const bool base_failed =
        on_a_base_.with([&](auto& items) { return update.full() && items.erase(item) > 0; });
    WholePacks packs;
    if (update.full() && !base_failed) {
        packs = repositories_.make_whole_packs(item, wants, haves, stop);
    } else {
        packs.rest = repositories_.make_pack(item, wants, haves, stop);
    }
    if (packs.base) {
        refer(*update.mutable_base(), *packs.base);
        on_a_base_.with([&](auto& items) { items.insert(item); });
    }
    if (packs.base && packs.base_index) {
        refer(*update.mutable_base_index(), *packs.base_index);
    }
    if (packs.rest) {
        fill(*update.mutable_pack(), *packs.rest);
    }
}

void RepositoryCapture::refuse_empty_root() const {
    throw Error(Reaction::Retry,
                "no repository is left below " + printable(repositories_.root()) + ", where " +
                    std::to_string(inventory_.count(store_)) +
                    " were: not taken for their deletion",
                "mount its file system; if every repository was really deleted, take the store out "
                "of the configuration on all sites");
}

std::unique_ptr<BulkBody> PackService::open(const BulkRequest& request) {
    if (request.path.ends_with("/contents")) {
        return open_contents(request, [this](const std::string& one) { return small_pack(one); });
    }
    const auto text = request.parameter("ref");
    const auto bytes = text ? from_hex(*text) : std::nullopt;
    const auto hash = bytes ? sha256_from_bytes(*bytes) : std::nullopt;
    return hash && request.path.ends_with("/content") ? repositories_.open_kept_pack(*hash)
                                                      : nullptr;
}

std::unique_ptr<BulkBody> PackService::small_pack(const std::string& reference) try {
    const auto hash = sha256_from_bytes(reference);
    auto body = hash ? repositories_.open_kept_pack(*hash) : nullptr;
    const bool is_small =
        body && body->size().value_or(UINT64_MAX) <= limits::content_in_memory_bytes;
    return is_small ? std::move(body) : nullptr;
} catch (const Error&) {
    return nullptr;  // whoever asks for it alone is told why
}

}  // namespace antipode::primary
