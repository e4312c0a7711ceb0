#include "failover/epoch.hpp"

#include <algorithm>
#include <tuple>

#include "base/error.hpp"
#include "failover/durable.hpp"

namespace antipode::failover {
namespace {

const std::string key = "epoch";
constexpr int epochs_remembered = 16;

v1::EpochRecord decode(const std::string& bytes, const std::string& where) {
    v1::EpochRecord record;
    if (!record.ParseFromString(bytes) || record.epoch() == 0 || record.primary().empty()) {
        throw Error(Reaction::Stop, "the epoch record in " + where + " is damaged",
                    "antipode sites show on another site, and restore it from there");
    }
    return record;
}

bool are_equal(const google::protobuf::RepeatedPtrField<v1::LaneCut>& some,
               const google::protobuf::RepeatedPtrField<v1::LaneCut>& others) {
    return std::equal(some.begin(), some.end(), others.begin(), others.end(),
                      [](const v1::LaneCut& one, const v1::LaneCut& other) {
                          return one.SerializeAsString() == other.SerializeAsString();
                      });
}

}  // namespace

std::optional<Epoch> read_epoch(KeyValue& bucket, const std::string& cluster) {
    const auto entry = bucket.get(key);
    if (!entry) {
        return std::nullopt;
    }
    Epoch epoch{decode(entry->value, "the key-value store"), entry->revision};
    if (epoch.record.cluster() != cluster) {
        throw Error(Reaction::Stop,
                    "the epoch record belongs to cluster \"" + epoch.record.cluster() +
                        "\", this site to \"" + cluster + "\"",
                    "set cluster in the configuration, or use another nats-server");
    }
    return epoch;
}

void listen_to_epoch(KeyValue& bucket, std::function<void()> changed) {
    bucket.listen(key, std::move(changed));
}

std::optional<Epoch> create_epoch(KeyValue& bucket, const std::string& cluster,
                                  const std::string& primary, const std::string& written_by,
                                  TimePoint now) {
    v1::EpochRecord record;
    record.set_cluster(cluster);
    record.set_epoch(1);
    record.set_primary(primary);
    record.set_state(record_state::serving);
    record.set_written_by(written_by);
    record.set_written_at_us(to_microseconds(now));
    record.set_operation_id("init-" + std::to_string(to_microseconds(now)));
    const auto revision = bucket.update(key, record.SerializeAsString(), 0);
    return revision ? std::optional(Epoch{record, *revision}) : std::nullopt;
}

bool is_later(const v1::EpochRecord& one, const v1::EpochRecord& other) {
    return std::tuple(one.epoch(), one.sequence()) > std::tuple(other.epoch(), other.sequence());
}

bool was_asked_first(const v1::EpochRecord& one, const v1::EpochRecord& other) {
    return std::tie(one.operation_id(), one.target()) <
           std::tie(other.operation_id(), other.target());
}

Sha256 hash_of(const v1::EpochRecord& record) {
    return sha256(record.SerializeAsString());
}

v1::EpochRecord successor(const v1::EpochRecord& before, const std::string& written_by,
                          TimePoint now) {
    v1::EpochRecord record = before;
    record.set_previous_hash(std::string(view(hash_of(before))));
    record.set_sequence(before.sequence() + 1);
    record.set_written_by(written_by);
    record.set_written_at_us(to_microseconds(now));
    return record;
}

void begin_epoch(v1::EpochRecord& record, uint64_t epoch, const std::string& primary,
                 const google::protobuf::RepeatedPtrField<v1::LaneCut>& cuts,
                 const std::string& from) {
    v1::EpochStart start;
    start.set_epoch(epoch);
    start.set_primary(primary);
    start.set_from(from.empty() ? record.primary() : from);
    *start.mutable_cuts() = cuts;
    start.set_fenced_by(record.fenced_by());
    record.set_state(record_state::opening);
    record.set_epoch(epoch);
    record.set_primary(primary);
    record.clear_target();
    record.clear_problem();
    record.clear_accepted_loss();
    *record.mutable_cuts() = start.cuts();
    record.clear_starts();
    *record.add_begun() = std::move(start);
    if (record.begun_size() > epochs_remembered) {
        record.mutable_begun()->DeleteSubrange(0, record.begun_size() - epochs_remembered);
    }
}

const v1::EpochStart* start_of(const v1::EpochRecord& record, uint64_t epoch) {
    for (const v1::EpochStart& start : record.begun()) {
        if (start.epoch() == epoch) {
            return &start;
        }
    }
    return nullptr;
}

std::optional<v1::EpochStart> end_of(const v1::EpochRecord& record, uint64_t epoch) {
    const v1::EpochStart* const first = start_of(record, epoch + 1);
    if (first == nullptr) {
        return std::nullopt;
    }
    v1::EpochStart end = *first;
    const uint64_t newest = newest_epoch(first->cuts());
    const v1::EpochStart* next = newest <= epoch ? start_of(record, epoch + 2) : nullptr;
    while (next != nullptr && newest_epoch(next->cuts()) == newest) {
        const bool as_first = are_equal(next->cuts(), first->cuts());
        end = *next;
        if (as_first) {
            end.set_from(first->from());
            end.set_fenced_by(first->fenced_by());
        }
        next = start_of(record, end.epoch() + 1);
    }
    return end;
}

uint64_t newest_epoch(const google::protobuf::RepeatedPtrField<v1::LaneCut>& cuts) {
    uint64_t newest = 0;
    for (const v1::LaneCut& cut : cuts) {
        newest = std::max<uint64_t>(newest, cut.epoch());
    }
    return newest;
}

v1::EpochRecord as_begun(v1::EpochRecord record) {
    if (const v1::EpochStart* const start = start_of(record, record.epoch())) {
        if (!are_equal(record.cuts(), start->cuts())) {
            record.clear_operation_id();
        }
        record.set_fenced_by(start->fenced_by());
        *record.mutable_cuts() = start->cuts();
    }
    return record;
}

std::optional<Epoch> change_epoch(KeyValue& bucket, const Epoch& seen,
                                  const v1::EpochRecord& record) {
    const auto revision = bucket.update(key, record.SerializeAsString(), seen.revision);
    return revision ? std::optional(Epoch{record, *revision}) : std::nullopt;
}

bool adopt_epoch(KeyValue& own, const std::string& cluster, const v1::EpochRecord& seen) {
    const auto known = read_epoch(own, cluster);
    if (known && !is_later(seen, known->record)) {
        return false;
    }
    return own.update(key, seen.SerializeAsString(), known ? known->revision : 0).has_value();
}

std::optional<v1::EpochRecord> EpochJournal::last() const {
    const auto bytes = read_whole(file_);
    return bytes ? std::optional(decode(*bytes, file_.string())) : std::nullopt;
}

void EpochJournal::note(const v1::EpochRecord& record) {
    const auto known = last();
    if (known && !is_later(record, *known)) {
        return;
    }
    replace_durably(file_, record.SerializeAsString());
}

}  // namespace antipode::failover
