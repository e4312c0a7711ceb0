#include "secondary/database/initial_copy.hpp"

#include <algorithm>
#include <charconv>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/limits.hpp"
#include "protocol/table_list.hpp"
#include "secondary/database/snapshot.hpp"

namespace antipode::secondary {
namespace {

/// A schema or a list of tables larger than this is refused; rows are streamed.
constexpr size_t text_most_bytes = 256 * limits::mib;
constexpr uint64_t report_every_bytes = 4 * limits::mib;

[[noreturn]] void malformed(const std::string& what) {
    throw Error(Reaction::Stop, "the primary's answer to " + what + " is malformed",
                "compare the versions of Antipode on both sites (antipode version)");
}

std::string header(const BulkSource::Answer& answer, const char* name, const std::string& what) {
    const auto found = answer.headers.find(name);
    if (found == answer.headers.end()) {
        malformed(what);
    }
    return found->second;
}

Lsn lsn_header(const BulkSource::Answer& answer, const char* name, const std::string& what) {
    const auto lsn = Lsn::parse(header(answer, name, what));
    if (!lsn) {
        malformed(what);
    }
    return *lsn;
}

/// Puts a table's body into the session: the first line names the columns.
class TableSink {
  public:
    TableSink(ReplicaSession& session, const TableName& table) : session_(session), table_(table) {}

    void write(std::string_view chunk) {
        if (!begun_) {
            first_ += chunk;
            const size_t end = first_.find('\n');
            if (end == std::string::npos && first_.size() < limits::mib) {
                return;
            }
            const auto columns = protocol::decode_line(std::string_view(first_).substr(0, end));
            if (!columns || end == std::string::npos) {
                malformed("copy " + printable(table_.to_string()));
            }
            session_.begin_copy(table_, *columns);
            begun_ = true;
            if (end + 1 < first_.size()) {
                session_.copy_bytes(std::string_view(first_).substr(end + 1));
            }
            return;
        }
        session_.copy_bytes(chunk);
    }
    bool begun() const { return begun_; }

  private:
    ReplicaSession& session_;
    const TableName& table_;
    std::string first_;
    bool begun_ = false;
};

}  // namespace

InitialCopy::InitialCopy(const StoreId& store, ReplicaSession& session, BulkSource& primary,
                         const std::function<void(CopyProgress)>& report,
                         const std::stop_token& stop)
    : store_(store), session_(session), primary_(primary), report_(report), stop_(stop) {}

void InitialCopy::run() {
    state_ = session_.load();
    if (state_.phase == CopyPhase::Finish || state_.phase == CopyPhase::Complete) {
        return;
    }
    // The confirmed position comes with the list, so before the first snapshot.
    const Listing listing = fetch_tables();
    if (state_.phase == CopyPhase::None) {
        begin_copy(listing);
    }
    progress_.tables = listing.tables.size();
    for (const TableName& table : listing.tables) {
        const bool done =
            std::any_of(state_.tables.begin(), state_.tables.end(),
                        [&](const CopiedTable& copied) { return copied.name == table; });
        if (!done) {
            copy_table(table);
        }
        ++progress_.tables_done;
    }
    finish();
    progress_.table.clear();
    report_(progress_);
}

BulkRequest InitialCopy::request(const std::string& what) const {
    return {store_.to_string() + "/" + what, {}};
}

std::string InitialCopy::fetch(const BulkRequest& request, BulkSource::Answer& answer) {
    std::string text;
    answer = primary_.get(
        request, 0, {},
        [&](std::string_view chunk) {
            if (text.size() + chunk.size() > text_most_bytes) {
                malformed(request.path);
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

std::string InitialCopy::fetch_section(const char* section, BulkSource::Answer& answer) {
    BulkRequest wanted = request("schema");
    wanted.query["section"] = section;
    return fetch(wanted, answer);
}

InitialCopy::Schema InitialCopy::fetch_schema() {
    Schema schema;
    BulkSource::Answer first;
    BulkSource::Answer other;
    schema.before = fetch_section("before", first);
    schema.after = fetch_section("after", other);
    schema.finish = fetch_section("finish", other);
    schema.snapshot = {schema_name, header(first, protocol::snapshot_header, "schema"),
                       lsn_header(first, protocol::wal_end_header, "schema")};
    return schema;
}

InitialCopy::Listing InitialCopy::fetch_tables() {
    BulkSource::Answer answer;
    const auto lines = protocol::decode_lines(fetch(request("tables"), answer), 4);
    if (!lines) {
        malformed("tables");
    }
    Listing listing;
    listing.confirmed = lsn_header(answer, protocol::confirmed_header, "tables");
    for (const protocol::Words& words : *lines) {
        listing.tables.push_back({words[0], words[1]});
    }
    return listing;
}

void InitialCopy::begin_copy(const Listing& listing) {
    // Twice the same: then it is as it was at the second one's snapshot.
    const Schema earlier = fetch_schema();
    const Schema schema = fetch_schema();
    if (!(schema == earlier)) {
        throw Error(Reaction::Retry, "the primary's schema changed while it was read");
    }
    state_.after_script = schema.after;
    state_.finish_script = schema.finish;
    session_.begin();
    const auto here = session_.tables();
    for (const LocalTable& table : here) {
        if (!table.empty && !table.of_extension) {
            throw Error(Reaction::Stop,
                        "the database of " + store_.to_string() +
                            " on this site is not empty: " + printable(table.name.to_string()) +
                            " holds rows that were not copied from the primary; they are not "
                            "overwritten",
                        "give the store an empty database");
        }
        state_.schema_was_here = state_.schema_was_here || !table.of_extension;
    }
    if (state_.schema_was_here) {
        state_.after_script.clear();
        state_.finish_script.clear();
    } else {
        session_.run_script(schema.before);
    }
    state_.lsn = listing.confirmed;
    state_.phase = CopyPhase::Tables;
    session_.save(state_);
    session_.remember_copied(schema.snapshot);
    session_.commit();
    state_.tables.push_back(schema.snapshot);
}

void InitialCopy::copy_table(const TableName& table) {
    if (stop_.stop_requested()) {
        throw Stopped{};
    }
    progress_.table = table.to_string();
    report_(progress_);
    BulkRequest wanted = request("copy");
    wanted.query["schema"] = table.schema;
    wanted.query["table"] = table.table;

    session_.begin();
    TableSink sink(session_, table);
    uint64_t reported = progress_.bytes;
    const BulkSource::Answer answer = primary_.get(
        wanted, 0, {},
        [&](std::string_view chunk) {
            sink.write(chunk);
            progress_.bytes += chunk.size();
            if (progress_.bytes - reported >= report_every_bytes) {
                reported = progress_.bytes;
                report_(progress_);
            }
        },
        stop_);
    const std::string name = printable(table.to_string());
    if (!answer.found) {
        throw Error(Reaction::Retry, name + " was dropped on the primary during the initial copy");
    }
    if (!sink.begun()) {
        malformed("copy " + name);
    }
    CopiedTable copied{table, header(answer, protocol::snapshot_header, name),
                       lsn_header(answer, protocol::wal_end_header, name)};
    progress_.rows += session_.end_copy(copied);
    session_.commit();
    state_.tables.push_back(std::move(copied));
}

std::vector<SequenceValue> InitialCopy::fetch_sequences() {
    BulkSource::Answer answer;
    const auto lines = protocol::decode_lines(fetch(request("sequences"), answer), 4);
    if (!lines) {
        malformed("sequences");
    }
    std::vector<SequenceValue> sequences;
    for (const protocol::Words& words : *lines) {
        SequenceValue sequence{{words[0], words[1]}, 0, words[3] == "1"};
        const std::string& digits = words[2];
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), sequence.value);
        if (error != std::errc() || end != digits.data() + digits.size()) {
            malformed("sequences");
        }
        sequences.push_back(std::move(sequence));
    }
    return sequences;
}

void InitialCopy::finish() {
    const auto sequences = fetch_sequences();
    session_.begin();
    if (!state_.after_script.empty()) {
        session_.run_script(state_.after_script);
        state_.after_script.clear();
    }
    for (const SequenceValue& sequence : sequences) {
        session_.set_sequence(sequence);
    }
    state_.phase = CopyPhase::Finish;
    session_.save(state_);
    session_.commit();
}

}  // namespace antipode::secondary
