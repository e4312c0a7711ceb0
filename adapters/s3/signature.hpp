#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "base/clock.hpp"

/// AWS Signature Version 4 for S3 ("Authenticating Requests: Using the Authorization Header", in
/// the reference of Amazon S3). Pure, but for reading the file.
namespace antipode::s3 {

struct Credentials {
    std::string access_key_id;
    std::string secret_access_key;

    /// Reads lines `access_key_id = ...` and `secret_access_key = ...`; also as the AWS tools write
    /// them (`aws_access_key_id`, section headers, comments). Throws Error{Retry} when they are not
    /// there or others may read the file; what the file holds is never in the message.
    static Credentials load(const std::filesystem::path& file);
};

/// A request as it is sent and signed.
struct SignedRequest {
    std::string method;
    std::string path;                            ///< percent-encoded
    std::map<std::string, std::string> query{};  ///< as they are
    /// All are signed; names in lower case. "host", "x-amz-date" and "x-amz-content-sha256" must be
    /// among them.
    std::map<std::string, std::string> headers{};
};

/// The value of the header Authorization.
std::string authorization(const SignedRequest& request, const Credentials& credentials,
                          std::string_view region);

/// "20130524T000000Z"
std::string signing_time(TimePoint time);
/// Everything but letters, digits and "-._~" as %XX; a slash stays when `keep_slashes`.
std::string percent_encode(std::string_view text, bool keep_slashes);
/// "a=1&b=2", encoded, in the order of the names.
std::string query_string(const std::map<std::string, std::string>& query);

}  // namespace antipode::s3
