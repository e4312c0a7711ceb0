#include "adapters/http/url.hpp"

#include <gtest/gtest.h>

#include "adapters/http/rate_limit.hpp"
#include "base/error.hpp"

namespace antipode::http {
namespace {

using Kind = RangeAnswer::Kind;

TEST(Url, TakesAddressesApart) {
    const Url plain = Url::parse("http://london.example");
    EXPECT_EQ(plain.host, "london.example");
    EXPECT_EQ(plain.port, 80);
    EXPECT_EQ(plain.target, "/");
    EXPECT_EQ(plain.authority(), "london.example");
    const Url full = Url::parse("http://[::1]:8840/v1/status?a=b");
    EXPECT_EQ(full.host, "::1");
    EXPECT_EQ(full.port, 8840);
    EXPECT_EQ(full.target, "/v1/status?a=b");
    EXPECT_EQ(full.authority(), "[::1]:8840");
}

TEST(Url, RefusesHttpsWithARemedy) {
    try {
        Url::parse("https://london.example");
        FAIL() << "https was accepted";
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Stop);
        EXPECT_NE(error.next_step().find("tunnel"), std::string::npos);
    }
}

TEST(Url, RefusesWhatIsNone) {
    for (const char* text :
         {"", "london", "ftp://a", "http://", "http://a:0", "http://a:70000", "http://a:x",
          "http://[::1", "http://a/ b", "http://u@a/", "http://a/\r\nHost: b"}) {
        EXPECT_THROW(Url::parse(text), Error) << text;
    }
}

TEST(Url, ParsesListenAddresses) {
    EXPECT_EQ(ListenAddress::parse("127.0.0.1:0")->port, 0);
    EXPECT_EQ(ListenAddress::parse("[::]:8840")->host, "::");
    EXPECT_FALSE(ListenAddress::parse("8840"));
    EXPECT_FALSE(ListenAddress::parse("localhost"));
}

TEST(Target, DecodesPathAndQuery) {
    const auto target = Target::parse("/a%20b/c+d?path=%ff%00&x=&y&z=1=2");
    ASSERT_TRUE(target);
    EXPECT_EQ(target->path, "/a b/c+d");
    EXPECT_EQ(target->query.at("path"), std::string("\xff\0", 2));
    EXPECT_EQ(target->query.at("x"), "");
    EXPECT_EQ(target->query.at("y"), "");
    EXPECT_EQ(target->query.at("z"), "1=2");
    EXPECT_FALSE(Target::parse("/a%2"));
    EXPECT_FALSE(Target::parse("/a?b=%zz"));
    EXPECT_FALSE(Target::parse("http://elsewhere/"));
}

TEST(Target, DecodesWhatIsEncodedForEveryByte) {
    std::string bytes;
    for (int byte = 0; byte < 256; ++byte) {
        bytes += static_cast<char>(byte);
    }
    EXPECT_EQ(percent_decode(percent_encode(bytes)), bytes);
}

TEST(Range, FollowsTheRfc) {
    const auto part = [](std::string_view header, uint64_t size) {
        const RangeAnswer answer = parse_range(header, size);
        EXPECT_EQ(answer.kind, Kind::Part) << header;
        return std::pair(answer.range.first, answer.range.length);
    };
    EXPECT_EQ(part("bytes=0-", 10), std::pair(uint64_t{0}, uint64_t{10}));
    EXPECT_EQ(part("bytes=9-", 10), std::pair(uint64_t{9}, uint64_t{1}));
    EXPECT_EQ(part("bytes=2-4", 10), std::pair(uint64_t{2}, uint64_t{3}));
    EXPECT_EQ(part("bytes=2-400", 10), std::pair(uint64_t{2}, uint64_t{8}));
    EXPECT_EQ(part("bytes=-3", 10), std::pair(uint64_t{7}, uint64_t{3}));
    EXPECT_EQ(part("bytes=-30", 10), std::pair(uint64_t{0}, uint64_t{10}));
    EXPECT_EQ(parse_range("bytes=10-", 10).kind, Kind::Unsatisfiable);
    EXPECT_EQ(parse_range("bytes=0-", 0).kind, Kind::Unsatisfiable);
    EXPECT_EQ(parse_range("bytes=-0", 10).kind, Kind::Unsatisfiable);
    for (const char* ignored : {"", "bytes", "bytes=", "bytes=-", "bytes=4-2", "bytes=0-1,4-5",
                                "items=0-1", "bytes=a-b", "bytes=99999999999999999999-"}) {
        EXPECT_EQ(parse_range(ignored, 10).kind, Kind::Whole) << ignored;
    }
}

TEST(RateLimit, LetsPassWhatTheCapAllows) {
    using std::chrono::milliseconds;
    RateLimit limit(1000);
    const SteadyTime start{std::chrono::hours(1)};
    EXPECT_EQ(limit.take(100, start), milliseconds(0));
    EXPECT_EQ(limit.take(1000, start), milliseconds(1000));
    EXPECT_EQ(limit.take(500, start + milliseconds(1000)), milliseconds(500));
    EXPECT_EQ(limit.take(0, start + milliseconds(5000)), milliseconds(0));
    limit.take(100'000, start + milliseconds(5000));
    limit.set(2000);
    EXPECT_EQ(limit.take(1200, start + milliseconds(5000)), milliseconds(500))
        << "what was owed under the old cap is forgotten";
    RateLimit none(0);
    EXPECT_EQ(none.take(1 << 30, start), milliseconds(0));
}

}  // namespace
}  // namespace antipode::http
