#include "primary/database/bulk.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "protocol/table_list.hpp"

namespace antipode::primary {
namespace {

using protocol::encode_line;
using Headers = std::map<std::string, std::string>;

/// A text that is there as a whole.
class TextBody final : public BulkBody {
  public:
    TextBody(std::string text, Headers headers)
        : text_(std::move(text)), headers_(std::move(headers)) {}
    std::optional<uint64_t> size() const override { return text_.size(); }
    void seek(uint64_t offset) override { next_ = std::min<uint64_t>(offset, text_.size()); }
    size_t read(std::span<char> buffer) override {
        const size_t size = std::min(buffer.size(), text_.size() - next_);
        std::copy_n(text_.begin() + static_cast<ptrdiff_t>(next_), size, buffer.begin());
        next_ += size;
        return size;
    }
    Headers headers() const override { return headers_; }

  private:
    std::string text_;
    Headers headers_;
    size_t next_ = 0;
};

/// A line of our own, then what `reader` gives.
class StreamBody final : public BulkBody {
  public:
    StreamBody(std::string first, std::unique_ptr<ByteReader> reader, Headers headers)
        : first_(std::move(first), {}), reader_(std::move(reader)), headers_(std::move(headers)) {}
    std::optional<uint64_t> size() const override { return std::nullopt; }
    void seek(uint64_t /*offset*/) override {}
    Headers headers() const override { return headers_; }
    size_t read(std::span<char> buffer) override {
        size_t filled = first_.read(buffer);
        while (filled < buffer.size()) {
            const size_t size = reader_->read(buffer.subspan(filled));
            if (size == 0) {
                break;
            }
            filled += size;
        }
        return filled;
    }

  private:
    TextBody first_;
    std::unique_ptr<ByteReader> reader_;
    Headers headers_;
};

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
