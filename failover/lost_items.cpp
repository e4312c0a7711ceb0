#include "failover/lost_items.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.hpp"
#include "base/files.hpp"
#include "base/limits.hpp"
#include "primary/repositories/capture.hpp"
#include "protocol/inventory_reader.hpp"
#include "protocol/message.hpp"
#include "verify/refs.hpp"

namespace antipode::failover {
namespace {

constexpr size_t batch = 1000;
/// So many are tried again one by one; more are no matter of single items.
constexpr size_t most_unreadable = 10'000;

/// The content of one item cannot be read now. Everything else that goes wrong is an Error.
struct Unreadable {
    std::string reason;
};

/// Calls `read`, which reads the content of an item and does nothing else.
template <typename Read>
auto read_content(const Read& read) try {
    return read();
} catch (const Error& error) {
    if (error.reaction() != Reaction::Retry) {
        throw;
    }
    throw Unreadable{error.what()};
}

/// It is what it was when it was kept, or given up.
bool is_same(primary::ItemCapture& capture, const primary::Inventory& here, const std::string& item,
             const std::stop_token& stop) {
    const auto known = here.find(capture.store(), item);
    const bool given_up = known && is_unreadable(*known);
    try {
        // Its times may be too young to prove that it has not changed.
        const auto reading = read_content([&] { return capture.read(item, given_up, stop); });
        return !given_up && (!reading || (known && known->digest == reading->published.digest));
    } catch (const Unreadable&) {
        return given_up;
    }
}

[[noreturn]] void nothing_kept(const StoreId& store) {
    throw Error(Reaction::Stop,
                "the new primary does not know any more what it had of " + store.to_string() +
                    " when it was promoted",
                "keep a copy of what you need and empty this site (docs/runbooks/old-primary.md)");
}

std::string shown(const std::string& oid, const std::string& target) {
    return oid.empty() ? target : to_hex(oid);
}

}  // namespace

void CutSource::for_each(const StoreId& store,
                         const std::function<void(const std::string&, const Digest&)>& use) {
    protocol::InventoryReader reader(use);
    const auto answer = primary_.get(
        {store.to_string() + "/cut", {}}, 0, {},
        [&](std::string_view bytes) { reader.feed(bytes); }, stop_);
    if (!answer.found) {
        nothing_kept(store);
    }
    reader.finish();
}

std::string CutSource::state(const StoreId& store, const std::string& item) {
    std::string state;
    const auto answer = primary_.get(
        {store.to_string() + "/cut-state", {{"item", to_hex(item)}}}, 0, {},
        [&](std::string_view bytes) { state += bytes; }, stop_);
    if (!answer.found) {
        nothing_kept(store);
    }
    return state;
}

void LostItems::begin(const primary::Inventory& published) {
    std::vector<primary::Inventory::Record> records;
    const auto write = [&] {
        here_.record(records);
        records.clear();
    };
    cut_.for_each(store(), [&](const std::string& item, const Digest& digest) {
        const auto known = published.find(store(), item);
        const bool same = known && known->digest == digest;
        // Without a state it is read, whatever it looks like.
        records.push_back(
            {store(), item, same ? *known : primary::Published{{}, digest}, Position{}});
        if (records.size() >= batch) {
            write();
        }
    });
    write();
}

primary::Noticed LostItems::compare(const std::stop_token& stop) {
    primary::Noticed noticed = capture_.reconcile(stop);
    if (!noticed.complete || noticed.emptied) {
        throw Error(Reaction::Retry,
                    "a part of " + store().to_string() +
                        " cannot be looked at, or all of it is "
                        "gone",
                    "see that its root is mounted and can be read");
    }
    return noticed;
}

void LostItems::run(Quarantine& quarantine, const std::stop_token& stop) {
    const primary::Noticed noticed = compare(stop);
    for (const std::string& item : noticed.changed) {
        try_item(item, quarantine, stop);
    }
    for (const auto* gone : {&noticed.removed, &noticed.moved}) {
        for (const std::string& item : *gone) {
            removed(item, quarantine);
        }
    }
}

void LostItems::retry(Quarantine& quarantine, const std::stop_token& stop) {
    for (const auto& [item, reason] : std::exchange(unreadable_, {})) {
        try_item(item, quarantine, stop);
    }
}

void LostItems::give_up(Quarantine& quarantine, const std::stop_token& stop) {
    if (unreadable_.empty()) {
        return;
    }
    // Where the whole store is away, single items are not what is wrong.
    compare(stop);
    for (const auto& [item, reason] : std::exchange(unreadable_, {})) {
        Loss loss;
        loss.kind = Loss::Kind::Unreadable;
        loss.store = store();
        loss.item = item;
        loss.reason = reason;
        quarantine.add(loss);
        record(item, {{}, {unreadable_algorithm, "?"}});
    }
}

void LostItems::try_item(const std::string& item, Quarantine& quarantine,
                         const std::stop_token& stop) {
    if (stop.stop_requested()) {
        throw Stopped{};
    }
    try {
        look_at(item, quarantine, stop);
    } catch (const Unreadable& why) {
        unreadable_[item] = why.reason;
        if (unreadable_.size() > most_unreadable) {
            throw Error(Reaction::Retry,
                        "more than " + std::to_string(most_unreadable) + " items of " +
                            store().to_string() + " cannot be read: " + why.reason,
                        "see that its root is mounted and can be read; check the disk");
        }
    }
}

std::optional<primary::Reading> LostItems::capture(const std::string& item,
                                                   const std::stop_token& stop) {
    // Whole, so that a file which was moved is not only said to be a copy.
    const bool whole = store().kind == StoreKind::Blobs;
    auto reading = read_content([&] { return capture_.read(item, whole, stop); });
    if (reading && reading->payload.ref_update().has_base()) {
        // A bundle is one pack, which is what a second look gives.
        reading = read_content([&] { return capture_.read(item, true, stop); });
    }
    return reading;
}

void LostItems::look_at(const std::string& item, Quarantine& quarantine,
                        const std::stop_token& stop) {
    learn_refs(item);
    const auto reading = capture(item, stop);
    if (!reading) {
        return;
    }
    if (protocol::is_removal(reading->payload)) {
        return removed(item, quarantine);
    }
    const auto before = here_.find(store(), item);
    if (!before || before->digest != reading->published.digest) {
        keep(item, reading->payload, quarantine);
    }
    record(item, reading->published);
}

/// With the refs of the cut a reading says which of them have moved since, and packs only what they
/// lead to.
void LostItems::learn_refs(const std::string& item) {
    const auto before = here_.find(store(), item);
    if (store().kind == StoreKind::Repositories && before && before->forgotten()) {
        primary::RepositoryState state = primary::decode_state(cut_.state(store(), item));
        state.fingerprint.clear();  // the other site's
        record(item, {primary::encode_state(state), before->digest});
    }
}

void LostItems::removed(const std::string& item, Quarantine& quarantine) {
    const auto before = here_.find(store(), item);
    if (before && !before->removed()) {
        Loss loss;
        loss.kind = Loss::Kind::Undone;
        loss.store = store();
        loss.item = item;
        loss.reason = "its removal never came to the new primary: it comes back";
        quarantine.add(loss);
    }
    record(item, {});
}

void LostItems::keep(const std::string& item, const v1::Payload& payload, Quarantine& quarantine) {
    Loss loss;
    loss.kind = Loss::Kind::Quarantined;
    loss.store = store();
    loss.item = item;
    loss.reason = "it never came to the new primary";
    if (payload.has_ref_update()) {
        keep_repository(item, payload.ref_update(), loss, quarantine);
    } else {
        keep_file(payload.blob_put(), loss, quarantine);
    }
    quarantine.add(loss);
}

void LostItems::keep_file(const v1::BlobPut& put, Loss& loss, const Quarantine& quarantine) {
    loss.kept = kept_path(store(), put.path());
    if (names_directory(put.path())) {
        return quarantine.create_directory(loss.kept);
    }
    quarantine.keep(loss.kept, put.content().size(), [&](std::ostream& file) {
        read(put.content(), [&](std::string_view bytes) {
            file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        });
    });
}

void LostItems::keep_repository(const std::string& item, const v1::RefUpdate& update, Loss& loss,
                                const Quarantine& quarantine) {
    std::set<std::string> needed;
    if (const auto before = here_.find(store(), item);
        !update.full() && before && !before->state.empty()) {
        for (const auto& [name, value] : primary::decode_state(before->state).refs.refs) {
            if (!value.oid.empty()) {
                needed.insert(value.oid);
            }
        }
    }
    for (const v1::Ref& ref : update.refs()) {
        loss.refs[ref.name()] = {shown(ref.old_oid(), ref.old_target()),
                                 shown(ref.new_oid(), ref.new_target())};
    }
    if (!update.has_pack()) {
        return;  // what the refs lead to is on both sites
    }
    loss.kept = kept_path(store(), item);
    quarantine.keep(loss.kept, update.pack().size(), [&](std::ostream& file) {
        write_bundle(file, update, {needed.begin(), needed.end()},
                     [&](const auto& use) { read(update.pack(), use); });
    });
}

void LostItems::read(const v1::Content& content, const std::function<void(std::string_view)>& use) {
    if (content.pull().empty()) {
        return use(content.inline_());
    }
    const auto body = read_content([&] {
        return content_.open({store().to_string() + "/content", {{"ref", to_hex(content.pull())}}});
    });
    if (!body) {
        throw Unreadable{"it changes while it is kept"};
    }
    std::vector<char> buffer(limits::mib);
    Sha256Stream hash;
    uint64_t size = 0;
    while (const size_t count = read_content([&] { return body->read(buffer); })) {
        const std::string_view bytes(buffer.data(), count);
        hash.update(bytes);
        size += count;
        use(bytes);
    }
    if (size != content.size() || view(hash.finish()) != content.sha256()) {
        throw Unreadable{"it changes while it is kept"};
    }
}

void LostItems::record(const std::string& item, const primary::Published& published) {
    const primary::Inventory::Record record{store(), item, published, Position{}};
    here_.record({&record, 1});
}

bool is_kept(primary::ItemCapture& capture, const primary::Inventory& here,
             const std::stop_token& stop) {
    const primary::Noticed noticed = capture.reconcile(stop);
    if (!noticed.complete || !noticed.removed.empty() || !noticed.moved.empty()) {
        return false;
    }
    return std::all_of(noticed.changed.begin(), noticed.changed.end(),
                       [&](const std::string& item) { return is_same(capture, here, item, stop); });
}

}  // namespace antipode::failover
