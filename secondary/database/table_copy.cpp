#include "secondary/database/table_copy.hpp"

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "protocol/table_list.hpp"

namespace antipode::secondary {
namespace {

/// The rows come in a format that this site's table cannot take; nothing is written yet.
struct WrongFormat {};

std::vector<uint32_t> types_of(const BulkSource::Answer& answer, const std::string& what) {
    std::vector<uint32_t> types;
    const auto found = answer.headers.find(protocol::binary_types_header);
    if (found == answer.headers.end()) {
        return types;
    }
    std::string_view list = found->second;
    while (!list.empty()) {
        const size_t end = std::min(list.find(','), list.size());
        const auto type = protocol::decode_number(list.substr(0, end));
        if (!type) {
            malformed_answer(what);
        }
        types.push_back(static_cast<uint32_t>(*type));
        list.remove_prefix(std::min(list.size(), end + 1));
    }
    return types;
}

/// Puts a table's body into the session: the first line names the columns.
class RowSink {
  public:
    RowSink(ReplicaSession& session, const TableName& table, const KeyRange& range)
        : session_(session), name_("copy " + printable(table.to_string())) {
        beginning_.copied.name = table;
        beginning_.copied.range = range;
    }

    void take(const BulkSource::Answer& answer) {
        beginning_.copied.snapshot = header(answer, protocol::snapshot_header, name_);
        beginning_.copied.wal_end = lsn_header(answer, protocol::wal_end_header, name_);
        beginning_.binary_types = types_of(answer, name_);
    }

    void write(std::string_view chunk) {
        if (begun_) {
            session_.copy_bytes(chunk);
            return;
        }
        first_ += chunk;
        const size_t end = first_.find('\n');
        if (end == std::string::npos && first_.size() < limits::mib) {
            return;
        }
        const auto columns = protocol::decode_line(std::string_view(first_).substr(0, end));
        const size_t types = beginning_.binary_types.size();
        if (!columns || end == std::string::npos || (types > 0 && types != columns->size())) {
            malformed_answer(name_);
        }
        beginning_.columns = *columns;
        if (!session_.begin_copy(beginning_)) {
            throw WrongFormat{};
        }
        begun_ = true;
        if (end + 1 < first_.size()) {
            session_.copy_bytes(std::string_view(first_).substr(end + 1));
        }
    }

    CopiedRows end() {
        if (!begun_) {
            malformed_answer(name_);
        }
        return {beginning_.copied, session_.end_copy()};
    }

  private:
    ReplicaSession& session_;
    const std::string name_;
    CopyBeginning beginning_;
    std::string first_;
    bool begun_ = false;
};

BulkRequest request_for(const StoreId& store, const TableName& table, const KeyRange& range,
                        int binary_for) {
    BulkRequest wanted{store.to_string() + "/copy", {}};
    wanted.query["schema"] = table.schema;
    wanted.query["table"] = table.table;
    if (!range.whole()) {
        wanted.query["column"] = range.column;
    }
    if (range.after) {
        wanted.query["after"] = std::to_string(*range.after);
    }
    if (range.up_to) {
        wanted.query["up_to"] = std::to_string(*range.up_to);
    }
    if (binary_for != 0) {
        wanted.query["binary"] = std::to_string(binary_for);
    }
    return wanted;
}

}  // namespace

std::optional<CopiedRows> copy_rows(const StoreId& store, ReplicaSession& session,
                                    BulkSource& primary, const TableName& table,
                                    const KeyRange& range, const std::function<void(size_t)>& came,
                                    const std::stop_token& stop) {
    for (const int binary_for : {session.server_major(), 0}) {
        RowSink sink(session, table, range);
        try {
            const BulkSource::Answer answer = primary.get(
                request_for(store, table, range, binary_for), 0,
                [&](const BulkSource::Answer& head) { sink.take(head); },
                [&](std::string_view chunk) {
                    sink.write(chunk);
                    came(chunk.size());
                },
                stop);
            return answer.found ? std::optional(sink.end()) : std::nullopt;
        } catch (const WrongFormat&) {
            // Once more, as text.
        }
    }
    malformed_answer("copy " + printable(table.to_string()));
}

std::string header(const BulkSource::Answer& answer, const char* name, const std::string& what) {
    const auto found = answer.headers.find(name);
    if (found == answer.headers.end()) {
        malformed_answer(what);
    }
    return found->second;
}

Lsn lsn_header(const BulkSource::Answer& answer, const char* name, const std::string& what) {
    const auto lsn = Lsn::parse(header(answer, name, what));
    if (!lsn) {
        malformed_answer(what);
    }
    return *lsn;
}

void malformed_answer(const std::string& what) {
    throw Error(Reaction::Stop, "the primary's answer to " + what + " is malformed",
                "compare the versions of Antipode on both sites (antipode version)");
}

}  // namespace antipode::secondary
