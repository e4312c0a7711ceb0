#include "failover/epoch.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "tests/support/memory_bucket.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::failover {
namespace {

const TimePoint now = from_microseconds(1);

TEST(Epoch, IsCreatedOnce) {
    test::MemoryBucket::Server server;
    test::MemoryBucket bucket(server);
    EXPECT_FALSE(read_epoch(bucket, "demo"));
    EXPECT_TRUE(create_epoch(bucket, "demo", "london", "cli", now));
    EXPECT_FALSE(create_epoch(bucket, "demo", "sydney", "cli", now));
    EXPECT_EQ(read_epoch(bucket, "demo")->record.primary(), "london");
    EXPECT_EQ(read_epoch(bucket, "demo")->record.epoch(), 1U);
}

TEST(Epoch, OfAnotherClusterIsRefused) {
    test::MemoryBucket::Server server;
    test::MemoryBucket bucket(server);
    create_epoch(bucket, "demo", "london", "cli", now);
    EXPECT_THROW(read_epoch(bucket, "other"), Error);
    bucket.put("epoch", "garbage");
    EXPECT_THROW(read_epoch(bucket, "demo"), Error);
}

TEST(Epoch, OnlyALaterOneIsAdopted) {
    test::MemoryBucket::Server london_server;
    test::MemoryBucket::Server sydney_server;
    test::MemoryBucket london(london_server);
    test::MemoryBucket sydney(sydney_server);
    v1::EpochRecord record = create_epoch(london, "demo", "london", "cli", now)->record;
    EXPECT_TRUE(adopt_epoch(sydney, "demo", record));
    EXPECT_FALSE(adopt_epoch(sydney, "demo", record));
    record.set_epoch(2);
    record.set_primary("sydney");
    EXPECT_TRUE(adopt_epoch(london, "demo", record));
    EXPECT_EQ(read_epoch(london, "demo")->record.primary(), "sydney");
}

TEST(Epoch, ChangesAreChainedAndOnlyOneOfTwoWins) {
    test::MemoryBucket::Server server;
    test::MemoryBucket bucket(server);
    const Epoch first = *create_epoch(bucket, "demo", "london", "cli", now);
    v1::EpochRecord one = successor(first.record, "one", now);
    one.set_state(record_state::switchover);
    const v1::EpochRecord two = successor(first.record, "two", now);
    const auto won = change_epoch(bucket, first, one);
    ASSERT_TRUE(won);
    EXPECT_FALSE(change_epoch(bucket, first, two));
    const Epoch read = *read_epoch(bucket, "demo");
    EXPECT_EQ(read.record.written_by(), "one");
    EXPECT_EQ(read.record.previous_hash(), view(hash_of(first.record)));
    EXPECT_TRUE(is_later(read.record, first.record));
    EXPECT_EQ(read.revision, won->revision);
}

TEST(Epoch, ALaterRecordOfTheSameEpochIsAdopted) {
    test::MemoryBucket::Server london_server;
    test::MemoryBucket::Server sydney_server;
    test::MemoryBucket london(london_server);
    test::MemoryBucket sydney(sydney_server);
    const v1::EpochRecord first = create_epoch(london, "demo", "london", "cli", now)->record;
    adopt_epoch(sydney, "demo", first);
    EXPECT_TRUE(adopt_epoch(sydney, "demo", successor(first, "cli", now)));
    EXPECT_FALSE(adopt_epoch(sydney, "demo", first));
    EXPECT_EQ(read_epoch(sydney, "demo")->record.sequence(), 1U);
}

TEST(Epoch, RemembersWhereTheOnesBeforeHaveEnded) {
    v1::EpochRecord record;
    record.set_epoch(1);
    record.set_primary("london");
    const std::vector<std::string> primaries = {"sydney", "tokyo"};
    for (uint64_t epoch = 2; epoch < 22; ++epoch) {
        google::protobuf::RepeatedPtrField<v1::LaneCut> cuts;
        cuts.Add()->set_number(epoch * 10);
        record.set_fenced_by(epoch == 21 ? "power is off" : "");
        begin_epoch(record, epoch, primaries[epoch % 2], cuts);
        EXPECT_EQ(record.cuts(0).number(), epoch * 10);
    }
    // Whatever else is asked for in the newest one.
    record.clear_cuts();
    record.clear_fenced_by();
    const v1::EpochStart* const newest = start_of(record, 21);
    ASSERT_NE(newest, nullptr);
    EXPECT_EQ(newest->cuts(0).number(), 210U);
    EXPECT_EQ(newest->primary(), "tokyo");
    EXPECT_EQ(newest->from(), "sydney");
    EXPECT_EQ(newest->fenced_by(), "power is off");
    ASSERT_NE(start_of(record, 6), nullptr);
    EXPECT_EQ(start_of(record, 6)->fenced_by(), "");
    EXPECT_EQ(start_of(record, 5), nullptr) << "a record must not grow for ever";
    EXPECT_EQ(start_of(record, 22), nullptr);
}

TEST(Epoch, OfWhichNothingWasTakenOverIsPassedOver) {
    v1::EpochRecord record;
    record.set_epoch(1);
    record.set_primary("london");
    const auto begin = [&](const std::string& primary, const std::vector<uint64_t>& epochs) {
        google::protobuf::RepeatedPtrField<v1::LaneCut> cuts;
        for (const uint64_t epoch : epochs) {
            cuts.Add()->set_epoch(epoch);
        }
        begin_epoch(record, record.epoch() + 1, primary, cuts);
    };
    begin("sydney", {1, 1});
    EXPECT_EQ(end_of(record, 1)->epoch(), 2U);
    record.set_fenced_by("sydney is off");
    begin("london", {1, 1});  // sydney was lost before it wrote anything
    EXPECT_EQ(end_of(record, 1)->fenced_by(), "") << "as it was handed over before";
    EXPECT_EQ(end_of(record, 2)->fenced_by(), "sydney is off");
    EXPECT_EQ(end_of(record, 1)->epoch(), 3U);
    EXPECT_EQ(end_of(record, 2)->epoch(), 3U);
    begin("tokyo", {3, 1});
    EXPECT_EQ(end_of(record, 1)->epoch(), 3U) << "epoch 3 was written in";
    EXPECT_EQ(end_of(record, 3)->epoch(), 4U);
    EXPECT_FALSE(end_of(record, 4));
    begin("sydney", {0, 0});
    EXPECT_EQ(end_of(record, 3)->epoch(), 4U) << "no place at all is no place to join at";
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
