#include "failover/epoch.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <unistd.h>

#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::failover {
namespace {

const std::string key = "epoch";

[[noreturn]] void fail(const std::filesystem::path& file, const char* doing) {
    throw Error(Reaction::Retry,
                std::string(doing) + " " + file.string() + ": " + std::strerror(errno),
                "check free space and permissions of the state directory");
}

void sync_path(const std::filesystem::path& path) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail(path, "opening");
    }
    const int result = fsync(fd);
    close(fd);
    if (result != 0) {
        fail(path, "syncing");
    }
}

v1::EpochRecord decode(const std::string& bytes, const std::string& where) {
    v1::EpochRecord record;
    if (!record.ParseFromString(bytes) || record.epoch() == 0 || record.primary().empty()) {
        throw Error(Reaction::Stop, "the epoch record in " + where + " is damaged",
                    "antipode sites show on another site, and restore it from there");
    }
    return record;
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

std::optional<Epoch> create_epoch(KeyValue& bucket, const std::string& cluster,
                                  const std::string& primary, const std::string& written_by,
                                  TimePoint now) {
    v1::EpochRecord record;
    record.set_cluster(cluster);
    record.set_epoch(1);
    record.set_primary(primary);
    record.set_state("serving");
    record.set_written_by(written_by);
    record.set_written_at_us(to_microseconds(now));
    record.set_operation_id("init-" + std::to_string(to_microseconds(now)));
    const auto revision = bucket.update(key, record.SerializeAsString(), 0);
    return revision ? std::optional(Epoch{record, *revision}) : std::nullopt;
}

bool adopt_epoch(KeyValue& own, const std::string& cluster, const v1::EpochRecord& seen) {
    const auto known = read_epoch(own, cluster);
    if (known && known->record.epoch() >= seen.epoch()) {
        return false;
    }
    return own.update(key, seen.SerializeAsString(), known ? known->revision : 0).has_value();
}

std::optional<v1::EpochRecord> EpochJournal::last() const {
    std::ifstream stream(file_, std::ios::binary);
    if (!stream) {
        return std::nullopt;
    }
    std::ostringstream bytes;
    bytes << stream.rdbuf();
    return decode(bytes.str(), file_.string());
}

void EpochJournal::note(const v1::EpochRecord& record) {
    const auto known = last();
    if (known && known->epoch() >= record.epoch()) {
        return;
    }
    const std::filesystem::path temporary = file_.string() + ".new";
    std::ofstream stream(temporary, std::ios::binary | std::ios::trunc);
    stream << record.SerializeAsString();
    stream.close();
    if (!stream) {
        fail(temporary, "writing");
    }
    sync_path(temporary);
    std::filesystem::rename(temporary, file_);
    sync_path(file_.parent_path());
}

}  // namespace antipode::failover
