// The sequences of a database whose primary was lost, on a real server.
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/sequence_headroom.hpp"
#include "tests/support/postgres_server.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::test {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class Headroom : public testing::Test {
  protected:
    Headroom() {
        server_.start();
        server_.psql("CREATE ROLE daemon LOGIN");
        server_.psql("GRANT ALL ON SCHEMA public TO daemon");
    }
    void as_daemon(const std::string& sql) { server_.psql("SET ROLE daemon; " + sql); }
    postgres::SequenceHeadroom plan(uint64_t calls) {
        return postgres::plan_headroom(url_, "antipode headroom", calls);
    }
    void move(const postgres::SequenceHeadroom& headroom) {
        postgres::move_ahead(url_, "antipode headroom", headroom.moves);
    }
    std::string next(const std::string& sequence) {
        return server_.psql("SELECT nextval('" + sequence + "')");
    }
    /// What they would return next, of all of them.
    std::string states() {
        return server_.psql(
            "SELECT string_agg(sequencename || ' ' || coalesce(last_value::text, '-'), ', ' "
            "ORDER BY sequencename) FROM pg_sequences");
    }

    const TemporaryDirectory directory_;
    PostgresServer server_{directory_ / "postgres"};
    const std::string url_ = server_.url("postgres", "daemon");
};

TEST_F(Headroom, PassesOverNumbersOfEverySequenceOnce) {
    as_daemon(
        "CREATE TABLE s (id serial, small smallserial);"
        "CREATE TABLE i (id bigint GENERATED ALWAYS AS IDENTITY);"
        "CREATE SEQUENCE \"Odd \"\"S\"\"\" INCREMENT -5 START -5;"
        "CREATE SEQUENCE unused START 70; CREATE SEQUENCE fives INCREMENT 5;"
        "CREATE SEQUENCE wraps MINVALUE 1 MAXVALUE 1500 CYCLE;"
        "INSERT INTO s DEFAULT VALUES; INSERT INTO i DEFAULT VALUES;"
        "SELECT nextval('\"Odd \"\"S\"\"\"'), nextval('fives'), setval('wraps', 1400)");
    const auto headroom = plan(1000);
    EXPECT_THAT(headroom.left, IsEmpty());
    EXPECT_THAT(headroom.moves, SizeIs(7));
    move(headroom);
    move(headroom);  // as after a crash
    EXPECT_EQ(next("s_id_seq"), "1002");
    EXPECT_EQ(next("s_small_seq"), "1002");
    EXPECT_EQ(next("i_id_seq"), "1002");
    EXPECT_EQ(next("\"Odd \"\"S\"\"\""), "-5010");
    EXPECT_EQ(next("unused"), "1070");
    EXPECT_EQ(next("fives"), "5006");
    EXPECT_EQ(next("wraps"), "901");
    // The same plan once more, behind what was given out since: nothing goes back.
    move(headroom);
    EXPECT_EQ(next("s_id_seq"), "1003");
    EXPECT_EQ(next("unused"), "1071");
    EXPECT_EQ(next("wraps"), "902");
}

TEST_F(Headroom, LeavesAndNamesSequencesThatEndBefore) {
    as_daemon(
        "CREATE SEQUENCE nearly AS smallint; CREATE SEQUENCE down INCREMENT -1 MINVALUE -500;"
        "CREATE SEQUENCE short MINVALUE 1 MAXVALUE 5 CYCLE;"
        "SELECT setval('nearly', 32000), nextval('short')");
    server_.psql("CREATE SEQUENCE others; GRANT SELECT ON others TO daemon");
    const std::string before = states();
    const auto headroom = plan(1000);
    EXPECT_THAT(headroom.moves, IsEmpty());
    std::map<std::string, std::string> left;
    for (const auto& one : headroom.left) {
        left[one.name.to_string()] = one.why;
    }
    EXPECT_EQ(left, (std::map<std::string, std::string>{
                        {"public.nearly", "it ends before"},
                        {"public.down", "it ends before"},
                        {"public.short", "it begins anew after fewer numbers"},
                        {"public.others", "the daemon's role may not set it"}}));
    move(headroom);
    EXPECT_EQ(states(), before);
}

TEST_F(Headroom, PassesOverWhatIsNotThereAnyMore) {
    as_daemon("CREATE SEQUENCE gone; CREATE SEQUENCE stays");
    const auto headroom = plan(10);
    server_.psql("DROP SEQUENCE gone");
    move(headroom);
    EXPECT_EQ(next("stays"), "11");
}

}  // namespace
}  // namespace antipode::test
