#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What an S3-compatible server answers, parsed (XML by pugixml). Pure.
namespace antipode::s3 {

/// One object as a listing or its headers show it.
struct Object {
    std::string key;
    uint64_t size = 0;
    int64_t modified_ns = 0;  ///< whole seconds: headers know no fractions
    std::string etag;         ///< without quotes. Tells versions apart; never a digest
    bool operator==(const Object&) const = default;
};

/// A page of ListObjectsV2.
struct Page {
    std::vector<Object> objects;
    std::vector<std::string> prefixes;  ///< with the delimiter at their end
    std::string next;                   ///< continuation token; empty: this is the last page
};
/// Each throws Error{Retry} when the text is not what it should be.
Page parse_page(std::string_view xml);
std::string parse_upload_id(std::string_view xml);

struct Upload {
    std::string key;
    std::string id;
};
/// The first page of ListMultipartUploads.
std::vector<Upload> parse_uploads(std::string_view xml);

struct ServerError {
    std::string code;
    std::string message;
};
/// nullopt: the text is no <Error>.
std::optional<ServerError> parse_error(std::string_view xml);

/// "Tue, 02 Jan 2024 03:04:05 GMT" and "2024-01-02T03:04:05.678Z", without the fraction. nullopt:
/// the text is none.
std::optional<int64_t> parse_http_time_ns(const std::string& text);
std::optional<int64_t> parse_iso_time_ns(const std::string& text);

std::string without_quotes(std::string_view etag);
/// As in a query: '+' is a blank. nullopt: a '%' without two digits behind it.
std::optional<std::string> percent_decode(std::string_view text);

}  // namespace antipode::s3
