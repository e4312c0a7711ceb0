// The state of either site is damaged, or believes in what never was, while everything runs: it is
// noticed, named and mended. Nothing else is noticed.
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/sqlite/database.hpp"
#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

using testing::HasSubstr;

std::string of_files(const std::string& what) {
    return ".stores[] | select(.store == \"blobs/uploads\") | " + what;
}

class Inventories : public testing::Test {
  protected:
    Inventories() {
        for (int i = 0; i < 300; ++i) {
            write_file(sites_.london.files_root / ("file" + std::to_string(i)),
                       "content " + std::to_string(i));
        }
    }
    /// As a failing disk would: beside the daemon that runs.
    static void damage(const Site& site, const std::string& database, const std::string& sql) {
        sqlite::Database state(site.directory / "state" / database, sqlite::Database::Sync::Normal);
        ASSERT_EQ(state.execute(sql), 1) << sql;
    }
    std::string of_sydney(const std::string& what) const {
        return sites_.sydney.status(of_files(what)).value_or("?");
    }
    /// They were equal at a time after now.
    bool get_equal() const {
        const std::string now = sites_.sydney.status(".now_us").value_or("0");
        return eventually([&] {
            return sites_.sydney.status(of_files("(.inventory.equal_us // 0) > " + now)) == "true";
        });
    }
    bool names(const std::string& item) const {
        return eventually(
            [&] { return of_sydney(".inventory.last_differing").find(item) != std::string::npos; });
    }
    /// A line of the store of files: the load removes many files within a minute.
    TwoSites sites_{"hold_deletions = false\n"};
};

TEST_F(Inventories, DamagedRowsAreFoundNamedAndMended) {
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    ASSERT_TRUE(get_equal()) << sites_.describe();
    EXPECT_EQ(of_sydney(".inventory.differed"), "0");

    damage(sites_.sydney, "registry.db",
           "UPDATE item SET digest = x'00' WHERE item = CAST('file7' AS BLOB)");
    EXPECT_TRUE(names("file7: ")) << sites_.describe();
    EXPECT_TRUE(get_equal()) << sites_.describe();

    damage(sites_.sydney, "registry.db", "DELETE FROM item WHERE item = CAST('file8' AS BLOB)");
    EXPECT_TRUE(names("file8: ")) << sites_.describe();
    EXPECT_TRUE(get_equal()) << sites_.describe();

    damage(sites_.london, "inventory.db",
           "UPDATE published SET digest = x'00' WHERE item = CAST('file9' AS BLOB)");
    EXPECT_TRUE(names("file9: ")) << sites_.describe();
    // The primary cannot know whether its file or its row is wrong: it says so, and sends nothing
    // until somebody says that the file is right.
    must_run({"touch", (sites_.london.files_root / "file9").string()});
    EXPECT_TRUE(get_equal()) << sites_.describe();

    EXPECT_EQ(of_sydney(".inventory.differed"), "3");
    EXPECT_EQ(of_sydney(".parked"), "0");
    sites_.expect_equal();
}

TEST_F(Inventories, NoLoadMakesAFalseAlarmAndARestartNeedsNoRescan) {
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    {
        const std::jthread load([&](const std::stop_token& stop) {
            for (int i = 0; !stop.stop_requested(); ++i) {
                const auto file = sites_.london.files_root / ("file" + std::to_string(i % 40));
                i % 7 == 0 ? (void)std::filesystem::remove(file)
                           : write_file(file, "changed " + std::to_string(i));
            }
        });
        const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(12);
        EXPECT_FALSE(eventually(
            [&] {
                return of_sydney(".inventory.differed") > "0" ||
                       std::chrono::steady_clock::now() > until;
            },
            std::chrono::seconds(11)))
            << sites_.describe();
        sites_.sydney.kill();
        sites_.sydney.start();
        sites_.london.kill();
        sites_.london.start();
    }
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    EXPECT_TRUE(get_equal()) << sites_.describe();
    EXPECT_EQ(of_sydney(".inventory.differed"), "0") << sites_.describe();
    EXPECT_EQ(of_sydney(".inventory.damaged"), "0");
    sites_.expect_equal();
}

}  // namespace
}  // namespace antipode::test
