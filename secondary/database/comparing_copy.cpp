#include "secondary/database/comparing_copy.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include <spdlog/spdlog.h>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "secondary/database/mend.hpp"
#include "secondary/database/snapshot.hpp"
#include "secondary/database/table_copy.hpp"

namespace antipode::secondary {
namespace {

constexpr unsigned tries = 5;
/// A table of so many chunks is copied whole when more than half of them differ.
constexpr size_t few_chunks = 8;
constexpr size_t shown_bytes = 400;

/// As materialized views are filled on a mirror (SchemaSection::Finish).
bool is_filling(std::string_view line) {
    return line.starts_with("DO ");
}

/// The primary's daemon chooses identities for its own decoding.
bool is_identity(std::string_view line) {
    return line.starts_with("ALTER TABLE ") &&
           line.find(" REPLICA IDENTITY ") != std::string_view::npos;
}

/// Each from its first line to the next that ends with a semicolon.
std::vector<std::string> statements_that_count(std::string_view text) {
    std::vector<std::string> statements(1);
    while (!text.empty()) {
        const size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.empty() || line.starts_with("--") || is_filling(line) || is_identity(line)) {
            continue;
        }
        statements.back() += std::string(line) + " ";
        if (line.ends_with(";")) {
            statements.emplace_back();
        }
    }
    return statements;
}

std::string fillings(std::string_view finish) {
    std::string script;
    while (!finish.empty()) {
        const size_t end = std::min(finish.find('\n'), finish.size());
        if (is_filling(finish.substr(0, end))) {
            script += std::string(finish.substr(0, end)) + "\n";
        }
        finish.remove_prefix(std::min(end + 1, finish.size()));
    }
    return script;
}

std::string shown(const std::vector<std::string>& statements, size_t at) {
    const std::string statement = at < statements.size() ? statements[at] : "";
    return statement.empty() ? "nothing more"
                             : "\"" + printable(statement.substr(0, shown_bytes)) + "\"";
}

const RowsDigest& at(const ChunkDigests& digests, uint32_t chunk) {
    static const RowsDigest none;
    const auto found = digests.find(chunk);
    return found == digests.end() ? none : found->second;
}

}  // namespace

std::string difference_of_schemas(const std::string& primary, const std::string& here) {
    const auto theirs = statements_that_count(primary);
    const auto ours = statements_that_count(here);
    const auto [their, our] = std::mismatch(theirs.begin(), theirs.end(), ours.begin(), ours.end());
    if (their == theirs.end() && our == ours.end()) {
        return {};
    }
    const auto place = static_cast<size_t>(their - theirs.begin());
    return "the primary has " + shown(theirs, place) + ", this site " + shown(ours, place);
}

ComparingCopy::ComparingCopy(const StoreId& store, ReplicaSession& session, BulkSource& primary,
                             const std::function<void(CopyProgress)>& report,
                             const std::stop_token& stop)
    : store_(store),
      session_(session),
      primary_(primary),
      report_(report),
      stop_(stop),
      source_(store, primary, stop) {}

void ComparingCopy::run() {
    state_ = session_.load();
    // The confirmed position comes with the list, so before the first snapshot.
    const CopySource::Listing listing = source_.tables();
    if (state_.tables.empty()) {
        begin(listing);
    }
    const std::set<TableName> here = tables_here();
    progress_.tables = listing.tables.size();
    for (const CopySource::Table& table : listing.tables) {
        progress_.source_bytes += table.bytes;
    }
    for (const CopySource::Table& table : listing.tables) {
        const bool is_new = !here.contains(table.name);  // made behind the schema's snapshot
        const bool is_done = is_new || std::any_of(state_.tables.begin(), state_.tables.end(),
                                                   [&](const CopiedTable& copied) {
                                                       return copied.name == table.name;
                                                   });
        progress_.table = table.name.to_string();
        report_(progress_);
        if (is_done) {
            progress_.source_bytes_before += table.bytes;
        } else {
            compare(table.name);
        }
        ++progress_.tables_done;
        progress_.source_bytes_done += table.bytes;
    }
    progress_.table.clear();
    report_(progress_);
    finish();
}

void ComparingCopy::begin(const CopySource::Listing& listing) {
    const CopySource::Schema theirs = source_.settled_schema();
    std::string difference;
    session_.begin();
    for (const auto& [section, text] : {std::pair{SchemaSection::Before, &theirs.before},
                                        std::pair{SchemaSection::After, &theirs.after},
                                        std::pair{SchemaSection::Finish, &theirs.finish}}) {
        // What the initial copy has not come to yet is not here.
        const bool is_later = section == SchemaSection::Finish && !state_.finish_script.empty();
        if (difference.empty() && !is_later) {
            difference = difference_of_schemas(*text, session_.schema(section));
        }
    }
    if (!difference.empty()) {
        throw Error(Reaction::Stop,
                    "transactions of " + store_.to_string() +
                        " are lost, and among them changes of the structure: " + difference,
                    "make the structure here as it is on the primary (compare pg_dump "
                    "--schema-only of both), or copy the database again into an empty one");
    }
    state_.lsn = std::max(state_.lsn, listing.confirmed);
    state_.finish_script += fillings(theirs.finish);
    session_.save(state_);
    session_.remember_copied(theirs.snapshot);
    session_.commit();
    state_.tables.push_back(theirs.snapshot);
}

std::set<TableName> ComparingCopy::tables_here() {
    std::set<TableName> names;
    session_.begin();
    for (const LocalTable& table : session_.tables()) {
        names.insert(table.name);
    }
    session_.commit();
    return names;
}

void ComparingCopy::compare(const TableName& table) {
    for (unsigned i = 0; i < tries; ++i) {
        if (stop_.stop_requested()) {
            throw Stopped{};
        }
        if (compare_once(table)) {
            return;
        }
    }
    throw Error(Reaction::Retry, printable(table.to_string()) +
                                     " is rewritten on the primary again and again, or was "
                                     "dropped there");
}

bool ComparingCopy::compare_once(const TableName& table) {
    PrimaryCheck check(store_, primary_, stop_);
    check.open();
    const auto there = check.digests(table, {});
    if (!there) {
        return false;
    }
    session_.begin();
    const ChunkDigests here = session_.digests(there->plan);
    std::set<uint32_t> differing;
    for (uint32_t chunk = 0; chunk < there->plan.chunks(); ++chunk) {
        if (at(here, chunk) != at(there->digests, chunk)) {
            differing.insert(chunk);
        }
        progress_.rows += at(there->digests, chunk).rows;
    }
    write(check, there->plan, differing);
    session_.commit();
    return true;
}

void ComparingCopy::write(const PrimaryCheck& check, const ChunkPlan& plan,
                          const std::set<uint32_t>& differing) {
    const auto came = [&](size_t bytes) { progress_.bytes += bytes; };
    if (differing.size() > few_chunks && differing.size() * 2 > plan.chunks()) {
        session_.clear_copied(plan.table);
        if (!copy_rows(store_, session_, primary_, plan.table, KeyRange{}, came, stop_)) {
            throw Error(Reaction::Retry,
                        printable(plan.table.to_string()) + " was dropped on the primary");
        }
        spdlog::warn("{}: {} differed from the primary's in most chunks and was copied",
                     store_.to_string(), printable(plan.table.to_string()));
        return;
    }
    if (!differing.empty()) {
        const MendedRows mended = replace_chunks(check, plan, differing, {}, session_, came);
        spdlog::warn("{}: {} differed in {} of {} chunks: {} rows removed, {} written",
                     store_.to_string(), printable(plan.table.to_string()), differing.size(),
                     plan.chunks(), mended.removed, mended.added);
    }
    session_.remember_copied({plan.table, check.snapshot(), check.wal_end()});
}

void ComparingCopy::finish() {
    const auto sequences = source_.sequences();
    session_.begin();
    for (const SequenceValue& sequence : sequences) {
        session_.set_sequence(sequence);
    }
    state_.phase = CopyPhase::Finish;
    session_.save(state_);
    session_.commit();
}

}  // namespace antipode::secondary
