#include "base/ids.hpp"

#include <gtest/gtest.h>

#include "base/clock.hpp"
#include "base/digest.hpp"

namespace antipode {
namespace {

TEST(StoreId, ReadsWhatItWrites) {
    const StoreId id{StoreKind::Blobs, "uploads"};
    EXPECT_EQ(id.to_string(), "blobs/uploads");
    EXPECT_EQ(StoreId::parse("blobs/uploads"), id);
}

TEST(StoreId, RefusesNamesThatAreUnsafeInSubjectsAndPaths) {
    for (const char* text : {"", "blobs", "blobs/", "blobs/a.b", "blobs/*", "blobs/../x", "blobs/A",
                             "other/a", "blobs/-a"}) {
        EXPECT_EQ(StoreId::parse(text), std::nullopt) << text;
    }
}

TEST(Position, OrdersByEpochThenSessionThenNumber) {
    EXPECT_LT((Position{1, 9, 9}), (Position{2, 0, 0}));
    EXPECT_LT((Position{1, 1, 9}), (Position{1, 2, 1}));
    EXPECT_EQ(Position::parse((Position{3, 7, 12}).to_string()), (Position{3, 7, 12}));
    EXPECT_EQ(Position::parse("1.2"), std::nullopt);
    EXPECT_EQ(Position::parse("1.2.x"), std::nullopt);
}

TEST(Lsn, UsesPostgresNotation) {
    EXPECT_EQ(Lsn::parse("16/B374D848"), Lsn{0x16B374D848});
    EXPECT_EQ((Lsn{0x16B374D848}).to_string(), "16/B374D848");
    EXPECT_EQ(Lsn::parse("16"), std::nullopt);
    EXPECT_EQ(Lsn::parse("G/1"), std::nullopt);
}

TEST(Digest, ComputesTheStandardsExample) {
    // FIPS 180-4, "abc".
    EXPECT_EQ(to_hex(sha256("abc")),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    Sha256Stream stream;
    stream.update("a");
    stream.update("bc");
    EXPECT_EQ(stream.finish(), sha256("abc"));
}

TEST(Printable, KeepsTextAndEscapesTheRest) {
    EXPECT_EQ(printable("d\xc3\xa9j\xc3\xa0 vu"), "d\xc3\xa9j\xc3\xa0 vu");
    EXPECT_EQ(printable("a\nb\x1b\\"), "a\\x0ab\\x1b\\x5c");
    EXPECT_EQ(printable("\xff\xfe"), "\\xff\\xfe");
    EXPECT_EQ(printable("\xe2\x80"), "\\xe2\\x80");
    EXPECT_EQ(from_hex("00fF7a"), std::string("\0\xff"
                                              "z",
                                              3));
    EXPECT_EQ(from_hex("0"), std::nullopt);
    EXPECT_EQ(from_hex("0g"), std::nullopt);
}

TEST(Clock, WritesIso8601WithMilliseconds) {
    EXPECT_EQ(to_iso8601(from_microseconds(1'700'000'000'123'456)), "2023-11-14T22:13:20.123Z");
}

}  // namespace
}  // namespace antipode
