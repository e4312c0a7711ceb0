#include "adapters/s3/bucket.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <random>

#include "base/digest.hpp"

namespace antipode::s3 {
namespace {

const std::string mode_header = "x-amz-meta-antipode-mode";
const std::string mtime_header = "x-amz-meta-antipode-mtime-ns";
const std::string upload_header = "x-amz-meta-antipode-upload";

constexpr uint64_t large_bytes = 64 * limits::mib;
constexpr uint64_t part_bytes = 16 * limits::mib;
constexpr uint64_t most_parts = 10'000;
/// A larger object cannot be copied by one request.
constexpr uint64_t most_copied_bytes = 5 * uint64_t{limits::gib};
constexpr int most_completions = 3;
constexpr int most_abort_rounds = 100;

template <typename Number>
std::optional<Number> parse_number(const std::string& text, int base) {
    Number value{};
    const auto [end, failure] =
        std::from_chars(text.data(), text.data() + text.size(), value, base);
    const bool good = failure == std::errc{} && end == text.data() + text.size() && !text.empty();
    return good ? std::optional(value) : std::nullopt;
}

/// A name that no other upload has.
std::string new_upload_name() {
    std::random_device device;
    std::string bytes;
    for (int i = 0; i < 16; ++i) {
        bytes += static_cast<char>(device() & 0xff);
    }
    return to_hex(bytes);
}

std::map<std::string, std::string> headers_of(const FileMetadata& metadata,
                                              const std::string& upload) {
    std::array<char, 16> octal{};
    const auto end =
        std::to_chars(octal.data(), octal.data() + octal.size(), metadata.mode & 07777, 8).ptr;
    return {{mode_header, std::string(octal.data(), end)},
            {mtime_header, std::to_string(metadata.mtime_ns)},
            {upload_header, upload}};
}

/// What the headers say. The size is of the whole object.
Bucket::Version version_of(const std::string& key, const Client::Response& response) {
    Bucket::Version version;
    version.object.key = key;
    const std::string range = response.header("content-range");
    const auto size = parse_number<uint64_t>(
        range.empty() ? response.header("content-length") : range.substr(range.rfind('/') + 1), 10);
    const auto modified = parse_http_time_ns(response.header("last-modified"));
    version.object.etag = without_quotes(response.header("etag"));
    if (!size || !modified || version.object.etag.empty()) {
        throw Error(Reaction::Retry,
                    "the bucket's server does not say size, time and ETag of " + printable(key),
                    "check that blobs.endpoint is an S3-compatible server");
    }
    version.object.size = *size;
    version.object.modified_ns = *modified;
    const auto mode = parse_number<uint32_t>(response.header(mode_header), 8);
    const auto mtime = parse_number<int64_t>(response.header(mtime_header), 10);
    if (mode && mtime && *mode <= 07777) {
        version.metadata = FileMetadata{*mode, *mtime};
    }
    version.upload = response.header(upload_header);
    return version;
}

std::string code_of(const Client::Response& response) {
    const auto error = parse_error(response.body);
    return error ? error->code : std::string();
}

}  // namespace

std::optional<Bucket::Version> Bucket::head(const std::string& key) {
    const Client::Request request{.method = "HEAD", .key = key};
    const Client::Response response = client_.send(request);
    if (response.status == 404) {
        // It may be the bucket that is missing: that must not look like a removed file.
        require();
        return std::nullopt;
    }
    if (response.status != 200) {
        // An answer to HEAD has no words; this one has, if it is refused as well.
        require();
        throw client_.error_of(request, response);
    }
    return version_of(key, response);
}

std::optional<Bucket::Piece> Bucket::read(const std::string& key, const std::string& etag,
                                          uint64_t offset, uint64_t size) {
    Client::Request request{.method = "GET", .key = key};
    request.headers["range"] =
        "bytes=" + std::to_string(offset) + "-" + std::to_string(offset + size - 1);
    if (!etag.empty()) {
        request.headers["if-match"] = "\"" + etag + "\"";
    }
    request.most_bytes = size;
    request.part_suffices = true;
    Client::Response response = client_.send(request);
    const bool gone = response.status == 404 && code_of(response) == "NoSuchKey";
    if (!etag.empty() && (gone || response.status == 412)) {
        throw Error(Reaction::Retry, printable(key) + " was replaced while it was read");
    }
    if (gone) {
        return std::nullopt;
    }
    if (response.status == 416 && offset == 0) {
        // It is empty.
        const auto version = head(key);
        return version ? std::optional(Piece{*version, {}}) : std::nullopt;
    }
    const bool right_range =
        response.header("content-range").starts_with("bytes " + std::to_string(offset) + "-");
    // A server that knows no ranges sends all of it, which may be no more than was asked for.
    if (!(response.status == 206 && right_range) && !(response.status == 200 && offset == 0)) {
        throw client_.error_of(request, response);
    }
    return Piece{version_of(key, response), std::move(response.body)};
}

Page Bucket::list(const std::string& prefix, const std::string& delimiter,
                  const std::string& from) {
    Client::Request request{.method = "GET"};
    request.query = {{"list-type", "2"}, {"prefix", prefix}, {"encoding-type", "url"}};
    if (!delimiter.empty()) {
        request.query["delimiter"] = delimiter;
    }
    if (!from.empty()) {
        request.query["continuation-token"] = from;
    }
    return parse_page(client_.demand(request).body);
}

bool Bucket::is_large(uint64_t size) {
    return size > large_bytes;
}

void Bucket::put(const std::string& key, FileReader& file, uint64_t size,
                 const FileMetadata& metadata) {
    const auto headers = headers_of(metadata, new_upload_name());
    is_large(size) ? put_in_parts(key, file, size, headers) : put_whole(key, file, size, headers);
}

void Bucket::put_whole(const std::string& key, FileReader& file, uint64_t size,
                       const std::map<std::string, std::string>& headers) {
    const Body body = Body::of(file, 0, size);
    client_.demand({.method = "PUT", .key = key, .headers = headers, .body = &body});
}

void Bucket::put_in_parts(const std::string& key, FileReader& file, uint64_t size,
                          const std::map<std::string, std::string>& headers) {
    const Body nothing = Body::of("");
    const std::string id = parse_upload_id(client_
                                               .demand({.method = "POST",
                                                        .key = key,
                                                        .query = {{"uploads", ""}},
                                                        .headers = headers,
                                                        .body = &nothing})
                                               .body);
    complete(key, id, put_parts(key, id, file, size), headers.at(upload_header));
}

/// The parts as complete() names them.
std::string Bucket::put_parts(const std::string& key, const std::string& id, FileReader& file,
                              uint64_t size) {
    const uint64_t needed = (size + most_parts - 1) / most_parts;
    const uint64_t each = std::max(part_bytes, (needed / limits::mib + 1) * limits::mib);
    std::string parts;
    uint64_t number = 1;
    for (uint64_t offset = 0; offset < size; offset += each, ++number) {
        const Body body = Body::of(file, offset, std::min(each, size - offset));
        const Client::Response stored =
            client_.demand({.method = "PUT",
                            .key = key,
                            .query = {{"partNumber", std::to_string(number)}, {"uploadId", id}},
                            .body = &body});
        const std::string etag = without_quotes(stored.header("etag"));
        if (etag.empty() || etag.find_first_of("<>&\"") != std::string::npos) {
            throw Error(Reaction::Retry, name() + ": a part has no usable ETag");
        }
        parts += "<Part><PartNumber>" + std::to_string(number) + "</PartNumber><ETag>\"" + etag +
                 "\"</ETag></Part>";
    }
    return parts;
}

void Bucket::complete(const std::string& key, const std::string& id, const std::string& parts,
                      const std::string& upload) {
    const Body body = Body::of(
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/"
        "2006-03-01/\">" +
        parts + "</CompleteMultipartUpload>");
    const Client::Request request{.method = "POST",
                                  .key = key,
                                  .query = {{"uploadId", id}},
                                  .body = &body,
                                  .takes_long = true};
    Client::Response response;
    for (int tries = 0; tries < most_completions; ++tries) {
        response = client_.send(request);
        // The server says 200 before it knows, and the error in the body.
        if (response.status == 200 && !parse_error(response.body)) {
            return;
        }
        if (response.status == 404) {
            // An earlier try may have succeeded, though its answer got lost.
            const auto there = head(key);
            if (there && there->upload == upload) {
                return;
            }
        }
        if (response.status != 200) {
            break;
        }
    }
    throw client_.error_of(request, response);
}

void Bucket::abort_uploads(const std::string& key) {
    for (int round = 0; round < most_abort_rounds; ++round) {
        const auto uploads = parse_uploads(
            client_
                .demand({.method = "GET",
                         .query = {{"uploads", ""}, {"prefix", key}, {"encoding-type", "url"}}})
                .body);
        bool any = false;
        for (const Upload& upload : uploads) {
            if (upload.key != key) {
                continue;
            }
            any = true;
            const Client::Request request{
                .method = "DELETE", .key = key, .query = {{"uploadId", upload.id}}};
            const Client::Response response = client_.send(request);
            if (response.status / 100 != 2 && response.status != 404) {
                throw client_.error_of(request, response);
            }
        }
        if (!any) {
            return;
        }
    }
    throw Error(Reaction::Retry, name() + ": uploads of " + printable(key) + " cannot be ended");
}

bool Bucket::can_set_metadata(uint64_t size) {
    return size <= most_copied_bytes;
}

void Bucket::set_metadata(const std::string& key, const Version& version,
                          const FileMetadata& metadata) {
    const Body nothing = Body::of("");
    Client::Request request{.method = "PUT", .key = key, .body = &nothing, .takes_long = true};
    request.headers = headers_of(metadata, version.upload.empty() ? "-" : version.upload);
    request.headers["x-amz-copy-source"] = client_.source_of(key);
    request.headers["x-amz-copy-source-if-match"] = "\"" + version.object.etag + "\"";
    request.headers["x-amz-metadata-directive"] = "REPLACE";
    const Client::Response response = client_.demand(request);
    if (parse_error(response.body)) {
        throw client_.error_of(request, response);
    }
}

void Bucket::remove(const std::string& key) {
    const Client::Request request{.method = "DELETE", .key = key};
    const Client::Response response = client_.send(request);
    const bool gone = response.status == 404 && code_of(response) == "NoSuchKey";
    if (response.status / 100 != 2 && !gone) {
        throw client_.error_of(request, response);
    }
}

void Bucket::require() {
    if (client_.send({.method = "HEAD"}).status != 200) {
        client_.demand(
            {.method = "GET",
             .query = {{"list-type", "2"}, {"max-keys", "1"}, {"encoding-type", "url"}}});
    }
}

}  // namespace antipode::s3
