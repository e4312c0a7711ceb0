// Values of every type, its extremes included, arrive as they were: by the first copy, in single
// rows and in sets, found by a key, as a key and as a whole row.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/postgres/connection.hpp"
#include "tests/support/database_lane.hpp"
#include "tests/support/process.hpp"

namespace antipode::test {
namespace {

struct TypeCase {
    std::string type;
    std::vector<std::string> values;  ///< SQL expressions
    bool ordered = true;              ///< may be a primary key
};

constexpr const char* own_types = R"(
    CREATE TYPE mood AS ENUM ('sad', 'it''s "ok", {fine}', 'ü\');
    CREATE TYPE inner_pair AS (a int, b text);
    CREATE TYPE outer_pair AS (p inner_pair, l inner_pair[], m mood);
    CREATE DOMAIN positive AS int CHECK (value > 0);
    CREATE DOMAIN some_ints AS int[] CHECK (array_length(value, 1) < 100);
    CREATE DOMAIN some_pair AS inner_pair CHECK ((value).b <> 'no');
    CREATE DOMAIN moods AS mood[];
    CREATE TYPE text_range AS RANGE (subtype = text, collation = "C");
    CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree;
    CREATE EXTENSION cube; CREATE EXTENSION isn)";

std::vector<TypeCase> numbers() {
    return {
        {"boolean", {"true", "false"}},
        {"smallint", {"-32768", "32767", "0"}},
        {"int", {"-2147483648", "2147483647"}},
        {"bigint", {"-9223372036854775808", "9223372036854775807"}},
        {"numeric",
         {"'NaN'", "'Infinity'", "'-Infinity'", "0", "0.000", "1e-16383", "1e131071", "-1.10",
          "('0.' || repeat('123456789', 1800))::numeric", "repeat('9', 20000)::numeric"}},
        {"numeric(1000, 300)", {"'NaN'", "1e-300", "-1e699", "0"}},
        {"numeric(3, -2)", {"12345", "-99900"}},
        {"real", {"'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "1e-45", "3.4028235e38", "0.1"}},
        {"double precision",
         {"'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "4.9406564584124654e-324",
          "1.7976931348623157e308", "0.1", "1.0000000000000002"}},
        {"money", {"-92233720368547758.08", "92233720368547758.07", "0", "1234.5"}},
        {"oid", {"0", "4294967295"}},
        {"xid", {"'4294967295'", "'0'"}, false},
        {"xid8", {"'18446744073709551615'", "'0'"}},
        {"cid", {"'7'"}, false},
        {"tid", {"'(4294967295,65535)'", "'(0,1)'"}},
        {"pg_lsn", {"'0/0'", "'FFFFFFFF/FFFFFFFF'"}},
        {"pg_snapshot", {"'10:20:10,14,15'", "'1:1:'"}, false},
        {"txid_snapshot", {"'10:20:10,14,15'"}, false},
        {"bit(5)", {"B'10101'", "B'00000'"}},
        {"bit varying", {"''", "B'1'", "repeat('10', 3000)::varbit"}},
        {"isbn13", {"'978-0-393-04002-9'"}},
    };
}

std::vector<TypeCase> texts() {
    const std::vector<std::string> odd = {"''",
                                          "' '",
                                          R"(E'\\N')",
                                          R"('\.')",
                                          R"(E'a\tb\nc\rd\\e\b\f\v')",
                                          R"('"quoted" ''so''')",
                                          "'{curly,\"braces\",NULL}'",
                                          "'(a,\"b\",)'",
                                          "'NULL'",
                                          "'null'",
                                          "E'\\u00fc\\u4e2d\\U0001F600'",
                                          "E'e\\u0301'",
                                          "E'\\x01\\x7f'",
                                          "repeat('long \\ \"', 3000)",
                                          "'$1 %s ? :x'",
                                          "'trailing '"};
    return {{"text", odd},
            {"character varying(9000)", {"''", R"(E'\\N')", "repeat('x', 9000)"}},
            {"character(6)", {"''", "'a'", "'a  b'", R"(E'\\N')"}},
            {"\"char\"", {"''", "'a'", "'\\'", "'\"'", "' '", "E'\\t'", "'\\377'::bytea::text"}},
            {"name", {"''", "'Mixed \"Case\".x'", "repeat('n', 63)"}},
            {"citext", {"'Aa'", "'aB\\'", "E'\\u00dc'"}},
            {"bytea",
             {"''", R"('\x00')", R"('\x5c2e0a09005c4e')", "decode(repeat('ff00', 9000), 'hex')"}},
            {"uuid",
             {"'00000000-0000-0000-0000-000000000000'", "'FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF'"}},
            {"json",
             {R"('{"b":1,  "a": [1e5, null, "\u0041\\n"], "b":2}')", "'null'", "'\"\"'",
              R"(E' [ ]\n')"},
             false},
            {"jsonb",
             {R"('{"b":1,  "a": [1e5, null, "\u0041\\n"], "b":2}')", "'null'", "'\"\\\"\"'", "'{}'",
              "('[' || repeat('{\"k\": \"v\"},', 900) || '1.10]')::jsonb"}},
            {"jsonpath", {"'$.a[*] ? (@.b > 1 && @.c like_regex \"^x\\\\n\")'", "'lax $'"}, false},
            {"xml",
             {"'<a b=\"1\">t<![CDATA[<]]></a>'", "'content only <x/>'", "''",
              "'<?xml version=\"1.0\" encoding=\"UTF-8\"?><ü/>'",
              "'<!DOCTYPE a [<!ELEMENT a ANY>]><a/>'"},
             false},
            {"tsvector",
             {"''", "'a:1A,2B ''it''''s'':3 \\\\:4'", "to_tsvector('english', 'the fat rats')"}},
            {"tsquery", {"''", "'a & !b | ( c <2> ''d e'':*AB )'"}},
            {"hstore", {R"('"a"=>"1, \"2\"", b=>NULL, c=>""')", "''"}},
            {"ltree", {"''", "'Top.Child_1.x'"}},
            {"mood", {"'sad'", "'it''s \"ok\", {fine}'", "'ü\\'"}}};
}

std::vector<TypeCase> times() {
    return {
        {"date",
         {"'infinity'", "'-infinity'", "'4713-01-01 BC'", "'5874897-12-31'", "'0001-12-31 BC'"}},
        {"timestamp",
         {"'infinity'", "'-infinity'", "'4713-01-01 00:00:00 BC'", "'294276-12-31 23:59:59.999999'",
          "'0044-03-15 12:00:00.000001 BC'"}},
        {"timestamptz",
         {"'infinity'", "'-infinity'", "'4713-01-01 00:00:00+00 BC'",
          "'294276-12-31 23:59:59.999999+00'", "'1883-11-18 12:03:58-04:56:02'"}},
        {"timestamp(0)", {"'2026-01-01 00:00:00.5'"}},
        {"time", {"'00:00'", "'24:00:00'", "'23:59:59.999999'"}},
        {"timetz", {"'00:00:00+15:59:59'", "'24:00:00-15:59:59'", "'12:00:00.000001+00:30'"}},
        {"interval",
         {"'0'", "'-178000000 years'", "'178000000 years'", "'1 mon -1 day +01:00:00.000001'",
          "'-1 year -2 mons +3 days -04:05:06.789'", "'-00:00:01'", "'1 day -00:00:01'",
          "'2562047788:00:54.775807'"}},
        {"interval day to second(3)", {"'1 02:03:04.567891'"}},
        {"int4range", {"'empty'", "'(,)'", "'[1,)'", "'(,5]'", "'[1,5)'"}},
        {"numrange", {"'empty'", "'[1.10,NaN]'", "'(,Infinity]'"}},
        {"tstzrange", {"'empty'", "'[-infinity,infinity]'", "'(\"0044-03-15 12:00:00+00 BC\",)'"}},
        {"daterange", {"'empty'", "'[2026-01-01,2026-01-01]'", "'(,infinity)'"}},
        {"text_range", {"'empty'", R"('["a,\"\\",b)')", R"('["",)')"}},
        {"int8multirange", {"'{}'", "'{(,1),[5,7],[9,)}'"}},
        {"tsmultirange", {"'{}'", "'{[-infinity,2026-01-01 00:00:00]}'"}},
        {"datemultirange", {"'{}'", "'{(,)}'"}},
    };
}

std::vector<TypeCase> shapes() {
    return {
        {"point", {"'(1e308,-0)'", "'(NaN,Infinity)'", "'(0.1,5e-324)'"}, false},
        {"line", {"'{1,-1,0.1}'"}, false},
        {"lseg", {"'[(1,2),(3,4)]'"}, false},
        {"box", {"'(3,4),(1,2)'", "'(Infinity,1),(0,-Infinity)'"}, false},
        {"path", {"'((1,2),(3,4))'", "'[(1,2),(3,4.5)]'"}, false},
        {"polygon", {"'((0,0),(1,1),(1e-300,2))'"}, false},
        {"circle", {"'<(1,2),3>'", "'<(0,0),0>'"}, false},
        {"cube", {"'(1,2,3),(4,5,6)'", "'(0)'"}},
        {"inet", {"'10.0.0.1'", "'10.0.0.1/8'", "'::/0'", "'::ffff:1.2.3.4/128'"}},
        {"cidr", {"'10.0.0.0/8'", "'2001:db8::/32'"}},
        {"macaddr", {"'08:00:2b:01:02:03'"}},
        {"macaddr8", {"'08:00:2b:01:02:03:04:ff'"}},
        {"regclass", {"'pg_class'", "'\"k_0\"'", "0"}},
        {"regtype", {"'int'", "'mood'"}},
        {"regproc", {"'pg_backend_pid'"}},
        {"regprocedure", {"'abs(int)'"}},
        {"regoperator", {"'=(int,int)'"}},
        {"regrole", {"'postgres'"}},
        {"regnamespace", {"'public'"}},
        {"regconfig", {"'english'"}},
        {"regcollation", {"'\"C\"'"}},
        {"aclitem", {"'postgres=r*w/postgres'"}, false},
        {"int[]",
         {"'{}'", "'{1,NULL,-3}'", "'[-2:-1][5:6]={{1,2},{3,NULL}}'", "'{{{1},{2}},{{3},{4}}}'"}},
        {"text[]",
         {R"('{"",NULL,"NULL","a\"b\\c","{}"," x ",ü}')", R"(ARRAY[E'\n\t', '\.', ','])"}},
        {"box[]", {"'{(1,2),(0,0);(3,4),(1,1)}'"}, false},
        {"bytea[]", {R"(ARRAY['\x00ff'::bytea, NULL, ''])"}},
        {"inner_pair", {"(1, 'a,\"b\"\\')", "(NULL, NULL)", "(0, '')"}},
        {"outer_pair",
         {"((1, 'x'), ARRAY[(2, 'y')::inner_pair, NULL], 'sad')",
          "(NULL, '{}', 'it''s \"ok\", {fine}')"}},
        {"inner_pair[]", {"ARRAY[(1, 'a')::inner_pair, (NULL, '\"')::inner_pair, NULL]", "'{}'"}},
        {"positive", {"1", "2147483647"}},
        {"some_ints", {"'{1,2}'", "'[5:6]={1,NULL}'"}},
        {"some_pair", {"(1, 'z')", "(2, NULL)"}},
        {"moods", {"'{sad,NULL}'", "ARRAY['ü\\', 'it''s \"ok\", {fine}']::mood[]"}},
        {"ltree[]", {"'{a.b,c}'"}},
    };
}

class DatabaseTypes : public DatabaseLane, public testing::WithParamInterface<int> {
  protected:
    static std::string rows_of(const TypeCase& one) {
        std::string rows;
        for (size_t i = 0; i < one.values.size(); ++i) {
            rows += (i == 0 ? "" : ", ") + ("(" + std::to_string(i) + ", (" + one.values[i]) +
                    ")::" + one.type + ")";
        }
        return "(VALUES " + rows + ", (" + std::to_string(one.values.size()) + ", NULL)) x (i, v)";
    }
    /// An array of values x.v; of arrays their own type, because all would have to be of one size.
    static std::string array_of(const TypeCase& one) {
        if (one.type.ends_with("[]")) {
            return "x.v";
        }
        if (one.type == "some_ints" || one.type == "moods") {
            return "format('{%s,NULL}', coalesce(to_json(x.v::text)::text, 'NULL'))::" + one.type +
                   "[]";
        }
        return "ARRAY[[x.v, NULL, x.v], [NULL, NULL, x.v]]::" + one.type + "[]";
    }
    /// `text` for each type: @ its number, ~ its name, # its values as rows x (i, v), ^ an array.
    static std::string for_each(const std::vector<TypeCase>& types, const std::string& text,
                                bool only_ordered = false) {
        std::string sql;
        for (size_t n = 0; n < types.size(); ++n) {
            if (only_ordered && !types[n].ordered) {
                continue;
            }
            for (const char c : text) {
                if (c == '@') {
                    sql += std::to_string(n);
                } else if (c == '~') {
                    sql += types[n].type;
                } else if (c == '#') {
                    sql += rows_of(types[n]);
                } else if (c == '^') {
                    sql += array_of(types[n]);
                } else {
                    sql += c;
                }
            }
        }
        return sql;
    }
    void follow() {
        catch_up();
        expect_equal();
    }
    /// Rows written since the last call. A set that was refused, so that its rows were written
    /// again one by one, counts twice.
    std::string written(const PostgresServer& server) {
        return server.psql(
            "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_stat_user_tables "
            "WHERE relname ~ '^[kp]_' AND n_tup_ins + n_tup_upd > 0 ORDER BY 1",
            "app");
    }
    void reset_written() {
        for (const PostgresServer* server : {&a_, &b_}) {
            server->psql("SELECT pg_stat_reset()", "app");
        }
    }
    void expect_written_once() {
        restart_secondary();  // a session tells what it wrote when it ends
        EXPECT_TRUE(eventually([&] { return written(a_) == written(b_); })) << written(a_) << "\n\n"
                                                                            << written(b_);
    }
};

TEST_P(DatabaseTypes, ArriveAsTheyWere) {
    const auto types =
        std::vector{numbers(), texts(), times(), shapes()}.at(static_cast<size_t>(GetParam()));
    on_a(own_types);
    on_a(for_each(types,
                  "CREATE TABLE k_@ (id int PRIMARY KEY, v ~, many ~[], note text);"
                  "CREATE TABLE u_@ (i int, v ~, many ~[]);"
                  "INSERT INTO k_@ SELECT i, v, ^ FROM #;"
                  "INSERT INTO u_@ SELECT i, v, ^ FROM #, generate_series(1, 2);"));
    on_a(for_each(types,
                  "CREATE TABLE p_@ (v ~ PRIMARY KEY, n int);"
                  "INSERT INTO p_@ SELECT v, 0 FROM # WHERE v IS NOT NULL AND i % 2 = 0 "
                  "ON CONFLICT DO NOTHING;",
                  true));
    start_capture();
    copy();
    follow();
    // Single rows.
    on_a(for_each(types,
                  "INSERT INTO k_@ SELECT i + 100, v, ^ FROM #;"
                  "UPDATE k_@ SET note = 'x' WHERE id < 3;"
                  "UPDATE k_@ k SET v = x.v, many = NULL FROM # WHERE k.id = 100 + x.i + 1;"
                  "UPDATE k_@ SET id = id + 1000, note = 'moved' WHERE id % 2 = 0;"
                  "DELETE FROM k_@ WHERE id % 3 = 0;"
                  "UPDATE u_@ SET i = i + 10 WHERE i % 2 = 0;"
                  "UPDATE u_@ SET v = NULL WHERE i = 1;"
                  "DELETE FROM u_@ WHERE i % 3 = 0;"));
    on_a(for_each(types,
                  "INSERT INTO p_@ SELECT v, 1 FROM # WHERE v IS NOT NULL ON CONFLICT DO NOTHING;"
                  "UPDATE p_@ SET n = n + 1;"
                  "DELETE FROM p_@ WHERE v = (SELECT v FROM # WHERE i = 1);",
                  true));
    follow();
    // Sets.
    restart_secondary();
    reset_written();
    on_a(for_each(types,
                  "INSERT INTO k_@ SELECT i * 10000 + 5000 + j, v, ^ "
                  "FROM #, generate_series(1, 30) j;"
                  "INSERT INTO u_@ SELECT i, v, ^ FROM #, generate_series(1, 30) j;"));
    follow();
    on_a(
        for_each(types, "UPDATE k_@ k SET v = x.v, many = ^ FROM # WHERE k.id / 10000 = x.i + 1;"));
    on_a(for_each(
        types,
        "DELETE FROM p_@; INSERT INTO p_@ SELECT DISTINCT ON (v) v, 1 FROM # WHERE v IS NOT NULL;",
        true));
    follow();
    expect_written_once();
    on_a(for_each(types,
                  "UPDATE k_@ SET id = -id WHERE id % 5 = 1; DELETE FROM k_@ WHERE id % 7 = 2;"
                  "UPDATE u_@ SET i = i + 1; DELETE FROM u_@ WHERE i % 2 = 0;"));
    on_a(for_each(types, "UPDATE p_@ SET n = -n;", true));
    follow();
}

using DatabaseValues = DatabaseLane;

/// What a database or a role may set, on either side, changes neither what is read nor written.
TEST_F(DatabaseValues, SettingsOfDatabasesAndRolesDoNotLeak) {
    const std::vector<std::pair<std::string, std::string>> settings = {
        {"DateStyle", "'German, DMY'"},
        {"TimeZone", "'Asia/Kathmandu'"},
        {"extra_float_digits", "-15"},
        {"bytea_output", "'escape'"},
        {"xmlbinary", "'hex'"},
        {"xmloption", "'document'"},
        {"standard_conforming_strings", "off"},
        {"array_nulls", "off"},
        {"search_path", "'public', 'nowhere'"},
        {"default_transaction_read_only", "on"},
        {"default_transaction_isolation", "'serializable'"},
        {"default_transaction_deferrable", "on"},
        {"statement_timeout", "'1ms'"},
        {"lock_timeout", "'1ms'"},
        {"idle_session_timeout", "'200ms'"},
        {"idle_in_transaction_session_timeout", "'1ms'"},
        {"client_encoding", "'LATIN1'"},
        {"quote_all_identifiers", "on"},
        {"transform_null_equals", "on"},
        {"client_min_messages", "'debug1'"},
        {"enable_nestloop", "off"},
        {"plan_cache_mode", "'force_generic_plan'"},
        {"default_toast_compression", "'lz4'"},
        {"session_replication_role", "'local'"}};
    on_a(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, day date, span interval, f float8, "
        "b bytea, x xml, list text[], word text, paid money, what regclass); "
        "CREATE TABLE u (LIKE t)");
    const std::string rows =
        " SELECT i, '2026-02-03 04:05:06+00'::timestamptz - i * interval '1 day', "
        "'2026-02-03'::date - i, interval '-1 year 2 mons -3 days 04:05:06.7', 0.1::float8 + i, "
        "'\\x00ff5c27', '<a/>text', '{a,NULL,\"NULL\"}', E'\\u4e2d\\\\n\\\\', 12.5, 't' "
        "FROM generate_series";
    on_a("INSERT INTO t" + rows + "(1, 5) i; INSERT INTO u SELECT * FROM t");
    for (const std::string style : {"sql_standard", "postgres_verbose", "iso_8601", "postgres"}) {
        SCOPED_TRACE(style);
        for (const PostgresServer* server : {&a_, &b_}) {
            // The last first, because the others then hold for the session that sets them.
            for (const std::string of : {"ROLE postgres", "DATABASE app"}) {
                std::string set = "ALTER " + of + " SET IntervalStyle = '" + style + "';";
                for (const auto& [name, value] : settings) {
                    set += "ALTER " + of + " SET " + name + " = " + value + ";";
                }
                must_run({"env",
                          "PGOPTIONS=-c default_transaction_read_only=off -c "
                          "statement_timeout=0 -c lock_timeout=0 -c client_encoding=UTF8 -c "
                          "default_transaction_isolation=read\\ committed -c "
                          "default_transaction_deferrable=off",
                          PostgresServer::program("psql"), "-XqAt", "-v", "ON_ERROR_STOP=1",
                          server->url("app")},
                         set);
            }
        }
        restart_primary();
        restart_secondary();
        if (style == "sql_standard") {
            start_capture();
            copy();
        }
        postgres::Connection client(a_.url("app"), "client");
        client.execute("changing rows",
                       "SET search_path = public; SET session_replication_role = origin; "
                       "INSERT INTO t" +
                           rows + "(101, 102) i; INSERT INTO u" + rows +
                           "(101, 102) i; "
                           "UPDATE t SET span = -span, f = f / 3 WHERE id < 4; UPDATE u SET f = f "
                           "/ 3 WHERE id < 4; "
                           "DELETE FROM u WHERE id = 5; DELETE FROM t WHERE id IN (2, 101)");
        catch_up();
        client.execute("changing rows",
                       "INSERT INTO t" + rows + "(1001, 1050) i; INSERT INTO u" + rows +
                           "(1001, 1050) i; "
                           "UPDATE t SET span = span * 2, at = at + span; UPDATE u SET list = list "
                           "|| list, f = -f; "
                           "DELETE FROM t WHERE id > 100; DELETE FROM u WHERE id > 50");
        catch_up();
        for (const PostgresServer* server : {&a_, &b_}) {
            postgres::Connection reset(server->url("app"), "client");
            reset.execute("resetting",
                          "ALTER ROLE postgres RESET ALL; ALTER DATABASE app RESET ALL");
        }
        expect_equal();
    }
}

TEST_F(DatabaseValues, FiftyMegabytesInOneRow) {
    on_a(
        "CREATE TABLE t (id int PRIMARY KEY, b bytea, n int); CREATE TABLE u (b bytea, n int); "
        "CREATE TABLE piece AS SELECT string_agg(sha256(i::text::bytea), '' ORDER BY i) AS b "
        "FROM generate_series(1, 32768) i");
    start_capture();
    copy();
    const std::string big =
        "(SELECT string_agg(b || i::text::bytea, '') FROM piece, "
        "generate_series(1, 50) i)";
    on_a("INSERT INTO t VALUES (1, " + big + ", 0); INSERT INTO u SELECT b, n FROM t");
    catch_up();
    const std::string sums =
        "SELECT id, length(b), md5(b), n FROM t UNION ALL SELECT 0, length(b), md5(b), n FROM u "
        "ORDER BY 1";
    EXPECT_EQ(on_b(sums), on_a(sums));
    on_a(
        "UPDATE t SET n = 1; UPDATE t SET id = 2; UPDATE u SET n = 1; "
        "UPDATE t SET b = substr(b, 2); UPDATE u SET b = substr(b, 3)");
    catch_up();
    EXPECT_EQ(on_b(sums), on_a(sums));
    on_a("DELETE FROM u");
    catch_up();
    EXPECT_EQ(on_b(sums), on_a(sums));
}

INSTANTIATE_TEST_SUITE_P(All, DatabaseTypes, testing::Range(0, 4));

}  // namespace
}  // namespace antipode::test
