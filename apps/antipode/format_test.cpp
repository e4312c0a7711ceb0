#include "apps/antipode/format.hpp"

#include <gtest/gtest.h>

namespace antipode::cli {
namespace {

using namespace std::chrono_literals;

TEST(Format, HasNoNegativeZero) {
    using std::chrono::milliseconds;
    EXPECT_EQ(format_age(milliseconds(-400)), "0s");
    EXPECT_EQ(format_age(milliseconds(-5400)), "-5s");
    EXPECT_EQ(format_age(std::chrono::minutes(-2)), "-2m00s");
    EXPECT_EQ(format_duration(milliseconds(-40)), "0.0s");
    EXPECT_EQ(format_duration(milliseconds(-400)), "-0.4s");
}

TEST(Format, ShowsDurationsWithTheTwoLargestUnits) {
    EXPECT_EQ(format_duration(0s), "0.0s");
    EXPECT_EQ(format_duration(449ms), "0.4s");
    EXPECT_EQ(format_duration(9940ms), "9.9s");
    EXPECT_EQ(format_duration(9960ms), "10s");
    EXPECT_EQ(format_duration(59400ms), "59s");
    EXPECT_EQ(format_duration(59600ms), "1m00s");
    EXPECT_EQ(format_duration(503s), "8m23s");
    EXPECT_EQ(format_duration(3h + 5min), "3h05m");
    EXPECT_EQ(format_duration(52h), "2d04h");
    EXPECT_EQ(format_duration(-1500ms), "-1.5s");
}

TEST(Format, ShowsAgesInWholeSeconds) {
    EXPECT_EQ(format_age(1999ms), "1s");
    EXPECT_EQ(format_age(14min + 9s), "14m09s");
    EXPECT_EQ(format_age(-3s), "-3s");
}

TEST(Format, NeverShowsTheUnknownAsZero) {
    EXPECT_EQ(format_seconds(std::nullopt), "?");
    EXPECT_EQ(format_count(std::nullopt), "?");
    EXPECT_EQ(format_seconds(0.0), "0.0s");
    EXPECT_EQ(format_count(0), "0");
}

TEST(Format, RoundsNoShareUp) {
    EXPECT_EQ(format_share(99'999, 100'000), "99.99%");
    EXPECT_EQ(format_share(120, 121), "99.17%");
    EXPECT_EQ(format_share(5, 5), "100.00%");
    EXPECT_EQ(format_share(1, 1000), "0.10%");
    EXPECT_EQ(format_share(0, 3), "0.00%");
    EXPECT_EQ(format_share(0, 0), "-");
}

TEST(Format, ShowsBytesInPowersOfAThousand) {
    EXPECT_EQ(format_bytes(0), "0 B");
    EXPECT_EQ(format_bytes(640), "640 B");
    EXPECT_EQ(format_bytes(999), "999 B");
    EXPECT_EQ(format_bytes(1000), "1.0 kB");
    EXPECT_EQ(format_bytes(18'200), "18 kB");
    EXPECT_EQ(format_bytes(999'600), "1.0 MB");
    EXPECT_EQ(format_bytes(3'100'000'000), "3.1 GB");
    EXPECT_EQ(format_bytes(UINT64_MAX), "18 EB");
}

TEST(Format, ShowsTheDateOnlyOfAnotherDay) {
    const TimePoint now = from_microseconds(1'795'358'405'000'000);  // 2026-11-22T14:40:05Z
    EXPECT_EQ(format_time(now, now), "14:40:05Z");
    EXPECT_EQ(format_time(now - 23h, now), "15:40:05Z");
    EXPECT_EQ(format_time(now - 25h, now), "2026-11-21 13:40:05Z");
}

TEST(Table, LinesUpItsColumns) {
    Table table({{"NAME"}, {"SIZE", Table::Align::Right}, {"NOTE"}});
    table.add({"d\xC3\xA9j\xC3\xA0", "7", "first"});
    table.add({"a longer one", "1200"});
    EXPECT_EQ(table.render(false),
              "NAME          SIZE  NOTE\n"
              "d\xC3\xA9j\xC3\xA0             7  first\n"
              "a longer one  1200\n");
}

TEST(Table, ColoursTextButNotBlanks) {
    Table table({{"A"}, {"B"}});
    table.add({{"ok", Colour::Green}, "x"});
    EXPECT_EQ(table.render(true), "A   B\n\x1b[32mok\x1b[0m  x\n");
}

TEST(Table, KeepsControlCharactersFromTheTerminal) {
    Table table({{"A"}});
    table.add({"x\x1b[31my\n\xC2\x9Bz"});
    EXPECT_EQ(table.render(false), "A\nx?[31my??z\n");
}

}  // namespace
}  // namespace antipode::cli
