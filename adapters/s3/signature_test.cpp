#include "adapters/s3/signature.hpp"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::s3 {
namespace {

using testing::HasSubstr;

// The examples of "Signature Calculations for the Authorization Header" in Amazon's reference.
const Credentials example{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"};
const std::string empty_hash = to_hex(sha256(""));

std::string signature_of(SignedRequest request) {
    request.headers["host"] = "examplebucket.s3.amazonaws.com";
    request.headers["x-amz-date"] = "20130524T000000Z";
    request.headers.try_emplace("x-amz-content-sha256", empty_hash);
    const std::string header = authorization(request, example, "us-east-1");
    return header.substr(header.rfind('=') + 1);
}

TEST(Signature, IsWhatAmazonPublished) {
    EXPECT_EQ(signature_of({"GET", "/test.txt", {}, {{"range", "bytes=0-9"}}}),
              "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    EXPECT_EQ(signature_of({"PUT",
                            "/" + percent_encode("test$file.text", true),
                            {},
                            {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                             {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
                             {"x-amz-content-sha256", to_hex(sha256("Welcome to Amazon S3."))}}}),
              "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    EXPECT_EQ(signature_of({"GET", "/", {{"lifecycle", ""}}, {}}),
              "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    EXPECT_EQ(signature_of({"GET", "/", {{"max-keys", "2"}, {"prefix", "J"}}, {}}),
              "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(Signature, SaysWhoSignsWhat) {
    const std::string header = authorization(
        {"GET",
         "/",
         {},
         {{"host", "h"}, {"x-amz-date", "20130524T000000Z"}, {"x-amz-content-sha256", empty_hash}}},
        example, "eu-1");
    EXPECT_THAT(header, HasSubstr("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/eu-1/"
                                  "s3/aws4_request,SignedHeaders=host;x-amz-content-sha256;"
                                  "x-amz-date,Signature="));
    EXPECT_EQ(header.find(example.secret_access_key), std::string::npos);
}

TEST(Signature, EncodesEveryByteOfAKey) {
    EXPECT_EQ(percent_encode("a b+c/~%\xc3\xa9\n", true), "a%20b%2Bc/~%25%C3%A9%0A");
    EXPECT_EQ(percent_encode("a/b", false), "a%2Fb");
    EXPECT_EQ(signing_time(from_microseconds(1'369'353'600'000'000)), "20130524T000000Z");
}

TEST(S3Credentials, AreReadAsAwsToolsWriteThem) {
    const test::TemporaryDirectory directory;
    const auto file = directory / "credentials";
    const auto load = [&](const std::string& text, unsigned mode = 0600) -> std::string {
        test::write_file(file, text);
        std::filesystem::permissions(file, std::filesystem::perms(mode));
        try {
            const Credentials read = Credentials::load(file);
            return read.access_key_id + ":" + read.secret_access_key;
        } catch (const Error& error) {
            return error.describe();
        }
    };
    EXPECT_EQ(load("access_key_id=A\nsecret_access_key=s/e=c\n"), "A:s/e=c");
    EXPECT_EQ(load("[default]\n# ours\naws_access_key_id = A \naws_secret_access_key = s\r\n"),
              "A:s");
    EXPECT_THAT(load("access_key_id=A\nsecret_access_key=hidden\n", 0640), HasSubstr("chmod 600"));
    const std::string refused = load("hidden\nsecret_access_key=hidden\n");
    EXPECT_THAT(refused, HasSubstr("does not hold the credentials"));
    EXPECT_EQ(refused.find("hidden"), std::string::npos);
    std::filesystem::remove(file);
    EXPECT_THROW(Credentials::load(file), Error);
}

}  // namespace
}  // namespace antipode::s3
