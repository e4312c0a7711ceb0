#include "adapters/postgres/source_check.hpp"

#include <map>
#include <mutex>

#include "adapters/postgres/barrier_message.hpp"
#include "adapters/postgres/copy_out.hpp"
#include "adapters/postgres/large_objects.hpp"
#include "adapters/postgres/recipes.hpp"
#include "adapters/postgres/source_export.hpp"
#include "adapters/postgres/structure.hpp"
#include "base/synchronized.hpp"

namespace antipode::postgres {
namespace {

constexpr const char* doing = "checking";

/// One transaction of its own. It need not wait for synchronous standbys: one of them may be the
/// site that asks.
void write_barrier(Connection& connection, const DecodedBarrier& barrier) {
    connection.query("writing a barrier", "SELECT pg_logical_emit_message(true, $1, $2)",
                     {barrier_prefix, barrier_message(barrier)});
}

class HeldSnapshot final : public SourceCheck {
  public:
    HeldSnapshot(const SnapshotChecks::Options& options, const std::string& id, CheckReads read)
        : options_(options), holder_(options.url, options.application_name) {
        Connection writer(options.url, options.application_name);
        writer.execute(doing, "SET synchronous_commit = local");
        write_barrier(writer, {id, ""});
        // Commits before that barrier are to be in the snapshot.
        wait_for_synchronous_commits(holder_, doing);
        holder_.execute(doing, "SET idle_in_transaction_session_timeout = '5min'");
        holder_.execute(doing, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        const Rows taken =
            holder_.query(doing, "SELECT pg_current_snapshot(), pg_export_snapshot()");
        snapshot_ = taken.string(0, 0);
        exported_ = taken.string(0, 1);
        const Rows end = holder_.query(doing, "SELECT pg_current_wal_insert_lsn()");
        wal_end_ = Lsn::parse(end.text(0, 0)).value_or(Lsn{});
        if (read != CheckReads::Rows) {
            read_structure_now(read == CheckReads::AlsoRecipes);
        }
        write_barrier(writer, {id, snapshot_});
    }

    const std::string& snapshot() const override { return snapshot_; }
    Lsn wal_end() const override { return wal_end_; }

    const Structure* structure() const override {
        if (!why_no_structure_.empty()) {
            throw Unreadable(why_no_structure_);
        }
        return structure_ ? &*structure_ : nullptr;
    }
    const Recipes* recipes() const override {
        return structure() != nullptr && recipes_ ? &*recipes_ : nullptr;
    }

    void keep() override {
        std::scoped_lock lock(mutex_);
        holder_.query(doing, "SELECT 1");
    }

    std::vector<LargeObject> large_objects(const std::stop_token& stop) override {
        Connection connection = join();
        connection.heed(stop);
        return or_unreadable([&] { return read_large_objects(connection); });
    }

    std::unique_ptr<ByteReader> large_object(uint32_t oid) override {
        return read_large_object(join(), oid);
    }

    void cut_as(const SourceCheck& other) override {
        const auto& held = dynamic_cast<const HeldSnapshot&>(other);
        const auto plans = held.plans_.copy();
        plans_.with([&](auto& own) { own = plans; });
    }

    std::optional<ChunkPlan> plan(const TableName& table) const override {
        return plans_.with([&](const auto& plans) {
            const auto found = plans.find(table);
            return found == plans.end() ? std::nullopt : std::optional(found->second);
        });
    }

    std::vector<TableName> tables() override {
        Connection connection = join();
        const Rows rows =
            connection.query("listing tables", std::string("SELECT n.nspname, c.relname") +
                                                   replicated_tables + " ORDER BY 1, 2");
        std::vector<TableName> tables;
        for (int row = 0; row < rows.size(); ++row) {
            tables.push_back({rows.string(row, 0), rows.string(row, 1)});
        }
        return tables;
    }

    std::optional<ChunkedTable> digests(const TableName& table, const std::set<uint32_t>& chunks,
                                        const std::stop_token& stop) override {
        Connection connection = join();
        connection.heed(stop);
        return read(connection, table, [&] {
            ChunkedTable chunked;
            if (const auto known = plan(table)) {
                chunked.plan = *known;
            } else {
                chunked.plan = make_plan(connection, table, options_.sizes);
                plans_.with([&](auto& plans) { plans[table] = chunked.plan; });
            }
            chunked.digests = read_digests(connection, chunked.plan, chunks);
            return chunked;
        });
    }

    std::optional<KeyDigests> keys(const TableName& table, const std::set<uint32_t>& chunks,
                                   const std::stop_token& stop) override {
        const auto known = plan(table);
        if (!known) {
            return std::nullopt;
        }
        Connection connection = join();
        connection.heed(stop);
        return read(connection, table, [&] { return read_keys(connection, *known, chunks); });
    }

    std::unique_ptr<ByteReader> copy(const TableName& table,
                                     const std::set<uint32_t>& chunks) override {
        const auto known = plan(table);
        if (!known) {
            return nullptr;
        }
        Connection connection = join();
        const std::string sql = "COPY (SELECT " + column_list(known->columns) + " FROM ONLY " +
                                qualified(table) + " WHERE " + in_chunks(*known, chunks) +
                                ") TO STDOUT";
        auto reader = read(connection, table, [&] {
            return std::make_unique<CopyOut>(std::move(connection),
                                             "copying chunks of " + table.to_string(), sql);
        });
        return reader ? std::move(*reader) : nullptr;
    }

  private:
    /// A connection that reads the snapshot.
    Connection join() {
        keep();
        Connection connection(options_.url, options_.application_name);
        connection.execute(doing, "SET lock_timeout = '10s'");
        connection.execute(doing, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        connection.execute(doing, "SET TRANSACTION SNAPSHOT " + quote_literal(exported_));
        return connection;
    }

    /// nullopt: it is not in the snapshot, or not any more.
    template <typename Use>
    static auto read(Connection& connection, const TableName& table, Use use)
        -> std::optional<decltype(use())> {
        auto result = or_unreadable([&] {
            return unless_missing([&]() -> std::optional<decltype(use())> {
                return is_readable(connection, table) ? std::optional(use()) : std::nullopt;
            });
        });
        return result ? std::move(*result) : std::nullopt;
    }

    void read_structure_now(bool with_recipes) {
        try {
            Connection reader(options_.url, options_.application_name);
            reader.execute(doing, "SET lock_timeout = '10s'; SET statement_timeout = '60s'");
            structure_ = or_unreadable([&] { return read_structure(reader); });
            if (with_recipes) {
                recipes_ = or_unreadable([&] { return read_recipes(reader); });
            }
        } catch (const Unreadable& error) {
            why_no_structure_ = error.what();
        }
    }

    const SnapshotChecks::Options options_;
    std::mutex mutex_;
    Connection holder_;  // under mutex_
    std::string snapshot_;
    Lsn wal_end_;
    std::string exported_;
    std::optional<Structure> structure_;
    std::optional<Recipes> recipes_;
    std::string why_no_structure_;
    Synchronized<std::map<TableName, ChunkPlan>> plans_;
};

}  // namespace

std::shared_ptr<SourceCheck> SnapshotChecks::open(const std::string& id, CheckReads read) {
    return std::make_shared<HeldSnapshot>(options_, id, read);
}

}  // namespace antipode::postgres
