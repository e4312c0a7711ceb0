#pragma once

#include <sstream>
#include <string>

#include "adapters/postgres/connection.hpp"
#include "adapters/postgres/ddl_setup.hpp"
#include "tests/support/database_lane.hpp"
#include "tests/support/structures.hpp"

namespace antipode::test {

/// Changes of the structure on the primary, from the clients' statements to pg_dump of both sides.
class DatabaseDdl : public DatabaseLane {
  protected:
    DatabaseDdl() {
        for (const PostgresServer* server : {&a_, &b_}) {
            server->psql(
                "CREATE ROLE app_owner; CREATE ROLE reader; GRANT CREATE ON DATABASE app "
                "TO app_owner; ALTER DATABASE app OWNER TO app_owner");
        }
        on_a(
            "CREATE TABLE before (id int PRIMARY KEY, v text); INSERT INTO before VALUES (1, 'x')");
        postgres::run_ddl_setup(a_.url("app"), "postgres");
        start_capture();
        copy();
    }

    /// One message of the client's, however many statements it holds.
    void run(const std::string& sql) {
        postgres::Connection client(a_.url("app"), "client");
        client.execute("running a test's script", "RESET search_path; " + sql);
    }

    static std::string schema_of(const PostgresServer& server) {
        return server.dump("app", {"--schema-only", "--exclude-schema=antipode",
                                   "--no-publications", "--restrict-key=x"});
    }
    /// But for the triggers that capture, what they choose, and the right to write messages.
    static std::string schema_of_a(const PostgresServer& server) {
        std::string kept;
        std::istringstream lines(schema_of(server));
        for (std::string line; std::getline(lines, line);) {
            const bool own = line.find("antipode_") != std::string::npos ||
                             line.find("antipode.capture_ddl") != std::string::npos ||
                             line.find("REPLICA IDENTITY FULL") != std::string::npos ||
                             line.find("pg_logical_emit_message") != std::string::npos ||
                             line.find("WHEN TAG IN ('CREATE TABLE AS'") != std::string::npos;
            kept += own ? "" : line + "\n";
        }
        return kept;
    }
    /// Definitions only: no comments, no blank lines.
    static std::string condensed(const std::string& dump) {
        std::string kept;
        std::istringstream lines(dump);
        for (std::string line; std::getline(lines, line);) {
            kept += line.empty() || line.starts_with("--") ? "" : line + "\n";
        }
        return kept;
    }
    void expect_same() {
        EXPECT_EQ(condensed(schema_of_a(a_)), condensed(schema_of_a(b_)));
        EXPECT_EQ(structures_differ(a_, b_), "");
        expect_equal();
    }
    void follow() {
        catch_up();
        expect_same();
    }
    /// Applies everything; copies what the daemon would copy. Returns how often.
    int follow_copying(const std::function<void(DirectBulk&)>& prepare = [](DirectBulk&) {}) {
        int copies = 0;
        DirectBulk bulk(primary_->bulk);
        prepare(bulk);
        for (int tries = 0; tries < 20; ++tries) {
            try {
                catch_up();
                return copies;
            } catch (const Error& error) {
                EXPECT_EQ(error.reaction(), Reaction::Retry) << error.describe();
            }
            try {
                if (!secondary_->apply.position().copied) {
                    ++copies;
                    secondary_->apply.initial_copy(bulk, [](const auto&) {}, {});
                }
            } catch (const Error& error) {
                EXPECT_EQ(error.reaction(), Reaction::Retry) << error.describe();
            }
        }
        ADD_FAILURE() << "it never catches up";
        return copies;
    }
    std::string halts() {
        capture_up_to(primary_->capture.wal_position());
        return error_of([&] { apply(); }, Reaction::Stop);
    }
};

}  // namespace antipode::test
