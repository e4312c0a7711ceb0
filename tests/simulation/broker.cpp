#include "tests/simulation/broker.hpp"

#include <algorithm>

#include "protocol/message.hpp"
#include "tests/simulation/service.hpp"

namespace antipode::simulation {
namespace {

std::vector<std::string> versions_in(const v1::Payload& payload) {
    std::vector<std::string> versions;
    if (payload.has_blob_put()) {
        versions.push_back(version_of_blob(payload.blob_put().content().sha256()));
    } else if (payload.has_ref_update()) {
        const v1::Content& pack = payload.ref_update().pack();
        // A pack that is pulled and cannot be had any more becomes an exception.
        for (const Commit& commit : decode_commits(pack.inline_())) {
            versions.push_back(commit.id);
        }
    }
    return versions;
}

std::optional<Broker::Part> part_in(const protocol::Event& event) {
    if (!event.payload.has_transaction()) {
        return std::nullopt;
    }
    const v1::Transaction& part = event.payload.transaction();
    return Broker::Part{event.position.session, part.commit_lsn(), part.part(), part.end_lsn()};
}

std::string words_of(const protocol::Event& event) {
    const v1::Payload& payload = event.payload;
    std::string words = event.position.to_string() + " " + protocol::kind_of(payload);
    if (const std::string* item = protocol::item_of(payload)) {
        const v1::Fulfils& fulfils = *protocol::fulfils(payload);
        words += " " + *item + " [" + std::to_string(fulfils.first()) + "," +
                 std::to_string(fulfils.through()) + "]";
    }
    for (const std::string& item : payload.announcement().items()) {
        words += (payload.announcement().removals() ? " gone " : " ") + item;
    }
    if (payload.has_transaction()) {
        words += " " + std::to_string(payload.transaction().commit_lsn()) + " part " +
                 std::to_string(payload.transaction().part());
    }
    return words;
}

}  // namespace

std::string version_of_blob(const std::string& sha256) {
    return "blob " + to_hex(sha256);
}

Broker::Broker(std::string name, Faults& faults) : name_(std::move(name)), faults_(faults) {
    stream.before = [this](const std::string& operation) {
        learn();
        faults_.call(operation + " at the " + name_ + " broker");
    };
    stream.fail_append = [this](size_t messages) -> std::optional<size_t> {
        if (!faults_.happens(&Profile::append)) {
            return std::nullopt;
        }
        const size_t stored = faults_.chance().below(messages + 1);
        faults_.journal().note("append of " + std::to_string(messages) + " at the " + name_ +
                               " broker fails behind " + std::to_string(stored));
        return stored;
    };
    stream.cut_read = [this](size_t messages) {
        return faults_.chance().one_in(2) ? messages : faults_.chance().below(messages + 1);
    };
}

void Broker::learn() {
    const auto& messages = stream.messages();
    for (auto next = messages.upper_bound(learned_); next != messages.end(); ++next) {
        const auto& [sequence, bytes] = *next;
        learned_ = sequence;
        auto opened = protocol::open(bytes, cluster, epoch);
        const auto* message = std::get_if<protocol::Message>(&opened);
        if (message == nullptr || strays_.contains(sequence)) {
            continue;
        }
        Carried carried{message->position(), {}, {}};
        protocol::Assembler assembler;
        const auto added = assembler.add(*message);
        for (const auto& event : std::get<std::vector<protocol::Event>>(added)) {
            carried.part = part_in(event);
            held_ = std::max(held_, Lsn{carried.part ? carried.part->end : 0});
            const auto versions = versions_in(event.payload);
            carried.versions.insert(carried.versions.end(), versions.begin(), versions.end());
            faults_.journal().note(name_ + " broker holds " + std::to_string(sequence) + ": " +
                                   words_of(event));
        }
        for (const std::string& version : carried.versions) {
            ++versions_[version];
        }
        carried_[sequence] = std::move(carried);
    }
}

void Broker::forget(uint64_t sequence) {
    strays_.erase(sequence);
    const auto found = carried_.find(sequence);
    if (found == carried_.end()) {
        return;
    }
    for (const std::string& version : found->second.versions) {
        if (--versions_[version] == 0) {
            versions_.erase(version);
        }
    }
    carried_.erase(found);
}

void Broker::lose_tail(uint64_t count) {
    learn();
    stream.lose_tail(count);
    learned_ = std::min(learned_, stream.last());
    strays_.erase(strays_.upper_bound(stream.last()), strays_.end());
    while (!carried_.empty() && carried_.rbegin()->first > stream.last()) {
        forget(carried_.rbegin()->first);
    }
}

void Broker::make_anew() {
    learn();
    stream.make_anew();
    learned_ = 0;
    strays_.clear();
    while (!carried_.empty()) {
        forget(carried_.begin()->first);
    }
}

void Broker::lose(uint64_t sequence) {
    learn();
    stream.lose(sequence);
    forget(sequence);
}

void Broker::repeat(uint64_t sequence) {
    const auto stored = stream.messages().find(sequence);
    if (stored != stream.messages().end()) {
        put_stray(std::string(stored->second));
    }
}

void Broker::put_off(uint64_t sequence) {
    const std::string bytes = stream.messages().at(sequence);
    lose(sequence);
    put_stray(bytes);
}

void Broker::put_stray(const std::string& bytes) {
    learn();
    stream.put(bytes);
    strays_.insert(stream.last());
}

void Broker::put_stale(const std::string& path, uint64_t session) {
    const std::string content = "0 of an earlier epoch";
    v1::Payload payload;
    v1::BlobPut& put = *payload.mutable_blob_put();
    put.set_path(path);
    put.mutable_content()->set_sha256(std::string(view(sha256(content))));
    put.mutable_content()->set_size(content.size());
    put.mutable_content()->set_inline_(content);
    protocol::Sealer sealer(cluster, epoch - 1, session, std::nullopt);
    for (const auto& sealed : sealer.seal(blobs_id, TimePoint{}, payload)) {
        put_stray(sealed.bytes);
    }
}

std::set<Broker::Part> Broker::parts(const Position& position,
                                     const std::function<bool(uint64_t)>& would_stay) {
    learn();
    std::set<Part> parts;
    for (const auto& [sequence, carried] : carried_) {
        if (carried.part && carried.position > position && would_stay(sequence)) {
            parts.insert(*carried.part);
        }
    }
    return parts;
}

std::set<uint64_t> Broker::whole(const std::set<Part>& parts) {
    std::set<uint64_t> ends;
    Part expected;
    for (const Part& part : parts) {
        const bool follows = part.session == expected.session && part.commit == expected.commit &&
                             part.number == expected.number;
        if (part.number != 0 && !follows) {
            continue;
        }
        if (part.end != 0) {
            ends.insert(part.end);
        }
        expected = {part.session, part.commit, part.number + 1, 0};
    }
    return ends;
}

Position Broker::newest(uint64_t sequence) {
    learn();
    const auto behind = carried_.upper_bound(sequence);
    return behind == carried_.begin() ? Position{} : std::prev(behind)->second.position;
}

bool Broker::carries(const std::string& version) {
    learn();
    return versions_.contains(version);
}

}  // namespace antipode::simulation
