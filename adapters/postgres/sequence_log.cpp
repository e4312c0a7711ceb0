#include "adapters/postgres/sequence_log.hpp"

#include <chrono>
#include <map>
#include <mutex>

#include "adapters/postgres/control.hpp"
#include "adapters/postgres/sequence_message.hpp"

namespace antipode::postgres {
namespace {

constexpr const char* reading = "reading the sequences";
constexpr const char* insufficient_privilege = "42501";
/// Each that is read is locked until its transaction ends, and the server's room for locks is
/// limited.
constexpr int sequences_per_transaction = 500;
constexpr size_t sequences_per_statement = 100;
constexpr size_t sequences_per_message = 1000;
/// Mirrors that missed something for whatever reason are right again after this time.
constexpr std::chrono::minutes all_interval(10);

/// Does not tell apart those that were never used and those that may not be read.
constexpr const char* used_sql = R"(
    SELECT s.seqrelid, n.nspname, c.relname, s.seqincrement > 0,
      CASE WHEN has_sequence_privilege(s.seqrelid, 'SELECT, USAGE')
           THEN pg_sequence_last_value(s.seqrelid) END
    FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE s.seqrelid > $1 AND c.relpersistence = 'p' AND n.nspname <> 'antipode'
    ORDER BY s.seqrelid LIMIT $2)";

struct Found {
    SequenceValue at;
    bool ascending = true;
    bool known = false;  ///< `at` was read
};

/// Calls `use(statement)`, each in a transaction of its own.
template <typename InTransaction>
std::vector<Found> read_used(InTransaction in_transaction) {
    std::vector<Found> found;
    std::string last = "0";
    while (true) {
        const Rows rows = in_transaction([&](Connection& connection) {
            return connection.query(reading, used_sql,
                                    {last, std::to_string(sequences_per_transaction)});
        });
        for (int row = 0; row < rows.size(); ++row) {
            const bool used = !rows.is_null(row, 4);
            found.push_back({{{rows.string(row, 1), rows.string(row, 2)},
                              used ? rows.integer(row, 4) : 0,
                              used},
                             rows.boolean(row, 3),
                             used});
        }
        if (rows.size() < sequences_per_transaction) {
            return found;
        }
        last = rows.string(rows.size() - 1, 0);
    }
}

void read_part(Connection& connection, std::span<Found* const> part) {
    std::string sql;
    for (size_t i = 0; i < part.size(); ++i) {
        const TableName& name = part[i]->at.name;
        sql += (i == 0 ? "SELECT " : " UNION ALL SELECT ") + std::to_string(i) +
               ", last_value, is_called FROM " + quote_identifier(name.schema) + "." +
               quote_identifier(name.table);
    }
    const Rows rows = connection.query(reading, sql);
    for (int row = 0; row < rows.size(); ++row) {
        Found& found = *part[static_cast<size_t>(rows.integer(row, 0))];
        found.at.value = rows.integer(row, 1);
        found.at.called = rows.boolean(row, 2);
        found.known = true;
    }
}

/// Looks into the sequences themselves.
template <typename InTransaction>
void read_whole(InTransaction in_transaction, std::span<Found* const> wanted) {
    try {
        while (!wanted.empty()) {
            const auto part = wanted.first(std::min(wanted.size(), sequences_per_statement));
            in_transaction([&](Connection& connection) {
                read_part(connection, part);
                return true;
            });
            wanted = wanted.subspan(part.size());
        }
    } catch (const SqlError& error) {
        if (error.sqlstate() == insufficient_privilege) {
            throw Error(Reaction::Stop, error.what(), "on the primary: antipode database setup");
        }
        // Dropped meanwhile, most likely.
        throw Error(Reaction::Retry, error.what());
    }
}

template <typename InTransaction>
std::vector<Found> read_all(InTransaction in_transaction) {
    std::vector<Found> found = read_used(in_transaction);
    std::vector<Found*> unknown;
    for (Found& one : found) {
        if (!one.known) {
            unknown.push_back(&one);
        }
    }
    read_whole(in_transaction, unknown);
    return found;
}

std::vector<SequenceValue> values_of(std::vector<Found> found) {
    std::vector<SequenceValue> values;
    values.reserve(found.size());
    for (Found& one : found) {
        values.push_back(std::move(one.at));
    }
    return values;
}

bool went_back(const Found& now, const SequenceValue& before) {
    const bool less = now.ascending ? now.at.value < before.value : now.at.value > before.value;
    return less || (now.at.value == before.value && before.called && !now.at.called);
}

}  // namespace

std::vector<SequenceValue> read_sequences(Connection& connection) {
    return values_of(read_all([&](auto use) { return use(connection); }));
}

std::vector<SequenceValue> read_sequences(Control& control) {
    return values_of(read_all([&](auto use) { return control.transaction(use); }));
}

struct SequenceLog::State {
    State(std::string url, std::string application_name)
        : control(std::move(url), std::move(application_name)) {}

    std::mutex mutex;
    Control control;
    std::map<TableName, SequenceValue> published;
    std::chrono::steady_clock::time_point all_at = std::chrono::steady_clock::now();

    auto transactions() {
        return [this](auto use) { return control.transaction(use); };
    }
    /// `everything`: those that did not move, too.
    std::vector<SequenceState> moved(std::vector<Found>& found, bool everything);
    void write(const std::vector<SequenceState>& states);
};

SequenceLog::SequenceLog(std::string url, std::string application_name)
    : state_(std::make_unique<State>(std::move(url), std::move(application_name))) {}
SequenceLog::~SequenceLog() = default;

std::vector<SequenceState> SequenceLog::State::moved(std::vector<Found>& found, bool everything) {
    std::vector<Found*> unused_again;
    for (Found& one : found) {
        if (!one.known && published.contains(one.at.name)) {
            unused_again.push_back(&one);
        }
    }
    read_whole(transactions(), unused_again);
    std::vector<SequenceState> states;
    for (const Found& one : found) {
        const auto before = published.find(one.at.name);
        const bool stood = before != published.end() && before->second == one.at;
        if (one.known && (everything || !stood)) {
            states.push_back({one.at, before != published.end() && went_back(one, before->second)});
        }
    }
    return states;
}

void SequenceLog::State::write(const std::vector<SequenceState>& states) {
    if (states.empty()) {
        return;
    }
    control.transaction([&](Connection& connection) {
        const std::span<const SequenceState> all(states);
        for (size_t begin = 0; begin < all.size(); begin += sequences_per_message) {
            const auto part =
                all.subspan(begin, std::min(sequences_per_message, all.size() - begin));
            connection.query("writing where the sequences stand",
                             "SELECT pg_logical_emit_message(true, $1, convert_to($2, 'UTF8'))",
                             {std::string(sequence_prefix), write_sequence_message(part)});
        }
        return true;
    });
    for (const SequenceState& state : states) {
        published[state.at.name] = state.at;
    }
}

void SequenceLog::publish_moved() {
    const std::scoped_lock lock(state_->mutex);
    const auto now = std::chrono::steady_clock::now();
    const bool everything = now - state_->all_at >= all_interval;
    auto found = read_used(state_->transactions());
    const auto states = state_->moved(found, everything);
    if (everything) {
        // Also forgets those that were dropped.
        state_->published.clear();
        state_->all_at = now;
    }
    state_->write(states);
    bool back = false;
    for (const SequenceState& state : states) {
        if (state.exact) {
            // Whatever is read now is published, as it is by now.
            state_->published.erase(state.at.name);
            back = true;
        }
    }
    if (back) {
        found = read_used(state_->transactions());
        state_->write(state_->moved(found, false));
    }
}

Lsn SequenceLog::publish_all(bool exact) {
    const std::scoped_lock lock(state_->mutex);
    std::vector<SequenceState> states;
    for (const Found& found : read_all(state_->transactions())) {
        states.push_back({found.at, exact});
    }
    state_->write(states);
    const Rows end = state_->control.transaction([](Connection& connection) {
        return connection.query(reading, "SELECT pg_current_wal_insert_lsn()");
    });
    return Lsn::parse(end.text(0, 0)).value_or(Lsn{});
}

}  // namespace antipode::postgres
