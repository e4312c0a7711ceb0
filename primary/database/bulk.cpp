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

std::optional<SchemaSection> section_of(const BulkRequest& request) {
    const auto found = request.query.find("section");
    if (found == request.query.end()) {
        return std::nullopt;
    }
    if (found->second == "before") {
        return SchemaSection::Before;
    }
    if (found->second == "after") {
        return SchemaSection::After;
    }
    return found->second == "finish" ? std::optional(SchemaSection::Finish) : std::nullopt;
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

}  // namespace

std::unique_ptr<BulkBody> DatabaseBulk::open(const BulkRequest& request) {
    const std::string prefix = store_.to_string() + "/";
    if (!request.path.starts_with(prefix)) {
        return nullptr;
    }
    const std::string what = request.path.substr(prefix.size());
    if (checks_ && what.starts_with("check/")) {
        return checks_->open(what.substr(6), request);
    }
    const auto section = section_of(request);
    if (what == "schema" && section) {
        const SnapshotPlace before = source_.snapshot();
        return std::make_unique<StreamBody>("", source_.schema(*section), headers_of(before));
    }
    if (what == "copy") {
        return open_copy(request);
    }
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

std::unique_ptr<BulkBody> DatabaseBulk::open_copy(const BulkRequest& request) {
    const auto schema = request.query.find("schema");
    const auto table = request.query.find("table");
    if (schema == request.query.end() || table == request.query.end()) {
        return nullptr;
    }
    auto reader = source_.copy({schema->second, table->second});
    if (!reader) {
        return nullptr;
    }
    const Headers headers = headers_of({reader->snapshot(), reader->wal_end()});
    std::string columns = encode_line(reader->columns());
    return std::make_unique<StreamBody>(std::move(columns), std::move(reader), headers);
}

}  // namespace antipode::primary
