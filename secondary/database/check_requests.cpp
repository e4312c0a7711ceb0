#include "secondary/database/check_requests.hpp"

#include <random>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "protocol/chunk_text.hpp"
#include "protocol/table_list.hpp"
#include "secondary/database/table_copy.hpp"

namespace antipode::secondary {
namespace {

constexpr size_t text_most_bytes = 256 * limits::mib;

[[noreturn]] void malformed(const BulkRequest& request) {
    throw Error(Reaction::Stop, "the primary's answer to " + request.path + " is malformed",
                "compare the versions of Antipode on both sites (antipode version)");
}

}  // namespace

BulkRequest CheckRequests::request(const std::string& what, const std::string& check) const {
    return {store_.to_string() + "/check/" + what, {{"id", check}}};
}

BulkRequest CheckRequests::request(const std::string& what, const std::string& check,
                                   const TableName& table, const std::set<uint32_t>& chunks) const {
    BulkRequest wanted = request(what, check);
    wanted.query["schema"] = table.schema;
    wanted.query["table"] = table.table;
    if (!chunks.empty()) {
        wanted.query["chunks"] = protocol::encode_numbers(chunks);
    }
    return wanted;
}

std::string CheckRequests::fetch(const BulkRequest& request, const std::stop_token& stop) {
    BulkSource::Answer answer;
    return fetch(request, answer, stop);
}

std::string CheckRequests::fetch(const BulkRequest& request, BulkSource::Answer& answer,
                                 const std::stop_token& stop) {
    std::string text;
    answer = primary_.get(
        request, 0, {},
        [&](std::string_view chunk) {
            if (text.size() + chunk.size() > text_most_bytes) {
                malformed(request);
            }
            text += chunk;
        },
        stop);
    if (!answer.found) {
        throw Error(Reaction::Retry,
                    "the primary does not know " + request.path + ", or not any more",
                    "compare the versions of Antipode on both sites (antipode version)");
    }
    return text;
}

OpenCheck CheckRequests::open(const std::string& check, const std::string& cut_as,
                              const std::stop_token& stop, Of what) {
    BulkRequest wanted = request("open", check);
    if (what == Of::Structure) {
        wanted.query.emplace("structure", "1");
    }
    if (!cut_as.empty()) {
        wanted.query["cut_as"] = cut_as;
    }
    BulkSource::Answer answer;
    const auto lines = protocol::decode_lines(fetch(wanted, answer, stop), 2);
    if (!lines) {
        malformed(wanted);
    }
    OpenCheck open;
    for (const protocol::Words& words : *lines) {
        open.tables.push_back({words[0], words[1]});
    }
    open.snapshot = header(answer, protocol::snapshot_header, wanted.path);
    open.wal_end = lsn_header(answer, protocol::wal_end_header, wanted.path);
    return open;
}

std::optional<std::vector<protocol::Words>> CheckRequests::fetch_lines(
    const BulkRequest& request, size_t width, const std::stop_token& stop) {
    std::string text;
    const auto answer = primary_.get(
        request, 0, {},
        [&](std::string_view piece) {
            if (text.size() + piece.size() > text_most_bytes) {
                malformed(request);
            }
            text += piece;
        },
        stop);
    if (!answer.found) {
        return std::nullopt;
    }
    auto lines = protocol::decode_lines(
        text.substr(std::min(text.find_first_not_of('\n'), text.size())), width);
    if (!lines) {
        malformed(request);
    }
    return lines;
}

std::optional<Structure> CheckRequests::structure(const std::string& check,
                                                  const std::stop_token& stop) {
    const auto lines = fetch_lines(request("structure", check), 2, stop);
    if (!lines) {
        return std::nullopt;
    }
    Structure structure;
    for (const protocol::Words& words : *lines) {
        structure[words[0]] = words[1].substr(1);
    }
    return structure;
}

std::optional<std::vector<LargeObject>> CheckRequests::large_objects(const std::string& check,
                                                                     const std::stop_token& stop) {
    const BulkRequest wanted = request("large_objects", check);
    const auto lines = fetch_lines(wanted, 3, stop);
    if (!lines) {
        return std::nullopt;
    }
    std::vector<LargeObject> objects;
    for (const protocol::Words& words : *lines) {
        const auto oid = protocol::decode_number(words[0]);
        if (!oid || *oid <= 0 || *oid > UINT32_MAX) {
            malformed(wanted);
        }
        objects.push_back({static_cast<uint32_t>(*oid), words[1], words[2]});
    }
    return objects;
}

void CheckRequests::large_object(const std::string& check, uint32_t oid,
                                 const std::function<void(std::string_view)>& sink,
                                 const std::stop_token& stop) {
    BulkRequest wanted = request("large_object", check);
    wanted.query["oid"] = std::to_string(oid);
    if (!primary_.get(wanted, 0, {}, sink, stop).found) {
        throw Error(Reaction::Retry, "the primary does not know the check any more");
    }
}

std::optional<std::string> CheckRequests::fetch_readable(const BulkRequest& request,
                                                         const std::stop_token& stop) {
    std::string text = fetch(request, stop);
    // The primary's signs that it is working on it.
    text.erase(0, std::min(text.find_first_not_of('\n'), text.size()));
    return text == protocol::not_readable ? std::nullopt : std::optional(std::move(text));
}

std::optional<ChunkedTable> CheckRequests::digests(const std::string& check, const TableName& table,
                                                   const std::set<uint32_t>& chunks,
                                                   const std::stop_token& stop) {
    const BulkRequest wanted = request("digests", check, table, chunks);
    const auto answer = fetch_readable(wanted, stop);
    if (!answer) {
        return std::nullopt;
    }
    auto chunked = protocol::decode_chunks(*answer);
    if (!chunked || chunked->plan.table != table) {
        malformed(wanted);
    }
    return chunked;
}

std::optional<KeyDigests> CheckRequests::keys(const std::string& check, const TableName& table,
                                              const std::set<uint32_t>& chunks,
                                              const std::stop_token& stop) {
    const BulkRequest wanted = request("keys", check, table, chunks);
    const auto answer = fetch_readable(wanted, stop);
    if (!answer) {
        return std::nullopt;
    }
    auto keys = protocol::decode_keys(*answer);
    if (!keys) {
        malformed(wanted);
    }
    return keys;
}

bool CheckRequests::copy(const std::string& check, const TableName& table,
                         const std::set<uint32_t>& chunks,
                         const std::function<void(std::string_view)>& sink,
                         const std::stop_token& stop) {
    return primary_.get(request("copy", check, table, chunks), 0, {}, sink, stop).found;
}

void CheckRequests::close(const std::string& check, const std::stop_token& stop) {
    try {
        fetch(request("close", check), stop);
    } catch (const Error&) {
    }
}

std::string new_check_id() {
    std::random_device random;
    std::string bytes;
    for (int i = 0; i < 16; ++i) {
        bytes += static_cast<char>(random() & 0xff);
    }
    return to_hex(bytes);
}

std::set<uint32_t> take_chunks(std::set<uint32_t>& chunks) {
    auto end = chunks.begin();
    std::advance(end, static_cast<ptrdiff_t>(std::min(chunks.size(), chunks_per_request)));
    std::set<uint32_t> taken(chunks.begin(), end);
    chunks.erase(chunks.begin(), end);
    return taken;
}

}  // namespace antipode::secondary
