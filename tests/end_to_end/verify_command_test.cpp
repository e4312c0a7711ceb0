// Content that somebody damages on a secondary is found, named and brought again; nothing else is.
#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/sqlite/database.hpp"
#include "tests/end_to_end/damage.hpp"
#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int equal = 0;
constexpr int findings = 3;

class Verify : public testing::Test {
  protected:
    void make_file(const std::string& name) const {
        write_file(sites_.london.files_root / name, "content of " + name + std::string(5000, '.'));
    }
    fs::path file(const std::string& name) const { return sites_.sydney.files_root / name; }
    fs::path repository(const std::string& name) const { return sites_.sydney.git_root / name; }
    CommandResult verify(std::vector<std::string> options = {}) const {
        options.insert(options.begin(), "verify");
        return sites_.sydney.antipode(options);
    }
    /// What the daemon named, once each.
    std::string named() const { return read_file(sites_.sydney.directory / "antipoded.log"); }

    /// Or it would be mended before it is asked for.
    TwoSites sites_{"[tuning]\nwatch_mirrors = false\n"};
};

TEST_F(Verify, WhateverIsDamagedIsFoundNamedAndBroughtAgain) {
    const std::vector<Damage> all = damage_of_every_kind(sites_.london, sites_.sydney);
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.expect_equal();
    CommandResult result = verify();
    EXPECT_EQ(result.status, equal) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output, HasSubstr("blobs/uploads: 11 items read again; all are as they were "
                                         "applied\n"));

    git_without_hooks(repository("flipped.git"), {"config", "antipode.local", "kept"});
    for (const Damage& damage : all) {
        damage.make();
    }
    result = verify({"--timeout", "120"});
    EXPECT_EQ(result.status, findings) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output,
                HasSubstr("repositories/git: 13 items read again; 12 were not: brought again, and "
                          "right now\n"));
    EXPECT_THAT(result.output, HasSubstr("blobs/uploads: 11 items read again; 10 were not: "));
    const std::string log = named();
    for (const Damage& damage : all) {
        EXPECT_THAT(log, testing::ContainsRegex(damage.store + ": " + damage.item +
                                                ": found by a check of its content: [^\n]*" +
                                                damage.named));
    }
    EXPECT_THAT(log, testing::Not(HasSubstr("untouched")));
    sites_.expect_equal();
    git_without_hooks(repository("flipped.git"), {"config", "antipode.local"});
    result = verify();
    EXPECT_EQ(result.status, equal) << result.output << result.error << sites_.describe();
    EXPECT_EQ(sites_.sydney.status(".exceptions | length"), "0");
    EXPECT_EQ(sites_.sydney.antipode({"failures"}).output, "sydney: nothing failed\n");
}

TEST_F(Verify, UnderLoadNothingIsFoundThatIsRight) {
    Application application(sites_.london);
    application.write();
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    auto load = std::async(std::launch::async, [&] {
        for (int i = 0; i < 60; ++i) {
            application.write();
            for (const char* name : {"a", "b"}) {  // the same ones again and again
                write_file(sites_.london.files_root / name, std::to_string(i));
            }
            if (i % 3 == 2) {
                application.remove_oldest();
            }
        }
    });
    int checks = 0;
    while (load.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
        const CommandResult result = verify();
        EXPECT_EQ(result.status, equal) << result.output << result.error;
        ++checks;
    }
    load.get();
    EXPECT_GE(checks, 2);
    EXPECT_EQ(sites_.sydney.status("[.stores[].content_check.differed // 0] | add"), "0");
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.expect_equal();
}

TEST_F(Verify, WhatSomebodyPutHereIsNamedAndRemovedWhenAskedFor) {
    make_file("one");
    make_repository(sites_.london, "one.git");
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    write_file(file("stray"), "put here by hand");
    fs::copy(repository("one.git"), repository("stray.git"), fs::copy_options::recursive);
    CommandResult result = verify();
    EXPECT_EQ(result.status, findings) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output, HasSubstr("blobs/uploads: 1 item is here that was never applied, "
                                         "stray first\nTry: antipode resync --store "
                                         "blobs/uploads NAME, which removes"));
    EXPECT_THAT(result.output, HasSubstr("repositories/git: 1 item is here that was never applied, "
                                         "stray.git first\n"));
    EXPECT_TRUE(fs::exists(file("stray")));
    sites_.sydney.antipode({"resync", "--store", "uploads", "stray"});
    sites_.sydney.antipode({"resync", "--store", "git", "stray.git"});
    EXPECT_TRUE(eventually([&] {
        return !fs::exists(file("stray")) && !fs::exists(repository("stray.git"));
    })) << sites_.describe();
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    result = verify();
    EXPECT_EQ(result.status, equal) << result.output << result.error;
    sites_.expect_equal();
}

TEST_F(Verify, AStateDatabaseThatIsWrongIsMendedAndWhatIsRightStays) {
    make_file("one");
    make_repository(sites_.london, "one.git");
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.sydney.kill();
    sqlite::Database(sites_.sydney.directory / "state/registry.db", sqlite::Database::Sync::Full)
        .execute("UPDATE item SET digest = x'00'");
    sites_.sydney.start();
    const CommandResult result = verify({"--timeout", "120"});
    EXPECT_EQ(result.status, findings) << result.output << result.error << sites_.describe();
    EXPECT_THAT(result.output, HasSubstr("repositories/git: 1 item read again; 1 was not: brought "
                                         "again, and right now\n"));
    EXPECT_EQ(verify().status, equal);
    sites_.expect_equal();
}

TEST_F(Verify, WhatAnOperatorAsksForIsDoneFromAnyMachine) {
    make_file("one");
    make_file("two");
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    fs::remove(file("one"));
    EXPECT_EQ(
        sites_.london.antipode({"resync", "--site", "sydney", "--store", "uploads", "one"}).output,
        "blobs/uploads: 1 item is asked for again; antipode failures\n");
    EXPECT_TRUE(eventually([&] { return fs::exists(file("one")); })) << sites_.describe();

    // Of a disk that is lost nothing is known but that it is empty.
    fs::remove(file("one"));
    fs::remove(file("two"));
    EXPECT_EQ(sites_.sydney.antipode({"resync", "--store", "blobs/uploads", "--all"}).status, 0);
    EXPECT_TRUE(eventually([&] { return fs::exists(file("one")) && fs::exists(file("two")); }))
        << sites_.describe();
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.expect_equal();

    CommandResult result = sites_.london.antipode({"verify"});
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.error,
                HasSubstr("london is \"primary\": content is checked on secondaries"));
    result = verify({"blobs/uploads", "one", "-o", "json"});
    EXPECT_EQ(result.status, equal) << result.output << result.error;
    EXPECT_EQ(result.output,
              "{\"schema\":\"antipode.verify/1\",\"site\":\"sydney\",\"state\":\"done\",\"stores\":"
              "[{\"store\":\"blobs/uploads\",\"items\":1,\"differed\":0,\"failing\":0,\"extras\":"
              "0,\"first_extra\":\"\",\"verdict\":\"equal\"}]}\n");
    EXPECT_EQ(verify({"nothing"}).status, 2);
    EXPECT_EQ(sites_.sydney.antipode({"resync", "one"}).status, 2) << "of which store?";
    EXPECT_EQ(sites_.sydney.antipode({"resync"}).status, 2);
    result = verify({"database/app"});
    EXPECT_EQ(result.status, equal) << result.output << result.error;
    EXPECT_THAT(result.output, HasSubstr("database/app: equal"));

    sites_.sydney.kill();
    result = verify({"--site", "sydney"});
    EXPECT_EQ(result.status, 5) << result.output << result.error;
}

}  // namespace
}  // namespace antipode::test
