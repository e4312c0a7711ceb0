// Every kind of corruption of a secondary, one after the other in a table: each is found, named,
// and mended, by itself or by one command. Nothing else is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/sqlite/database.hpp"
#include "tests/end_to_end/damage.hpp"
#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// One kind that damage_of_every_kind() does not know.
struct Kind {
    std::string name;
    std::function<void()> make;
    std::string said;               ///< by `antipode status`, or in the daemon's log
    std::vector<std::string> mend;  ///< the command; empty: it mends itself
};

class Corruption : public testing::Test {
  protected:
    std::vector<Kind> kinds_of_rows() const {
        std::vector<Kind> kinds;
        const auto add = [&](const std::string& name, const std::string& sql) {
            sites_.london.sql("CREATE TABLE " + name +
                              " (id int PRIMARY KEY, what text); INSERT INTO " + name +
                              " SELECT i, repeat('x', 50) FROM generate_series(1, 500) i");
            kinds.push_back({"rows " + name,
                             [this, sql] { sites_.sydney.sql(sql); },
                             name,
                             {"database", "check", "--mend"}});
        };
        add("changed_row", "UPDATE changed_row SET what = 'y' WHERE id = 77");
        add("missing_row", "DELETE FROM missing_row WHERE id = 77");
        add("extra_row", "INSERT INTO extra_row VALUES (777, 'extra')");
        add("emptied", "TRUNCATE emptied");
        add("swapped_keys", "UPDATE swapped_keys SET id = 1000 - id WHERE id IN (400)");
        return kinds;
    }
    std::vector<Kind> kinds_of_extras() const {
        const auto resync = [](const std::string& store, const std::string& name) {
            return std::vector<std::string>{"resync", "--store", store, name};
        };
        return {{"extra file",
                 [this] { write_file(sites_.sydney.files_root / "stray", "put here by hand"); },
                 "1 thing is there that was never applied, stray", resync("uploads", "stray")},
                {"extra repository",
                 [this] {
                     fs::copy(sites_.sydney.git_root / "untouched.git",
                              sites_.sydney.git_root / "stray.git", fs::copy_options::recursive);
                 },
                 "1 thing is there that was never applied, stray.git", resync("git", "stray.git")}};
    }
    std::vector<Kind> kinds_of_state() const {
        const auto of_registry = [this](const std::string& sql) {
            return [this, sql] {
                sqlite::Database state(sites_.sydney.directory / "state/registry.db",
                                       sqlite::Database::Sync::Normal);
                EXPECT_EQ(state.execute(sql), 1) << sql;
            };
        };
        return {{"state database, flipped row",
                 of_registry("UPDATE item SET digest = x'00' WHERE item = CAST('known1' AS BLOB)"),
                 "known1: found by ",
                 {}},
                {"state database, lost row",
                 of_registry("DELETE FROM item WHERE item = CAST('known2' AS BLOB)"),
                 "known2: found by comparing inventories: ",
                 {}}};
    }
    std::string told() const {
        return sites_.sydney.antipode({"status"}).output +
               read_file(sites_.sydney.directory / "antipoded.log");
    }
    bool is_told(const std::string& words) const {
        return eventually([&] { return told().find(words) != std::string::npos; },
                          std::chrono::seconds(60));
    }
    bool is_equal() const {
        try {
            return sites_.london.files() == sites_.sydney.files() &&
                   sites_.london.repositories() == sites_.sydney.repositories();
        } catch (const std::runtime_error&) {
            return false;  // git says that one is broken
        }
    }
    std::string all_rows(const Site& site) const {
        std::string rows;
        for (const char* table :
             {"changed_row", "missing_row", "extra_row", "emptied", "swapped_keys"}) {
            rows += site.sql("SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM " +
                             std::string(table) + " t") +
                    "\n";
        }
        return rows;
    }

    TwoSites sites_;
};

TEST_F(Corruption, OfEveryKindIsFoundNamedAndMended) {
    const std::vector<Damage> damage = damage_of_every_kind(sites_.london, sites_.sydney);
    for (const char* name : {"known1", "known2"}) {
        write_file(sites_.london.files_root / name, name);
    }
    std::vector<Kind> kinds = kinds_of_rows();
    for (const auto& more : {kinds_of_extras(), kinds_of_state()}) {
        kinds.insert(kinds.end(), more.begin(), more.end());
    }
    RecordProperty("kinds", static_cast<int>(damage.size() + kinds.size()));
    EXPECT_GE(damage.size() + kinds.size(), 30U);
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    ASSERT_TRUE(eventually([&] {
        return sites_.sydney.status(
                   "[.stores[].content_check.watch_problem | strings] | "
                   "join(\"\")") == "";
    })) << sites_.describe();
    sites_.expect_equal();
    const std::string rows = all_rows(sites_.london);
    ASSERT_EQ(all_rows(sites_.sydney), rows);

    for (const Damage& each : damage) {
        each.make();
    }
    for (const Kind& kind : kinds) {
        kind.make();
    }
    // Rows are compared when somebody asks, or by the interval.
    const CommandResult compared = sites_.sydney.antipode({"database", "check"});
    EXPECT_EQ(compared.status, 3) << compared.output << compared.error;
    for (const Damage& each : damage) {
        EXPECT_TRUE(is_told(each.store + ": " + each.item + ": found by a check of its content: "))
            << each.item << told();
    }
    for (const char* refs : {"moved.git: refs/heads/old is ", "extra-ref.git: refs/heads/extra is ",
                             "lost-ref.git: refs/tags/v1 is missing here and ",
                             "head.git: HEAD is -> refs/heads/old"}) {
        EXPECT_TRUE(is_told(refs)) << refs << told();
    }
    for (const Kind& kind : kinds) {
        if (kind.name.starts_with("rows ")) {
            EXPECT_THAT(compared.output, HasSubstr("public." + kind.said + ": differs"));
        } else {
            EXPECT_TRUE(is_told(kind.said)) << kind.name << told();
        }
    }
    for (const Kind& kind : kinds) {
        if (!kind.mend.empty()) {
            const CommandResult mended = sites_.sydney.antipode(kind.mend);
            EXPECT_EQ(mended.status, 0) << kind.name << mended.output << mended.error;
        }
    }
    EXPECT_TRUE(eventually([&] { return is_equal(); }, std::chrono::seconds(60))) << told();
    EXPECT_EQ(all_rows(sites_.sydney), rows);
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.expect_equal();
    EXPECT_EQ(sites_.sydney.antipode({"verify", "--timeout", "120"}).status, 0) << told();
    EXPECT_EQ(sites_.sydney.antipode({"database", "check"}).status, 0);
    EXPECT_THAT(read_file(sites_.sydney.directory / "antipoded.log"),
                testing::Not(HasSubstr("untouched")));
}

}  // namespace
}  // namespace antipode::test
