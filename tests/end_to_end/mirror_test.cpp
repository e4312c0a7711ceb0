#include <gtest/gtest.h>

#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;

TEST(Mirror, AllThreeStoresArriveWholeAndStayEqual) {
    TwoSites sites;
    Application application(sites.london);
    for (int i = 0; i < 25; ++i) {
        application.write();
    }
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
    application.remove_oldest();
    write_file(sites.london.files_root / "u/20.bin", "overwritten");
    std::filesystem::rename(sites.london.files_root / "u", sites.london.files_root / "v");
    sites.london.sql("TRUNCATE journal; INSERT INTO journal VALUES ('a'), ('a'), (NULL)");
    sites.london.sql("UPDATE uploads SET note = repeat('x', 100000), id = id + 1000");
    sites.london.sql(
        "ALTER TABLE uploads ADD made timestamptz DEFAULT now(); CREATE TABLE later (v text); "
        "INSERT INTO later VALUES ('of a new table')");
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
    EXPECT_EQ(sites.sydney.sql("SELECT v FROM later"), "of a new table");
}

TEST(Mirror, EveryDirectoryArrivesWhereThatIsConfigured) {
    TwoSites sites("directories = \"all\"\nhold_deletions = false\n");
    const auto directories = [](const Site& site) {
        return must_run({"sh", "-c",
                         "find . -mindepth 1 -path ./.antipode -prune -o -type d "
                         "-printf '%p %m\\n' | sort"},
                        {}, {.log = {}, .directory = site.files_root, .environment = {}});
    };
    const auto expect_all_equal = [&] {
        ASSERT_TRUE(sites.caught_up()) << sites.describe();
        sites.expect_equal();
        EXPECT_EQ(directories(sites.london), directories(sites.sydney));
    };
    const std::filesystem::path root = sites.london.files_root;
    std::filesystem::create_directories(root / "empty/deep");
    for (int i = 0; i < 60; ++i) {
        write_file(root / "tree" / std::to_string(i % 7) / std::to_string(i), "x");
    }
    must_run({"chmod", "700", (root / "empty").string()});
    expect_all_equal();
    std::filesystem::rename(root / "tree", root / "moved");
    std::filesystem::remove_all(root / "empty/deep");
    expect_all_equal();
    std::filesystem::remove_all(root / "moved");
    write_file(root / "moved", "a file now");
    const CommandResult told = sites.london.antipode({"notify", "blobs/uploads", "empty/"});
    EXPECT_EQ(told.status, 0) << told.error;
    expect_all_equal();
    EXPECT_TRUE(eventually([&] { return sites.sydney.status(".exceptions | length") == "0"; }))
        << sites.describe();
    EXPECT_EQ(sites.sydney.antipode({"verify", "blobs/uploads"}).status, 0) << sites.describe();
}

TEST(Mirror, LagIsSmallAndTheRecoveryPointTrueWhenNothingHappens) {
    TwoSites sites;
    Application application(sites.london);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    const auto small = [&] {
        const auto lag =
            sites.sydney.status(".sites[] | select(.site == \"sydney\") | .lag_seconds");
        return lag && std::stod(*lag) < 2.0;
    };
    EXPECT_TRUE(eventually(small)) << sites.describe();
    EXPECT_EQ(sites.sydney.status(".exceptions | length"), "0");
    EXPECT_TRUE(eventually([&] {
        return sites.sydney.status("[.workers[] | select(.healthy | not)] | length") == "0";
    })) << sites.describe();
}

TEST(Mirror, WhatChangedWhileNothingRanIsFound) {
    TwoSites sites;
    Application application(sites.london);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.london.kill();
    sites.sydney.kill();
    for (int i = 0; i < 3; ++i) {
        application.write();
    }
    application.remove_oldest();
    must_run({"git", "init", "-q", "--bare", (sites.london.git_root / "later.git").string()});
    std::filesystem::create_directories(sites.london.files_root / "new directory");
    write_file(sites.london.files_root / "new directory/\xff\x01 odd\nname", "content");
    sites.london.start();
    sites.sydney.start();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

TEST(Mirror, AServerThatIsDownIsNamedAndTheRestCatchesUp) {
    TwoSites sites;
    Application application(sites.london);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.london.nats.kill();
    application.write();
    EXPECT_TRUE(eventually([&] {
        const auto problem =
            sites.london.status(".workers[] | select(.name == \"publisher\") | .problem");
        return problem && problem->find(sites.london.nats.url()) != std::string::npos;
    })) << sites.describe();
    sites.london.nats.start();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.sydney.postgres.kill();
    application.write();
    EXPECT_TRUE(eventually([&] {
        return sites.sydney.status(".stores[] | select(.store == \"database/app\") | .state") ==
               "waiting";
    })) << sites.describe();
    sites.sydney.postgres.start();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

TEST(Mirror, ADatabaseOfThePrimaryThatIsDownIsNamedWithTheRemedy) {
    TwoSites sites;
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.london.postgres.kill();
    for (const std::string rows : {".sites[] | select(.site == \"london\")",
                                   ".stores[] | select(.store == \"database/app\")"}) {
        EXPECT_TRUE(eventually([&] {
            return sites.london.status(rows + " | .next_step")
                       .value_or("")
                       .find("check that the server runs") != std::string::npos;
        })) << sites.describe();
    }
    EXPECT_EQ(sites.london.antipode({"status"}).output.find("??"), std::string::npos);
    sites.london.postgres.start();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
}

TEST(Mirror, AStreamThatIsLostOnThePrimaryCostsNothing) {
    TwoSites sites;
    Application application(sites.london);
    for (int i = 0; i < 3; ++i) {
        application.write();
    }
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.sydney.kill();
    application.write();
    // The broker comes back with nothing: as after a power cut of a young stream.
    sites.london.nats.kill();
    std::filesystem::remove_all(sites.london.directory / "nats/jetstream");
    sites.london.nats.start();
    application.write();
    sites.sydney.start();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

TEST(Mirror, ASecondaryThatLostItsOwnStreamAndStateComesBack) {
    TwoSites sites;
    Application application(sites.london);
    for (int i = 0; i < 3; ++i) {
        application.write();
    }
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.sydney.kill();
    sites.sydney.nats.kill();
    std::filesystem::remove_all(sites.sydney.directory / "nats/jetstream");
    std::filesystem::remove_all(sites.sydney.directory / "state");
    sites.sydney.nats.start();
    application.write();
    application.remove_oldest();
    sites.sydney.start();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

}  // namespace
}  // namespace antipode::test
