#include "adapters/s3/answers.hpp"
#include "adapters/s3/notifications.hpp"
#include "tests/fuzz/parser.hpp"

namespace antipode::fuzz {
namespace {

void read_answer(std::string_view bytes) {
    s3::Page page;
    is_read([&] { page = s3::parse_page(bytes); });
    std::string id;
    require(!is_read([&] { id = s3::parse_upload_id(bytes); }) || !id.empty(),
            "an upload has an id");
    is_read([&] { s3::parse_uploads(bytes); });
    static_cast<void>(s3::parse_error(bytes));
}

void read_time(std::string_view bytes) {
    constexpr int64_t second = 1'000'000'000;
    for (const auto time :
         {s3::parse_http_time_ns(std::string(bytes)), s3::parse_iso_time_ns(std::string(bytes))}) {
        require(!time || *time % second == 0, "times are whole seconds");
    }
    static_cast<void>(s3::without_quotes(bytes));
    const auto decoded = s3::percent_decode(bytes);
    require(!decoded || decoded->size() <= bytes.size(), "decoding makes nothing longer");
}

void read_notification(std::string_view bytes) {
    is_read([&] {
        for (const std::string& path : s3::changed_paths(std::string(bytes), "b", "p/")) {
            require(!path.empty(), "a path is named");
        }
    });
}

std::vector<std::string> answer_seeds() {
    return {
        "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
        "<NextContinuationToken>t</NextContinuationToken><Contents><Key>a%20b</Key><Size>17</Size>"
        "<LastModified>2024-01-02T03:04:05.678Z</LastModified><ETag>\"x\"</ETag></Contents>"
        "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes></ListBucketResult>",
        "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>",
        "<ListMultipartUploadsResult><Upload><Key>k</Key><UploadId>u</UploadId></Upload>"
        "</ListMultipartUploadsResult>",
        "<Error><Code>NoSuchKey</Code><Message>&lt;none&gt;</Message></Error>"};
}

}  // namespace

std::vector<Parser> s3_parsers() {
    return {
        {"s3/answer", read_answer, answer_seeds},
        {"s3/notification", read_notification,
         [] {
             return std::vector<std::string>{
                 R"({"Records":[{"s3":{"bucket":{"name":"b"},"object":{"key":"p/a%20b"}}}]})"};
         }},
        {"s3/time", read_time,
         [] {
             return std::vector<std::string>{"Tue, 02 Jan 2024 03:04:05 GMT",
                                             "2024-01-02T03:04:05.678Z"};
         }},
    };
}

}  // namespace antipode::fuzz
