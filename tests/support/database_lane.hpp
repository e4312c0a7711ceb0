#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "adapters/postgres/change_source.hpp"
#include "adapters/postgres/replica_reader.hpp"
#include "adapters/postgres/replica_session.hpp"
#include "adapters/postgres/sequence_log.hpp"
#include "adapters/postgres/source_check.hpp"
#include "adapters/postgres/source_control.hpp"
#include "adapters/postgres/source_export.hpp"
#include "base/error.hpp"
#include "primary/database/bulk.hpp"
#include "primary/database/slot_capture.hpp"
#include "protocol/message.hpp"
#include "secondary/database/barriers.hpp"
#include "secondary/database/transaction_apply.hpp"
#include "tests/support/direct_bulk.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/temporary_directory.hpp"

/// The database lane with real PostgreSQL servers on both sides. Events go through the wire format,
/// without a broker.
namespace antipode::test {

using std::chrono::milliseconds;

inline const StoreId store{StoreKind::Database, "app"};

/// Everything of the lane on the primary, as apps wire it.
struct Primary {
    explicit Primary(const PostgresServer& server, const std::string& user = "postgres",
                     const std::string& replica_identity = "set", uint64_t decoding_bytes = 4 << 20,
                     const std::filesystem::path& spool = std::filesystem::temp_directory_path())
        : config{.name = "app",
                 .url = server.url("app", user),
                 .slot = "antipode_test_app",
                 .publication = "antipode_app",
                 .replica_identity = replica_identity},
          source({config.url, config.slot, config.publication, "antipode capture app", spool,
                  decoding_bytes}),
          control({config.url, config.slot, config.publication, "antipode control app"}),
          wal(config.url, "antipode wal app"),
          sequences(config.url, "antipode sequences app"),
          tables({config.url, config.slot, "antipode copy app", ""}),
          checks({config.url, "antipode check app", {.rows = 100}}),
          capture(config, source, control, wal, sequences, clock),
          bulk(store, tables, checks, clock) {}

    Config::Database config;
    SystemClock clock;
    postgres::SlotSource source;
    postgres::SourceSetup control;
    postgres::WalEnd wal;
    postgres::SequenceLog sequences;
    postgres::TableExport tables;
    postgres::SnapshotChecks checks;  ///< small chunks, so that there are several
    primary::SlotCapture capture;
    primary::DatabaseBulk bulk;
};

struct Secondary {
    explicit Secondary(const PostgresServer& server, const std::string& user = "postgres",
                       secondary::CopyOptions copy = {},
                       milliseconds lock_timeout = std::chrono::seconds(60))
        : session({server.url("app", user), store.to_string(), "antipode apply app@b", 0,
                   lock_timeout}),
          reader({server.url("app", user), "antipode check app@b"}),
          apply(store, session, secondary::DdlPolicy::Apply, copy, &barriers) {}
    postgres::ReplicaWriter session;
    postgres::SnapshotReader reader;
    secondary::Barriers barriers;
    secondary::TransactionApply apply;
};

/// Two sites; what the sequencer, the stream and the receiver do between them is played here.
class DatabaseLane : public testing::Test {
  protected:
    DatabaseLane() : a_(directory_ / "a"), b_(directory_ / "b") {
        a_.psql("CREATE DATABASE app");
        b_.psql("CREATE DATABASE app");
        restart_primary();
        restart_secondary();
    }

    void restart_primary() {
        primary_.reset();
        primary_.emplace(a_);
        sealer_.emplace("test", 1, ++session_, previous_);
    }
    void restart_secondary() {
        secondary_.reset();
        secondary_.emplace(b_);
    }

    std::string on_a(const std::string& sql) { return a_.psql(sql, "app"); }
    std::string on_b(const std::string& sql) { return b_.psql(sql, "app"); }

    /// The first poll makes publication and slot.
    void start_capture() { publish(primary_->capture.poll(milliseconds(0))); }

    void copy() {
        DirectBulk bulk(primary_->bulk);
        secondary_->apply.initial_copy(bulk, [](const auto&) {}, {});
    }

    /// Seals events and keeps their messages, as the stream does.
    void publish(const std::vector<primary::DatabaseEvent>& events) {
        for (const auto& event : events) {
            if (const auto* through = std::get_if<primary::DecodedThrough>(&event)) {
                decoded_ = through->lsn;
                continue;
            }
            if (std::holds_alternative<primary::DecodingBegins>(event)) {
                continue;
            }
            v1::Payload payload;
            *payload.mutable_transaction() =
                std::get<primary::CapturedTransaction>(event).transaction;
            for (auto& message : sealer_->seal(store, SystemClock().now(), payload)) {
                previous_ = message.hash;
                auto opened = protocol::open(std::move(message.bytes), "test", 1);
                auto added = assembler_.add(std::get<protocol::Message>(opened));
                for (auto& published : std::get<std::vector<protocol::Event>>(added)) {
                    stream_.push_back(std::move(published));
                }
            }
        }
    }

    /// Applies what the secondary has not applied yet.
    void apply() {
        const Position position = secondary_->apply.position().position;
        std::vector<const protocol::Event*> events;
        for (const protocol::Event& event : stream_) {
            if (event.position > std::max(position, given_)) {
                events.push_back(&event);
            }
        }
        if (!events.empty()) {
            secondary_->apply.apply(events);
            given_ = events.back()->position;
        }
    }

    void capture_up_to(Lsn lsn) {
        ASSERT_TRUE(eventually([&] {
            publish(primary_->capture.poll(milliseconds(100)));
            return decoded_ >= lsn;
        }));
    }

    void catch_up() {
        capture_up_to(primary_->capture.wal_position());
        apply();
        primary_->capture.confirm(secondary_->apply.position().lsn);
    }

    std::string contents(const PostgresServer& server) {
        const std::string tables = server.psql(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN "
            "('pg_catalog', 'information_schema', 'antipode') ORDER BY 1",
            "app");
        std::string script;
        size_t begin = 0;
        while (begin < tables.size()) {
            const size_t end = std::min(tables.find('\n', begin), tables.size());
            const std::string table = tables.substr(begin, end - begin);
            script += "\\echo " + table + "\nCOPY (SELECT * FROM ONLY " + table +
                      " whole_row ORDER BY whole_row::text COLLATE \"C\") TO STDOUT;\n";
            begin = end + 1;
        }
        return server.psql(script, "app");
    }
    void expect_equal() { EXPECT_EQ(contents(a_), contents(b_)); }

    void expect_equal_except(const std::string& table) {
        on_a("DROP TABLE IF EXISTS " + table);
        on_b("DROP TABLE IF EXISTS " + table);
        expect_equal();
    }

    void catch_up_without_confirming() {
        capture_up_to(primary_->capture.wal_position());
        apply();
    }

    /// Applies events [0, end) in calls of one event each.
    void apply_each(const std::vector<protocol::Event>& events, size_t end) {
        for (size_t i = 0; i < end; ++i) {
            secondary_->apply.apply(std::vector{&events[i]});
        }
    }

    /// What `use` throws, as operators read it.
    static std::string error_of(const std::function<void()>& use, Reaction expected) {
        try {
            use();
        } catch (const Error& error) {
            EXPECT_EQ(error.reaction(), expected) << error.describe();
            return error.describe();
        }
        ADD_FAILURE() << "nothing was thrown";
        return {};
    }

    const TemporaryDirectory directory_;
    PostgresServer a_;
    PostgresServer b_;
    std::optional<Primary> primary_;
    std::optional<Secondary> secondary_;
    uint64_t session_ = 0;
    std::optional<Sha256> previous_;
    std::optional<protocol::Sealer> sealer_;
    protocol::Assembler assembler_;
    std::deque<protocol::Event> stream_;
    Position given_;
    Lsn decoded_;
};

}  // namespace antipode::test
