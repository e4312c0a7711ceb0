// The initial copy of a database while daemons die.
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;

constexpr int tables = 8;

/// What is copied, and by which transaction of the site's server: another one copied it again.
std::map<std::string, std::string> copied(const Site& site) {
    std::map<std::string, std::string> parts;
    std::string text;
    try {
        text =
            site.sql("SELECT table_name, xmin FROM antipode.copied_table WHERE table_name <> ''");
    } catch (const std::exception&) {
        return parts;  // there is no such table yet
    }
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        parts[line.substr(0, line.find('|'))] = line.substr(line.find('|') + 1);
    }
    return parts;
}

std::string contents(const Site& site) {
    std::string digests;
    for (int i = 1; i <= tables; ++i) {
        digests += site.sql("SELECT count(*), bit_xor(hashtextextended(t::text, 0)) FROM t" +
                            std::to_string(i) + " t") +
                   "\n";
    }
    return digests;
}

TEST(Copy, GoesOnBehindFinishedTablesWhenDaemonsDie) {
    const TemporaryDirectory temporary;
    Site london(temporary.path(), "london");
    Site sydney(temporary.path(), "sydney");
    london.configure({&london, &sydney});
    sydney.configure({&london, &sydney});
    for (int i = 1; i <= tables; ++i) {
        london.sql("CREATE TABLE t" + std::to_string(i) + " (id int PRIMARY KEY, v text, n int)");
        london.sql("INSERT INTO t" + std::to_string(i) +
                   " SELECT i, md5(i::text), 0 FROM generate_series(1, 150000) i");
    }
    ASSERT_EQ(london.antipode({"sites", "init", "--primary", "london"}).status, 0);
    ASSERT_EQ(london.antipode({"database", "setup"}).status, 0);
    london.start();
    sydney.start();
    std::map<std::string, std::string> finished;
    const auto notice_finished = [&] {
        for (const auto& [table, transaction] : copied(sydney)) {
            const auto known = finished.emplace(table, transaction).first;
            EXPECT_EQ(known->second, transaction) << table << " was copied twice";
        }
    };
    int kills = 0;
    for (Site* victim : {&sydney, &london, &sydney}) {
        const size_t before = finished.size();
        ASSERT_TRUE(eventually([&] {
            notice_finished();
            return finished.size() > before || finished.size() == tables;
        }));
        if (finished.size() < tables) {
            victim->kill();
            london.sql("UPDATE t1 SET n = n + 1 WHERE id < 100; DELETE FROM t8 WHERE id = " +
                       std::to_string(++kills));
            victim->start();
        }
    }
    EXPECT_GT(kills, 0) << "the copy was too fast for this test";
    EXPECT_TRUE(eventually(
        [&] {
            notice_finished();
            return contents(sydney) == contents(london);
        },
        60s))
        << sydney.antipode({"status"}).output;
}

}  // namespace
}  // namespace antipode::test
