#include "adapters/postgres/barrier_message.hpp"
#include "adapters/postgres/ddl_message.hpp"
#include "adapters/postgres/pgoutput.hpp"
#include "adapters/postgres/sequence_message.hpp"
#include "adapters/postgres/sql_text.hpp"
#include "protocol/rows.hpp"
#include "tests/fuzz/parser.hpp"

namespace antipode::fuzz {
namespace {

bool is_within(std::string_view part, std::string_view whole) {
    return part.empty() || (part.data() >= whole.data() &&
                            part.data() + part.size() <= whole.data() + whole.size());
}

void read_decoded(std::string_view bytes) {
    std::optional<Decoded> decoded;
    is_read([&] { decoded = postgres::parse_pgoutput(bytes); });
    if (const auto* row = decoded ? std::get_if<DecodedRow>(&*decoded) : nullptr) {
        require(is_within(row->old_row, bytes) && is_within(row->new_row, bytes),
                "a row stands in its message");
        const auto length = protocol::row_length(row->new_row);
        require(row->new_row.empty() || length == row->new_row.size(), "a row is whole");
    }
}

void read_barrier(std::string_view bytes) {
    const auto barrier = postgres::parse_barrier_message(bytes);
    require(!barrier || postgres::barrier_message(*barrier) == bytes, "a barrier has one spelling");
}

void read_sequences(std::string_view bytes) {
    if (const auto sequences = postgres::parse_sequence_message(bytes)) {
        const auto again =
            postgres::parse_sequence_message(postgres::write_sequence_message(sequences->states));
        require(again && again->states.size() == sequences->states.size(),
                "sequences are read again");
    }
}

void read_ddl(std::string_view bytes) {
    const auto ddl = postgres::parse_ddl_message(bytes);
    require(!ddl || !ddl->sql.empty() || !ddl->problem.empty(),
            "a statement is there, or a reason why not");
}

void read_sql(std::string_view bytes) {
    const auto statements = postgres::split_sql(std::string(bytes));
    if (!statements) {
        return;
    }
    for (const postgres::SqlStatement& statement : *statements) {
        if (statement.concurrent) {
            static_cast<void>(postgres::without_concurrently(statement));
        }
        static_cast<void>(postgres::without_data(statement));
    }
}

std::string number(uint64_t value, int bytes) {
    std::string text;
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
        text += static_cast<char>(value >> shift);
    }
    return text;
}

std::string named(const std::string& name) {
    return name + std::string(1, '\0');
}

/// As the manual's "Logical Replication Message Formats" lays them out.
std::vector<std::string> decoded_seeds() {
    const std::string row = protocol::encode_row({"42", std::nullopt, "x"});
    const std::string key = protocol::encode_row({"41"});
    const std::string barrier = "id 10:20:";
    return {"B" + number(0x16B3748, 8) + number(1000, 8) + number(741, 4),
            "C" + number(0, 1) + number(0x16B3748, 8) + number(0x16B3778, 8) + number(1000, 8),
            "R" + number(1, 4) + named("public") + named("t") + "d" + number(1, 2) + number(1, 1) +
                named("id") + number(23, 4) + number(0xffffffff, 4),
            "I" + number(1, 4) + "N" + row,
            "U" + number(1, 4) + "K" + key + "N" + row,
            "D" + number(1, 4) + "O" + row,
            "T" + number(2, 4) + number(3, 1) + number(1, 4) + number(2, 4),
            "M" + number(1, 1) + number(7, 8) + named(postgres::barrier_prefix) +
                number(barrier.size(), 4) + barrier};
}

std::vector<std::string> ddl_seeds() {
    return {R"x({"tag":"CREATE TABLE","text":"CREATE TABLE a (id int); CREATE TABLE b (v text)",)x"
            R"x("role":"app","nth":2,"settings":{"search_path":"a"},"objects":["table b"]})x",
            R"x({"tag":"ALTER TABLE","text":"ALTER TABLE a ADD b int DEFAULT random()",)x"
            R"x("filled":true,"unsafe":["b"],"tables":[{"schema":"s","table":"a"}],)x"
            R"x("fills":[{"schema":"s","table":"a","column":"b","value":"1"}],"place":1})x",
            R"x({"problem":"it was run elsewhere"})x"};
}

std::vector<std::string> sql_seeds() {
    return {"CREATE TABLE t AS SELECT 1 AS v; CREATE INDEX CONCURRENTLY i ON t (v)",
            "ALTER TABLE t ADD c int, ALTER v TYPE text USING lower(v) || CURRENT_DATE",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$; SELECT 1 INTO a"};
}

}  // namespace

std::vector<Parser> postgres_parsers() {
    return {
        {"postgres/barrier", read_barrier,
         [] {
             return std::vector<std::string>{"id 10:20:11,15", "id "};
         }},
        {"postgres/ddl", read_ddl, ddl_seeds},
        {"postgres/decoded", read_decoded, decoded_seeds},
        {"postgres/sequences", read_sequences,
         [] {
             const std::vector<SequenceState> states = {{{{"public", "s"}, 17, true}, false}};
             return std::vector<std::string>{postgres::write_sequence_message(states)};
         }},
        {"postgres/sql", read_sql, sql_seeds},
    };
}

}  // namespace antipode::fuzz
