#include "secondary/recovery.hpp"

#include <gtest/gtest.h>

namespace antipode::secondary {
namespace {

const StoreId database{StoreKind::Database, "app"};
const StoreId blobs{StoreKind::Blobs, "files"};

Position at(uint64_t number, uint64_t session = 1) {
    return {1, session, number};
}
TimePoint second(int64_t seconds) {
    return from_microseconds(seconds * 1'000'000);
}

class RecoveryTest : public testing::Test {
  protected:
    /// A marker at `position` that proves these seconds (0: unknown).
    void marker(const Position& position, int64_t database_second, int64_t blobs_second) {
        v1::Marker marker;
        const auto add = [&](const StoreId& store, int64_t proven) {
            v1::Marker::Lane& lane = *marker.add_lanes();
            lane.set_store(store.to_string());
            lane.set_captured_through_us(proven * 1'000'000);
            lane.set_last_commit_lsn(500);
            lane.set_decoded_through_lsn(decoded_);
            lane.set_open_from(position.number);
        };
        marker.set_clock_us(std::max(database_second, blobs_second) * 1'000'000);
        add(database, database_second);
        add(blobs, blobs_second);
        point_.add(marker, position, {position.epoch, position.session, position.number - 1},
                   TimePoint{});
    }
    void finished(const Position& of_database, const Position& of_blobs,
                  const std::optional<Position>& exception = std::nullopt) {
        point_.advance({{database, of_database}, {blobs, of_blobs}}, exception);
    }
    RecoveryPoint point_{{database, blobs}};
    uint64_t decoded_ = 500;
};

TEST_F(RecoveryTest, IsUnknownAtFirst) {
    EXPECT_FALSE(point_.value());
    finished(at(9), at(9));
    EXPECT_FALSE(point_.value());
}

TEST_F(RecoveryTest, IsTheLeastOfWhatIsProvenOnceAllLanesAreThere) {
    marker(at(10), 50, 40);
    finished(at(9), at(8));
    EXPECT_FALSE(point_.value());
    EXPECT_EQ(point_.lanes().at(database).applied_through, second(50));
    finished(at(9), at(9));
    EXPECT_EQ(point_.value(), second(40));
}

TEST_F(RecoveryTest, IsUnknownWhileALaneProvesNothing) {
    marker(at(10), 50, 0);
    finished(at(10), at(10));
    EXPECT_FALSE(point_.value());
    EXPECT_TRUE(point_.lanes().at(database).reached_commit);
    marker(at(20), 0, 60);
    finished(at(20), at(20));
    EXPECT_FALSE(point_.value());
    EXPECT_FALSE(point_.lanes().at(database).reached_commit)
        << "nobody knows yet what there is to reach";
}

TEST_F(RecoveryTest, KeepsWhatWasProvenOfALaneWhileNothingIs) {
    marker(at(10), 50, 40);
    marker(at(11, 2), 60, 0);
    EXPECT_FALSE(point_.lanes().at(blobs).captured_through);
    EXPECT_EQ(point_.lanes().at(blobs).proven_through, second(40));
    marker(at(12, 2), 60, 55);
    EXPECT_EQ(point_.lanes().at(blobs).proven_through, second(55));
}

TEST_F(RecoveryTest, RowsThatTheStreamDoesNotBringHoldItBack) {
    point_.applied(database, Lsn{499});
    marker(at(10), 50, 50);
    finished(at(10), at(10));
    EXPECT_FALSE(point_.value());
    EXPECT_EQ(point_.lanes().at(database).rows_missing_at, at(10));
    point_.applied(database, Lsn{500});
    finished(at(10), at(10));
    EXPECT_EQ(point_.value(), second(50));
    EXPECT_FALSE(point_.lanes().at(database).rows_missing_at);
}

TEST_F(RecoveryTest, AnExceptionHoldsItBack) {
    marker(at(10), 50, 50);
    marker(at(20), 60, 60);
    finished(at(20), at(20), at(15));
    EXPECT_EQ(point_.value(), second(50));
    marker(at(30), 70, 70);
    finished(at(30), at(30), Position{});
    EXPECT_EQ(point_.value(), second(50)) << "a gap holds everything";
    marker(at(40), 80, 80);
    finished(at(40), at(40));
    EXPECT_EQ(point_.value(), second(80));
}

TEST_F(RecoveryTest, NeverGoesBack) {
    point_.restore(second(90), at(15));
    marker(at(10), 50, 50);
    finished(at(10), at(10));
    EXPECT_EQ(point_.value(), second(90));
    point_.read_again();
    marker(at(20), 95, 95);
    finished(at(20), at(20));
    EXPECT_EQ(point_.value(), second(95));
}

TEST_F(RecoveryTest, GoesBackWithThePrimarysClockOnly) {
    marker(at(10), 90, 90);
    marker(at(20), 91, 91);
    finished(at(15), at(15));
    EXPECT_EQ(point_.value(), second(90));
    marker(at(30), 50, 50);
    EXPECT_FALSE(point_.value()) << "what is written until 90 is not here yet";
    finished(at(20), at(20));
    EXPECT_FALSE(point_.value()) << "nor until 91";
    finished(at(30), at(30));
    EXPECT_EQ(point_.value(), second(50));
    EXPECT_EQ(point_.proven_by(), at(30));
}

TEST_F(RecoveryTest, GoesBackAfterARestartToo) {
    point_.restore(second(90), at(15));
    marker(at(20), 50, 50);
    finished(at(20), at(20));
    EXPECT_EQ(point_.value(), second(50));
}

TEST_F(RecoveryTest, StaysTrueAndBoundedFarBehind) {
    for (uint64_t number = 1; number <= 25'000; ++number) {
        marker(at(2 * number), static_cast<int64_t>(number), static_cast<int64_t>(number));
    }
    finished(at(25'000), at(50'000));
    const auto value = point_.value();
    ASSERT_TRUE(value);
    EXPECT_LE(*value, second(12'500));
    EXPECT_GE(*value, second(12'490));
    EXPECT_EQ(point_.lanes().at(blobs).reached, at(50'000));
}

TEST_F(RecoveryTest, RowsThatWereCopiedSettleOnceWhatTheyNameIsThere) {
    point_.copied(database, Lsn{600});
    marker(at(10), 50, 50);
    finished(at(10), at(10));
    EXPECT_TRUE(point_.is_settling(database)) << "that was captured before they were read";
    decoded_ = 600;
    marker(at(20), 60, 55);
    finished(at(20), at(20));
    EXPECT_TRUE(point_.is_settling(database)) << "files are not captured up to that moment";
    marker(at(30), 65, 60);
    finished(at(30), at(28));
    EXPECT_TRUE(point_.is_settling(database)) << "files are captured, and not applied";
    finished(at(30), at(29));
    EXPECT_FALSE(point_.is_settling(database));
}

TEST_F(RecoveryTest, CopiedRowsDoNotSettleBesideAGapButBesideAnItemThatFailed) {
    point_.copied(database, Lsn{500});
    marker(at(10), 50, 50);
    finished(at(10), at(10), Position{});
    EXPECT_TRUE(point_.is_settling(database));
    marker(at(20), 60, 60);
    finished(at(20), at(20), at(5));
    EXPECT_FALSE(point_.is_settling(database));
}

TEST_F(RecoveryTest, CopiedRowsSettleAlsoWhereThePrimarysClockIsSetBack) {
    point_.copied(database, Lsn{500});
    marker(at(10), 5000, 4000);
    marker(at(20), 60, 60);
    finished(at(20), at(20));
    EXPECT_FALSE(point_.is_settling(database));
}

}  // namespace
}  // namespace antipode::secondary
