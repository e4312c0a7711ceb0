#include "failover/epoch.hpp"

#include <map>

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::failover {
namespace {

/// A bucket in memory with JetStream's compare-and-set rules.
class MemoryBucket final : public KeyValue {
  public:
    std::optional<Entry> get(const std::string& key) override {
        const auto found = entries_.find(key);
        return found == entries_.end() ? std::nullopt : std::optional(found->second);
    }
    std::vector<std::string> keys() override { return {}; }
    void put(const std::string& key, const std::string& value) override {
        entries_[key] = {value, ++revision_};
    }
    std::optional<uint64_t> update(const std::string& key, const std::string& value,
                                   uint64_t revision) override {
        const auto known = get(key);
        if ((known ? known->revision : 0) != revision) {
            return std::nullopt;
        }
        put(key, value);
        return revision_;
    }
    void remove(const std::string& key) override { entries_.erase(key); }

  private:
    std::map<std::string, Entry> entries_;
    uint64_t revision_ = 0;
};

const TimePoint now = from_microseconds(1);

TEST(Epoch, IsCreatedOnce) {
    MemoryBucket bucket;
    EXPECT_FALSE(read_epoch(bucket, "demo"));
    EXPECT_TRUE(create_epoch(bucket, "demo", "london", "cli", now));
    EXPECT_FALSE(create_epoch(bucket, "demo", "sydney", "cli", now));
    EXPECT_EQ(read_epoch(bucket, "demo")->record.primary(), "london");
    EXPECT_EQ(read_epoch(bucket, "demo")->record.epoch(), 1U);
}

TEST(Epoch, OfAnotherClusterIsRefused) {
    MemoryBucket bucket;
    create_epoch(bucket, "demo", "london", "cli", now);
    EXPECT_THROW(read_epoch(bucket, "other"), Error);
    bucket.put("epoch", "garbage");
    EXPECT_THROW(read_epoch(bucket, "demo"), Error);
}

TEST(Epoch, OnlyALaterOneIsAdopted) {
    MemoryBucket london;
    MemoryBucket sydney;
    v1::EpochRecord record = create_epoch(london, "demo", "london", "cli", now)->record;
    EXPECT_TRUE(adopt_epoch(sydney, "demo", record));
    EXPECT_FALSE(adopt_epoch(sydney, "demo", record));
    record.set_epoch(2);
    record.set_primary("sydney");
    EXPECT_TRUE(adopt_epoch(london, "demo", record));
    EXPECT_EQ(read_epoch(london, "demo")->record.primary(), "sydney");
}

TEST(EpochJournal, NeverGoesBack) {
    const test::TemporaryDirectory directory;
    EpochJournal journal(directory / "epoch");
    EXPECT_FALSE(journal.last());
    v1::EpochRecord record;
    record.set_primary("sydney");
    record.set_epoch(3);
    journal.note(record);
    record.set_epoch(2);
    journal.note(record);
    EXPECT_EQ(EpochJournal(directory / "epoch").last()->epoch(), 3U);
    test::write_file(directory / "epoch", "garbage");
    EXPECT_THROW(journal.last(), Error);
}

}  // namespace
}  // namespace antipode::failover
