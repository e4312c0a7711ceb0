#pragma once

#include <sstream>
#include <string>

#include "adapters/postgres/capture_setup.hpp"
#include "adapters/postgres/connection.hpp"
#include "adapters/postgres/ddl_setup.hpp"
#include "adapters/postgres/replica_setup.hpp"
#include "tests/support/database_lane.hpp"
#include "tests/support/structures.hpp"

namespace antipode::test {

/// The whole lane with daemons that are no superusers, as `antipode database setup` leaves them.
class DatabaseRoles : public DatabaseLane {
  protected:
    DatabaseRoles() {
        for (const PostgresServer* server : {&a_, &b_}) {
            server->psql(
                "CREATE ROLE app_owner LOGIN; CREATE ROLE other LOGIN; CREATE ROLE reader LOGIN; "
                "CREATE ROLE mirror LOGIN REPLICATION; ALTER DATABASE app OWNER TO app_owner");
        }
        postgres::run_ddl_setup(a_.url("app"), "mirror");
        postgres::run_capture_setup(a_.url("app"), {"mirror", primary_->config.publication});
        primary_.emplace(a_, "mirror");
        postgres::run_replica_setup(b_.url("app"), setup());
        restart_mirror();
    }

    static postgres::ReplicaSetup setup() {
        return {"mirror", {"other"}, {"reader"}, "antipode_app", true};
    }

    void restart_mirror() {
        secondary_.reset();
        secondary_.emplace(b_, "mirror");
    }
    void as(const std::string& role, const std::string& sql) {
        postgres::Connection client(a_.url("app", role), "client");
        client.execute("running a test's script",
                       "SET search_path = public; SET row_security = on; " + sql);
    }
    static std::string schema_of(const PostgresServer& server) {
        return server.dump("app", {"--schema-only", "--exclude-schema=antipode",
                                   "--no-publications", "--restrict-key=x"});
    }
    /// But for the event triggers and the right to write messages.
    static std::string schema_but_own(const PostgresServer& server) {
        std::string kept;
        std::istringstream lines(schema_of(server));
        for (std::string line; std::getline(lines, line);) {
            const bool own = line.find("antipode") != std::string::npos ||
                             line.find("pg_logical_emit_message") != std::string::npos ||
                             line.find("WHEN TAG IN ('CREATE TABLE AS'") != std::string::npos;
            kept += own || line.empty() || line.starts_with("--") ? "" : line + "\n";
        }
        return kept;
    }
    void follow() {
        catch_up();
        EXPECT_EQ(schema_but_own(a_), schema_but_own(b_));
        EXPECT_EQ(structures_differ(a_, b_), "");
        expect_equal();
    }
};

}  // namespace antipode::test
