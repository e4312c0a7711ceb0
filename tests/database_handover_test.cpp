// A database whose site changes its role, on a real server.
#include <gtest/gtest.h>

#include "adapters/postgres/handover.hpp"
#include "adapters/postgres/replica_session.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::test {
namespace {

TEST(Handover, LookingWhereAReplicaStandsLeavesTheSessionAloneThatApplies) {
    const TemporaryDirectory directory;
    PostgresServer server(directory / "postgres");
    server.start();
    server.psql("CREATE ROLE daemon LOGIN SUPERUSER");
    const std::string url = server.url("postgres", "daemon");
    const StoreId store{StoreKind::Database, "app"};
    const auto position = [&] {
        return postgres::replica_position(url, "antipode crossing", store);
    };
    EXPECT_EQ(position(), Position{}) << "it is no replica yet";
    postgres::ReplicaWriter session({url, store.to_string(), "antipode apply"});
    ReplicaState state = session.load();
    EXPECT_EQ(position(), Position{});
    state.position = {2, 3, 4};
    session.begin();
    session.save(state);
    EXPECT_EQ(position(), Position{}) << "it is not committed";
    session.commit();
    EXPECT_EQ(position(), (Position{2, 3, 4}));
    session.begin();
    session.save_position({2, 3, 5}, Lsn{}, 1);
    session.commit();
    EXPECT_EQ(position(), (Position{2, 3, 5}));
}

}  // namespace
}  // namespace antipode::test
