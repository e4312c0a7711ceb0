#include "primary/database/bulk.hpp"

#include "base/error.hpp"
#include "primary/database/bodies.hpp"
#include "protocol/table_list.hpp"

namespace antipode::primary {
namespace {

using protocol::encode_line;

Headers headers_of(const SnapshotPlace& place) {
    return {{protocol::snapshot_header, place.snapshot},
            {protocol::wal_end_header, place.wal_end.to_string()}};
}

/// Throws Error{Stop} for what is no number: a range that is read wrongly would lose rows.
std::optional<int64_t> number_of(const BulkRequest& request, const char* name) {
    const auto text = request.parameter(name);
    if (!text) {
        return std::nullopt;
    }
    const auto number = protocol::decode_number(*text);
    if (!number) {
        throw Error(Reaction::Stop, std::string("the request's ") + name + " is no number");
    }
    return number;
}

std::optional<TableName> table_of(const BulkRequest& request) {
    const auto schema = request.parameter("schema");
    const auto table = request.parameter("table");
    return schema && table ? std::optional(TableName{*schema, *table}) : std::nullopt;
}

std::optional<SchemaSection> section_of(const BulkRequest& request) {
    const auto section = request.parameter("section");
    if (section == "before") {
        return SchemaSection::Before;
    }
    if (section == "after") {
        return SchemaSection::After;
    }
    return section == "finish" ? std::optional(SchemaSection::Finish) : std::nullopt;
}

std::string list_tables(const std::vector<TableEstimate>& tables) {
    std::string text;
    for (const TableEstimate& table : tables) {
        text += encode_line({table.name.schema, table.name.table, std::to_string(table.rows),
                             std::to_string(table.bytes)});
    }
    return text;
}

std::string list_sequences(const std::vector<SequenceValue>& sequences) {
    std::string text;
    for (const SequenceValue& sequence : sequences) {
        text += encode_line({sequence.name.schema, sequence.name.table,
                             std::to_string(sequence.value), sequence.called ? "1" : "0"});
    }
    return text;
}

std::string list_ranges(const std::vector<KeyRange>& ranges) {
    const auto bound = [](const std::optional<int64_t>& value) {
        return value ? std::to_string(*value) : std::string(protocol::no_bound);
    };
    std::string text;
    for (const KeyRange& range : ranges) {
        if (!range.whole()) {
            text += encode_line({range.column, bound(range.after), bound(range.up_to)});
        }
    }
    return text;
}

}  // namespace

std::unique_ptr<BulkBody> DatabaseBulk::open(const BulkRequest& request) {
    const std::string prefix = store_.to_string() + "/";
    if (!request.path.starts_with(prefix)) {
        return nullptr;
    }
    const std::string what = request.path.substr(prefix.size());
    if (what.starts_with("check/")) {
        return checks_.open(what.substr(6), request);
    }
    const auto table = table_of(request);
    const auto section = section_of(request);
    if (what == "schema" && section) {
        const SnapshotPlace before = source_.snapshot();
        return std::make_unique<StreamBody>("", source_.schema(*section, table),
                                            headers_of(before));
    }
    if (what == "copy" && table) {
        return open_copy(request, *table);
    }
    if (what == "ranges" && table) {
        const auto bytes = number_of(request, "bytes");
        const auto ranges = source_.ranges(*table, static_cast<uint64_t>(bytes.value_or(0)));
        return std::make_unique<TextBody>(list_ranges(ranges), Headers{});
    }
    return open_list(what);
}

std::unique_ptr<BulkBody> DatabaseBulk::open_list(const std::string& what) {
    if (what != "tables" && what != "sequences") {
        return nullptr;
    }
    const auto confirmed = source_.confirmed();
    if (!confirmed) {
        throw Error(Reaction::Retry,
                    store_.to_string() + " cannot be copied before its replication slot exists");
    }
    std::string text =
        what == "tables" ? list_tables(source_.tables()) : list_sequences(source_.sequences());
    return std::make_unique<TextBody>(
        std::move(text), Headers{{protocol::confirmed_header, confirmed->to_string()}});
}

std::unique_ptr<BulkBody> DatabaseBulk::open_copy(const BulkRequest& request,
                                                  const TableName& table) {
    CopyRequest wanted{.table = table};
    wanted.range = {request.parameter("column").value_or(""), number_of(request, "after"),
                    number_of(request, "up_to")};
    wanted.binary_for = static_cast<int>(number_of(request, "binary").value_or(0));
    auto reader = source_.copy(wanted);
    if (!reader) {
        return nullptr;
    }
    Headers headers = headers_of({reader->snapshot(), reader->wal_end()});
    std::string types;
    for (const uint32_t type : reader->binary_types()) {
        types += (types.empty() ? "" : ",") + std::to_string(type);
    }
    if (!types.empty()) {
        headers[protocol::binary_types_header] = types;
    }
    std::string columns = encode_line(reader->columns());
    return std::make_unique<StreamBody>(std::move(columns), std::move(reader), headers);
}

}  // namespace antipode::primary
