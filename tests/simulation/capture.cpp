#include "tests/simulation/capture.hpp"

#include <algorithm>
#include <sstream>

namespace antipode::simulation {
namespace {

/// Contents from this size on are pulled.
constexpr size_t inline_bytes = 1000;

v1::Content content_of(const std::string& bytes, const std::string& reference, bool pulled) {
    v1::Content content;
    content.set_sha256(std::string(view(sha256(bytes))));
    content.set_size(bytes.size());
    if (pulled) {
        content.set_pull(reference);
    } else {
        content.set_inline_(bytes);
    }
    return content;
}

std::string encode_refs(const Refs& refs) {
    std::string text;
    for (const auto& [name, commit] : refs) {
        text += name + " " + commit + "\n";
    }
    return text + ".";
}

Refs decode_refs(const std::string& text) {
    Refs refs;
    std::istringstream words(text);
    std::string name;
    std::string commit;
    while (words >> name >> commit) {
        refs[name] = commit;
    }
    return refs;
}

}  // namespace

SimulatedItemCapture::SimulatedItemCapture(StoreId store, Service& service,
                                           const primary::Inventory& inventory, Faults& faults,
                                           bool watched)
    : service_(service),
      faults_(faults),
      store_(std::move(store)),
      inventory_(inventory),
      watched_(watched) {}

void SimulatedItemCapture::noticed(const std::string& item) {
    const bool deaf = faults_.sabotage == Sabotage::DeafWatch && faults_.chance().one_in(5);
    if (watched_ && !deaf) {
        noticed_.insert(item);
    }
}

primary::Noticed SimulatedItemCapture::drain() {
    faults_.crash_point("drain of " + store_.to_string());
    primary::Noticed noticed;
    if (!noticed_.empty() && faults_.happens(&Profile::overflow)) {
        faults_.journal().note("overflow of " + store_.to_string());
        noticed.complete = false;
        noticed_.clear();
    }
    for (const std::string& item : std::exchange(noticed_, {})) {
        (digest_now(item).empty() ? noticed.removed : noticed.changed).push_back(item);
    }
    return noticed;
}

primary::Noticed SimulatedItemCapture::reconcile(const std::stop_token&) {
    faults_.call("reconcile of " + store_.to_string());
    const bool fails = faults_.happens(&Profile::reconcile);
    if (fails && faults_.chance().one_in(2)) {
        faults_.journal().note("reconcile of " + store_.to_string() + " fails");
        throw Error(Reaction::Retry, "the root cannot be listed");
    }
    primary::Noticed noticed;
    noticed.complete = !fails;
    const std::set<std::string> here = names();
    for (const std::string& item : here) {
        const auto published = inventory_.find(store_, item);
        const bool seen = !fails || faults_.chance().one_in(2);
        if (seen &&
            (!published || published->forgotten() || published->digest != digest_now(item))) {
            noticed.changed.push_back(item);
        }
    }
    inventory_.for_each(store_, [&](const std::string& item, const primary::Published&) {
        if (!here.contains(item) && !fails) {
            noticed.removed.push_back(item);
        }
        return true;
    });
    return noticed;
}

std::optional<primary::Reading> SimulatedItemCapture::read(const std::string& item, bool whole,
                                                           const std::stop_token&) {
    faults_.call("read of " + item);
    const auto published = inventory_.find(store_, item);
    const bool known = published && !published->forgotten() && !whole;
    const Digest now = digest_now(item);
    if (now.empty()) {
        const bool nothing_to_say = !whole && (!published || published->removed());
        return nothing_to_say ? std::nullopt : std::optional(removal(item));
    }
    if (known && published->digest == now) {
        return std::nullopt;
    }
    auto result = reading(item, known && !published->removed() ? &*published : nullptr);
    faults_.crash_point("read of " + item);
    return result;
}

// Blobs.

Digest SimulatedBlobCapture::digest_now(const std::string& item) const {
    const auto found = service_.blobs.find(item);
    return found == service_.blobs.end() ? Digest{} : digest_of_blob(found->second);
}

std::set<std::string> SimulatedBlobCapture::names() const {
    std::set<std::string> names;
    for (const auto& [path, content] : service_.blobs) {
        names.insert(path);
    }
    return names;
}

primary::Reading SimulatedBlobCapture::reading(const std::string& item, const primary::Published*) {
    const std::string& bytes = service_.blobs.at(item);
    primary::Reading reading;
    reading.payload.mutable_blob_put()->set_path(item);
    *reading.payload.mutable_blob_put()->mutable_content() =
        content_of(bytes, item, bytes.size() >= inline_bytes);
    reading.published = {"here", digest_of_blob(bytes)};
    return reading;
}

primary::Reading SimulatedBlobCapture::removal(const std::string& item) const {
    primary::Reading reading;
    reading.payload.mutable_blob_removed()->set_path(item);
    return reading;
}

std::optional<std::string> SimulatedBlobCapture::content(const std::string& reference) {
    const auto found = service_.blobs.find(reference);
    return found == service_.blobs.end() ? std::nullopt : std::optional(found->second);
}

// Repositories.

Digest SimulatedRepositoryCapture::digest_now(const std::string& item) const {
    const auto found = service_.repositories.find(item);
    return found == service_.repositories.end() ? Digest{} : digest_of(found->second.refs);
}

std::set<std::string> SimulatedRepositoryCapture::names() const {
    std::set<std::string> names;
    for (const auto& [name, repository] : service_.repositories) {
        names.insert(name);
    }
    return names;
}

primary::Reading SimulatedRepositoryCapture::reading(const std::string& item,
                                                     const primary::Published* before) {
    const Repository& repository = service_.repositories.at(item);
    const Refs old = before == nullptr ? Refs{} : decode_refs(before->state);
    primary::Reading reading;
    v1::RefUpdate& update = *reading.payload.mutable_ref_update();
    update.set_repository(item);
    update.set_full(before == nullptr);
    if (before != nullptr) {
        update.set_digest_before(before->digest.value);
    }
    for (const auto& [name, commit] : repository.refs) {
        const auto known = old.find(name);
        if (known == old.end() || known->second != commit) {
            v1::Ref& ref = *update.add_refs();
            ref.set_name(name);
            ref.set_new_oid(commit);
        }
    }
    for (const auto& [name, commit] : old) {
        if (!repository.refs.contains(name)) {
            update.add_refs()->set_name(name);
        }
    }
    const Objects sent = reachable(old, repository.objects);
    std::vector<Commit> fresh;
    for (const auto& [id, commit] : reachable(repository.refs, repository.objects)) {
        if (!sent.contains(id)) {
            fresh.push_back(commit);
        }
    }
    const Digest digest = digest_of(repository.refs);
    update.set_digest_after(digest.value);
    if (!fresh.empty()) {
        const std::string pack = encode(fresh);
        const std::string hash = to_hex(sha256(pack));
        const bool pulled = faults_.happens(&Profile::large);
        *update.mutable_pack() = content_of(pack, hash, pulled);
        if (pulled) {
            packs_[hash] = pack;
        }
    }
    reading.published = {encode_refs(repository.refs), digest};
    return reading;
}

primary::Reading SimulatedRepositoryCapture::removal(const std::string& item) const {
    primary::Reading reading;
    reading.payload.mutable_repository_removed()->set_repository(item);
    return reading;
}

std::optional<std::string> SimulatedRepositoryCapture::content(const std::string& reference) {
    const auto found = packs_.find(reference);
    return found == packs_.end() ? std::nullopt : std::optional(found->second);
}

// The database.

Lsn SimulatedDatabaseCapture::forgotten() const {
    return service_.confirmed;
}

Lsn SimulatedDatabaseCapture::wal_position() {
    faults_.call("wal_position");
    return service_.wal_end;
}

std::vector<primary::DatabaseEvent> SimulatedDatabaseCapture::poll(std::chrono::milliseconds) {
    try {
        faults_.call("poll");
    } catch (const Error&) {
        connected_ = false;
        throw;
    }
    if (connected_) {
        service_.confirmed = std::max(service_.confirmed, std::min(confirm_, decoded_));
    }
    std::vector<primary::DatabaseEvent> events;
    if (!connected_) {
        decoded_ = service_.confirmed;
        new_from_ = service_.wal_end;
        connected_ = true;
        events.emplace_back(primary::DecodingBegins{decoded_});
    }
    size_t room = 1 + faults_.chance().below(6);
    for (const Service::Transaction& transaction : service_.log) {
        if (transaction.end <= decoded_) {
            continue;
        }
        if (room-- == 0) {
            if (faults_.sabotage == Sabotage::EarlyDecoding) {
                events.emplace_back(primary::DecodedThrough{service_.wal_end});
            }
            return events;
        }
        decode(transaction, events);
    }
    decoded_ = std::max(decoded_, service_.wal_end);
    events.emplace_back(primary::DecodedThrough{decoded_});
    return events;
}

/// Large ones may be handed out before their commit is decoded, and be broken off then by another.
void SimulatedDatabaseCapture::decode(const Service::Transaction& transaction,
                                      std::vector<primary::DatabaseEvent>& events) {
    const bool certain = decoded_ >= new_from_;
    const auto later =
        std::find_if(service_.log.begin(), service_.log.end(), [&](const auto& other) {
            return other.commit > transaction.commit && other.changes.size() > 2;
        });
    if (certain && later != service_.log.end() && faults_.chance().one_in(4)) {
        hand_out(*later, decoded_, 3, 1 + faults_.chance().below(2), events);
    }
    const size_t parts = transaction.changes.size() > 2 ? 1 + faults_.chance().below(3) : 1;
    const bool ahead = certain && parts > 1 && faults_.chance().one_in(2);
    hand_out(transaction, ahead ? decoded_ : transaction.commit, parts, parts, events);
    decoded_ = transaction.end;
}

/// The first `count` of its `parts`.
void SimulatedDatabaseCapture::hand_out(const Service::Transaction& transaction, Lsn place,
                                        size_t parts, size_t count,
                                        std::vector<primary::DatabaseEvent>& events) const {
    for (size_t part = 0; part < count; ++part) {
        std::vector<RowChange> share;
        for (size_t i = part; i < transaction.changes.size(); i += parts) {
            share.push_back(transaction.changes[i]);
        }
        primary::CapturedTransaction captured;
        v1::Transaction& sent = captured.transaction;
        sent.set_commit_lsn(place.value);
        sent.set_after_lsn(decoded_.value);
        sent.set_part(static_cast<uint32_t>(part));
        sent.set_last(part + 1 == parts);
        sent.set_end_lsn(sent.last() ? transaction.end.value : 0);
        sent.set_changes(encode(share));
        sent.set_change_count(share.size());
        events.emplace_back(std::move(captured));
    }
}

}  // namespace antipode::simulation
