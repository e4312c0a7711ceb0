#include "secondary/database/copy_source.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/limits.hpp"
#include "protocol/table_list.hpp"
#include "secondary/database/snapshot.hpp"
#include "secondary/database/table_copy.hpp"

namespace antipode::secondary {
namespace {

/// A schema or a list of tables larger than this is refused; rows are streamed.
constexpr size_t text_most_bytes = 256 * limits::mib;

}  // namespace

BulkRequest CopySource::request(const std::string& what) const {
    return {store_.to_string() + "/" + what, {}};
}

std::string CopySource::fetch(const BulkRequest& request, BulkSource::Answer& answer) {
    std::string text;
    answer = primary_.get(
        request, 0, {},
        [&](std::string_view chunk) {
            if (text.size() + chunk.size() > text_most_bytes) {
                malformed_answer(request.path);
            }
            text += chunk;
        },
        stop_);
    if (!answer.found) {
        throw Error(Reaction::Retry,
                    "the primary's bulk service does not know " + store_.to_string(),
                    "compare the stores' names in both sites' configurations");
    }
    return text;
}

std::string CopySource::section(const char* name, const std::optional<TableName>& only,
                                BulkSource::Answer& answer) {
    BulkRequest wanted = request("schema");
    wanted.query["section"] = name;
    if (only) {
        wanted.query["schema"] = only->schema;
        wanted.query["table"] = only->table;
    }
    return fetch(wanted, answer);
}

CopySource::Schema CopySource::schema(const std::optional<TableName>& only) {
    Schema schema;
    BulkSource::Answer first;
    BulkSource::Answer other;
    schema.before = section("before", only, first);
    schema.after = section("after", only, other);
    schema.finish = section("finish", only, other);
    schema.snapshot = {schema_name, header(first, protocol::snapshot_header, "schema"),
                       lsn_header(first, protocol::wal_end_header, "schema")};
    return schema;
}

CopySource::Schema CopySource::settled_schema() {
    const Schema earlier = schema();
    Schema settled = schema();
    if (!(settled == earlier)) {
        throw Error(Reaction::Retry, "the primary's schema changed while it was read");
    }
    return settled;
}

CopiedTable CopySource::snapshot(const TableName& table) {
    BulkSource::Answer answer;
    section("finish", std::nullopt, answer);
    return {table, header(answer, protocol::snapshot_header, "schema"),
            lsn_header(answer, protocol::wal_end_header, "schema")};
}

CopySource::Listing CopySource::tables() {
    BulkSource::Answer answer;
    const auto lines = protocol::decode_lines(fetch(request("tables"), answer), 4);
    if (!lines) {
        malformed_answer("tables");
    }
    Listing listing;
    listing.confirmed = lsn_header(answer, protocol::confirmed_header, "tables");
    for (const protocol::Words& words : *lines) {
        const auto bytes = protocol::decode_number(words[3]);
        listing.tables.push_back(
            {{words[0], words[1]}, static_cast<uint64_t>(std::max<int64_t>(0, bytes.value_or(0)))});
    }
    return listing;
}

std::vector<KeyRange> CopySource::ranges(const TableName& table, uint64_t part_bytes) {
    BulkRequest wanted = request("ranges");
    wanted.query["schema"] = table.schema;
    wanted.query["table"] = table.table;
    wanted.query["bytes"] = std::to_string(part_bytes);
    std::string text;
    const auto answer = primary_.get(
        wanted, 0, {}, [&](std::string_view chunk) { text += chunk; }, stop_);
    const auto bound = [](const std::string& word) {
        return word == protocol::no_bound ? std::nullopt : protocol::decode_number(word);
    };
    std::vector<KeyRange> ranges;
    // An older primary knows of no ranges.
    const auto lines = protocol::decode_lines(answer.found ? text : "", 3);
    if (!lines) {
        malformed_answer("ranges");
    }
    for (const protocol::Words& words : *lines) {
        ranges.push_back({words[0], bound(words[1]), bound(words[2])});
    }
    return ranges.empty() ? std::vector{KeyRange{}} : ranges;
}

std::vector<SequenceValue> CopySource::sequences() {
    BulkSource::Answer answer;
    const auto lines = protocol::decode_lines(fetch(request("sequences"), answer), 4);
    if (!lines) {
        malformed_answer("sequences");
    }
    std::vector<SequenceValue> sequences;
    for (const protocol::Words& words : *lines) {
        const auto value = protocol::decode_number(words[2]);
        if (!value) {
            malformed_answer("sequences");
        }
        sequences.push_back({{words[0], words[1]}, *value, words[3] == "1"});
    }
    return sequences;
}

}  // namespace antipode::secondary
