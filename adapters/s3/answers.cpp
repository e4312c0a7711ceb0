#include "adapters/s3/answers.hpp"

#include <charconv>
#include <cstdlib>
#include <ctime>

#include <pugixml.hpp>

#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::s3 {
namespace {

constexpr int64_t nanoseconds = 1'000'000'000;

[[noreturn]] void refuse(const std::string& what) {
    throw Error(Reaction::Retry, "the bucket's server answers what cannot be read: " + what,
                "check that blobs.endpoint is an S3-compatible server");
}

std::string decoded(const pugi::xml_node& node, bool encoded) {
    const std::string text = node.child_value();
    const auto plain = encoded ? percent_decode(text) : std::optional(text);
    if (!plain) {
        refuse("the key " + printable(text));
    }
    return *plain;
}

pugi::xml_node root_of(pugi::xml_document& document, std::string_view xml, const char* name) {
    const auto parsed = document.load_buffer(xml.data(), xml.size());
    const pugi::xml_node root = document.child(name);
    if (!parsed || !root) {
        refuse(std::string("no <") + name + ">");
    }
    return root;
}

std::optional<int64_t> parse_time_ns(const std::string& text, const char* format) {
    std::tm parts{};
    if (strptime(text.c_str(), format, &parts) == nullptr) {
        return std::nullopt;
    }
    const int64_t seconds = timegm(&parts);
    const bool fits = std::abs(seconds) <= INT64_MAX / nanoseconds;
    return fits ? std::optional(seconds * nanoseconds) : std::nullopt;
}

Object parse_object(const pugi::xml_node& node, bool encoded) {
    Object object;
    object.key = decoded(node.child("Key"), encoded);
    const std::string_view size = node.child_value("Size");
    const auto [end, failure] =
        std::from_chars(size.data(), size.data() + size.size(), object.size);
    const auto modified = parse_iso_time_ns(node.child_value("LastModified"));
    object.etag = without_quotes(node.child_value("ETag"));
    if (failure != std::errc{} || end != size.data() + size.size() || !modified) {
        refuse("size or time of " + printable(object.key));
    }
    object.modified_ns = *modified;
    return object;
}

}  // namespace

Page parse_page(std::string_view xml) {
    pugi::xml_document document;
    const pugi::xml_node root = root_of(document, xml, "ListBucketResult");
    const bool encoded = std::string_view(root.child_value("EncodingType")) == "url";
    Page page;
    for (const pugi::xml_node& node : root.children("Contents")) {
        page.objects.push_back(parse_object(node, encoded));
    }
    for (const pugi::xml_node& node : root.children("CommonPrefixes")) {
        page.prefixes.push_back(decoded(node.child("Prefix"), encoded));
    }
    const std::string_view goes_on = root.child_value("IsTruncated");
    const bool truncated = goes_on == "true";
    if (!truncated && goes_on != "false") {
        refuse("a listing that does not say whether it goes on");
    }
    page.next = truncated ? root.child_value("NextContinuationToken") : "";
    if (truncated && page.next.empty()) {
        refuse("a listing that goes on without saying where");
    }
    return page;
}

std::string parse_upload_id(std::string_view xml) {
    pugi::xml_document document;
    std::string id =
        root_of(document, xml, "InitiateMultipartUploadResult").child_value("UploadId");
    if (id.empty()) {
        refuse("no <UploadId>");
    }
    return id;
}

std::vector<Upload> parse_uploads(std::string_view xml) {
    pugi::xml_document document;
    const pugi::xml_node root = root_of(document, xml, "ListMultipartUploadsResult");
    const bool encoded = std::string_view(root.child_value("EncodingType")) == "url";
    std::vector<Upload> uploads;
    for (const pugi::xml_node& node : root.children("Upload")) {
        uploads.push_back({decoded(node.child("Key"), encoded), node.child_value("UploadId")});
    }
    return uploads;
}

std::optional<ServerError> parse_error(std::string_view xml) {
    pugi::xml_document document;
    if (!document.load_buffer(xml.data(), xml.size()) || !document.child("Error")) {
        return std::nullopt;
    }
    const pugi::xml_node root = document.child("Error");
    return ServerError{root.child_value("Code"), root.child_value("Message")};
}

std::optional<int64_t> parse_http_time_ns(const std::string& text) {
    return parse_time_ns(text, "%a, %d %b %Y %H:%M:%S GMT");
}

std::optional<int64_t> parse_iso_time_ns(const std::string& text) {
    return parse_time_ns(text, "%Y-%m-%dT%H:%M:%S");
}

std::string without_quotes(std::string_view etag) {
    const bool quoted = etag.size() >= 2 && etag.front() == '"' && etag.back() == '"';
    return std::string(quoted ? etag.substr(1, etag.size() - 2) : etag);
}

std::optional<std::string> percent_decode(std::string_view text) {
    std::string decoded;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '%') {
            const auto byte = text.size() - i > 2 ? from_hex(text.substr(i + 1, 2)) : std::nullopt;
            if (!byte) {
                return std::nullopt;
            }
            decoded += *byte;
            i += 2;
        } else {
            decoded += text[i] == '+' ? ' ' : text[i];
        }
    }
    return decoded;
}

}  // namespace antipode::s3
