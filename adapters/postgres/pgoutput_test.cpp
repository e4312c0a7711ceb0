#include "adapters/postgres/pgoutput.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"

namespace antipode::postgres {
namespace {

template <typename Integer>
std::string big_endian(Integer value) {
    std::string bytes;
    for (size_t i = sizeof(Integer); i-- > 0;) {
        bytes += static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
    }
    return bytes;
}

std::string text(const std::string& value) {
    return value + '\0';
}

const std::string row = big_endian<uint16_t>(3) + "n" + "u" + "t" + big_endian<uint32_t>(2) + "ab";

std::string relation() {
    return "R" + big_endian<uint32_t>(7) + text("public") + text("a \"b\"") + "d" +
           big_endian<uint16_t>(2) + '\1' + text("id") + big_endian<uint32_t>(23) +
           big_endian<int32_t>(-1) + '\0' + text("v") + big_endian<uint32_t>(25) +
           big_endian<int32_t>(-1);
}

std::vector<std::string> samples() {
    return {
        "B" + big_endian<uint64_t>(0x100) + big_endian<int64_t>(5) + big_endian<uint32_t>(9),
        "C" + std::string(1, '\0') + big_endian<uint64_t>(0x100) + big_endian<uint64_t>(0x130) +
            big_endian<int64_t>(5),
        relation(),
        "I" + big_endian<uint32_t>(7) + "N" + row,
        "U" + big_endian<uint32_t>(7) + "K" + row + "N" + row,
        "D" + big_endian<uint32_t>(7) + "O" + row,
        "T" + big_endian<uint32_t>(2) + '\3' + big_endian<uint32_t>(7) + big_endian<uint32_t>(8)};
}

TEST(Pgoutput, ReadsWhatPostgresWrites) {
    const auto all = samples();
    const auto begin = std::get<DecodedBegin>(*parse_pgoutput(all[0]));
    EXPECT_EQ(begin.commit_lsn, Lsn{0x100});
    EXPECT_EQ(begin.xid, 9U);
    EXPECT_EQ(to_microseconds(begin.commit_time), 946'684'800'000'005);
    EXPECT_EQ(std::get<DecodedCommit>(*parse_pgoutput(all[1])).end_lsn, Lsn{0x130});
    const auto shape = std::get<RelationShape>(*parse_pgoutput(all[2]));
    EXPECT_EQ(shape.name, (TableName{"public", "a \"b\""}));
    ASSERT_EQ(shape.columns.size(), 2U);
    EXPECT_TRUE(shape.columns[0].key);
    EXPECT_FALSE(shape.columns[1].key);
    EXPECT_EQ(std::get<DecodedRow>(*parse_pgoutput(all[3])).new_row, row);
    const auto update = std::get<DecodedRow>(*parse_pgoutput(all[4]));
    EXPECT_EQ(update.old_kind, 'K');
    EXPECT_EQ(update.old_row, row);
    EXPECT_EQ(std::get<DecodedRow>(*parse_pgoutput(all[5])).old_kind, 'O');
    const auto truncate = std::get<DecodedTruncate>(*parse_pgoutput(all[6]));
    EXPECT_EQ(truncate.relations, (std::vector<uint32_t>{7, 8}));
    EXPECT_TRUE(truncate.cascade && truncate.restart_identity);
}

std::string message(const std::string& prefix, const std::string& content, char flags = '\1') {
    return std::string("M") + flags + std::string(8, '\0') + prefix + '\0' +
           big_endian<uint32_t>(static_cast<uint32_t>(content.size())) + content;
}

TEST(Pgoutput, ReadsMessagesOfTheEventTriggersAndNoOthers) {
    const std::string content =
        R"({"tag": "CREATE VIEW", "text": "CREATE VIEW v AS SELECT 1", "role": "app"})";
    const auto ddl = std::get<DdlStatement>(*parse_pgoutput(message("antipode.ddl", content)));
    EXPECT_EQ(ddl.sql, "CREATE VIEW v AS SELECT 1");
    EXPECT_EQ(ddl.role, "app");
    EXPECT_FALSE(parse_pgoutput(message("antipode", "")));
    EXPECT_FALSE(parse_pgoutput(message("antipode.ddl", content, '\0')));
    const std::string whole = message("antipode.ddl", content);
    for (size_t size = 0; size < whole.size(); ++size) {
        EXPECT_THROW(parse_pgoutput(std::string(whole.data(), size)), Error) << size;
    }
}

TEST(Pgoutput, RefusesEveryCutMessageAndUnknownKinds) {
    for (const std::string& whole : samples()) {
        for (size_t size = 0; size < whole.size(); ++size) {
            if (whole[0] == 'C' && size >= 18) {
                continue;  // the commit's time is not read
            }
            // Of exactly its own size on the heap: a sanitizer sees a read past the end.
            const std::string cut(whole.data(), size);
            EXPECT_THROW(parse_pgoutput(cut), Error) << whole[0] << " cut at " << size;
        }
    }
    EXPECT_THROW(parse_pgoutput("?"), Error);
    EXPECT_THROW(
        parse_pgoutput("I" + big_endian<uint32_t>(7) + "N" + big_endian<uint16_t>(1) + "x"), Error);
    EXPECT_THROW(parse_pgoutput("T" + big_endian<uint32_t>(0x7fffffff) + '\0'), Error);
}

}  // namespace
}  // namespace antipode::postgres
