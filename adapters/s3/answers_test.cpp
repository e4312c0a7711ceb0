#include "adapters/s3/answers.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace antipode::s3 {
namespace {

// As MinIO answers; Amazon's has the same elements.
const std::string listing =
    R"(<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>lfs</Name><Prefix></Prefix>
<KeyCount>2</KeyCount><MaxKeys>2</MaxKeys><Delimiter>%2F</Delimiter><IsTruncated>true</IsTruncated>
<NextContinuationToken>a/b==&amp;</NextContinuationToken><EncodingType>url</EncodingType>
<Contents><Key>with+blank%2B%C3%A9%0A</Key><LastModified>2024-01-02T03:04:05.678Z</LastModified>
<ETag>&#34;d41d8cd98f00b204e9800998ecf8427e-2&#34;</ETag><Size>1234567890123</Size></Contents>
<CommonPrefixes><Prefix>dir%2F</Prefix></CommonPrefixes></ListBucketResult>)";

TEST(Answers, AListingIsRead) {
    const Page page = parse_page(listing);
    ASSERT_EQ(page.objects.size(), 1u);
    EXPECT_EQ(page.objects[0],
              (Object{"with blank+\xc3\xa9\n", 1'234'567'890'123, 1'704'164'645'000'000'000,
                      "d41d8cd98f00b204e9800998ecf8427e-2"}));
    EXPECT_EQ(page.prefixes, std::vector<std::string>{"dir/"});
    EXPECT_EQ(page.next, "a/b==&");
}

TEST(Answers, WhatIsNoListingIsRefused) {
    const auto with = [](const std::string& from, const std::string& to) {
        std::string text = listing;
        return text.replace(text.find(from), from.size(), to);
    };
    for (const std::string& text :
         {std::string(), std::string("<html>hello</html>"), listing.substr(0, 300),
          with("1234567890123", "-1"), with("1234567890123", "12x"), with("2024-", "yesterday-"),
          with("%C3%A9", "%C3%A"), with("a/b==&amp;", "")}) {
        EXPECT_THROW(parse_page(text), Error) << text;
    }
}

TEST(Answers, HeadersAndListingsAgreeOnTimes) {
    EXPECT_EQ(parse_http_time_ns("Tue, 02 Jan 2024 03:04:05 GMT"), 1'704'164'645'000'000'000);
    EXPECT_EQ(parse_iso_time_ns("2024-01-02T03:04:05.999Z"), 1'704'164'645'000'000'000);
    EXPECT_EQ(parse_http_time_ns("yesterday"), std::nullopt);
    EXPECT_EQ(parse_iso_time_ns(""), std::nullopt);
    // What counts nanoseconds ends in the year 2262.
    EXPECT_EQ(parse_iso_time_ns("9999-12-31T23:59:59Z"), std::nullopt);
}

TEST(Answers, AnErrorIsReadAndNothingElseIsOne) {
    const auto error = parse_error(
        "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Reduce</Message></Error>");
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, "SlowDown");
    EXPECT_EQ(error->message, "Reduce");
    EXPECT_FALSE(parse_error(listing));
    EXPECT_FALSE(parse_error(""));
    EXPECT_FALSE(parse_error("bytes"));
}

TEST(Answers, UploadsAreRead) {
    EXPECT_EQ(parse_upload_id("<InitiateMultipartUploadResult><UploadId>x</UploadId>"
                              "</InitiateMultipartUploadResult>"),
              "x");
    EXPECT_THROW(parse_upload_id("<InitiateMultipartUploadResult/>"), Error);
    const auto uploads = parse_uploads(
        "<ListMultipartUploadsResult><EncodingType>url</EncodingType><Upload><Key>a+b</Key>"
        "<UploadId>1</UploadId></Upload><Upload><Key>c</Key><UploadId>2</UploadId></Upload>"
        "</ListMultipartUploadsResult>");
    ASSERT_EQ(uploads.size(), 2u);
    EXPECT_EQ(uploads[0].key, "a b");
    EXPECT_EQ(uploads[1].id, "2");
}

TEST(Answers, EntitiesOfTheServersOwnAreNotFollowed) {
    // pugixml reads no DTD; an entity stays text.
    const auto error = parse_error(
        "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><Error><Code>&a;</Code></Error>");
    EXPECT_TRUE(!error || error->code == "&a;");
}

}  // namespace
}  // namespace antipode::s3
