#include "apps/antipode/hooks.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "failover/epoch.hpp"
#include "tests/support/memory_bucket.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

/// A store with two bare repositories. hook_program() finds the hook of this build tree.
struct Store {
    test::TemporaryDirectory directory;
    Config config;
    test::MemoryBucket::Server server;
    std::ostringstream out;
    std::ostringstream error;
    Output output{out, error};

    Store() {
        config.cluster = "demo";
        config.site = "london";
        config.sites = {{"london", "nats://127.0.0.1:4222", "http://127.0.0.1:8840"}};
        config.state_dir = directory / "state";
        config.repositories = {{"git", directory / "git"}};
        for (const char* name : {"git/one.git", "git/team/two.git"}) {
            test::must_run({"git", "init", "--quiet", "--bare", directory / name});
        }
    }
    OpenBucket open() {
        return [this](const Config::Site&, bool) {
            return std::make_unique<test::MemoryBucket>(server);
        };
    }
    void name_primary(const std::string& site) {
        failover::create_epoch(*open()(config.sites[0], false), "demo", site, "test", {});
    }
    Finding check() { return hooks_check(open()).look(config).front(); }
    ExitCode run(HooksAction action, const std::optional<std::string>& path = std::nullopt) {
        out.str("");
        return run_hooks(config, open(), output, action, path);
    }
};

TEST(Hooks, AreInstalledShownAndRemoved) {
    Store store;
    EXPECT_EQ(store.run(HooksAction::Status), ExitCode::Findings);
    EXPECT_THAT(store.out.str(), HasSubstr("repositories/git  one.git       absent\n"));
    EXPECT_EQ(store.run(HooksAction::Install), ExitCode::Ok);
    EXPECT_THAT(store.out.str(), HasSubstr("repositories/git  team/two.git  installed\n"));
    EXPECT_EQ(store.run(HooksAction::Status), ExitCode::Ok);
    EXPECT_EQ(store.check().verdict, Finding::Verdict::Good);
    EXPECT_EQ(store.run(HooksAction::Remove), ExitCode::Ok);
    EXPECT_EQ(store.run(HooksAction::Status), ExitCode::Findings);
    const Finding finding = store.check();
    EXPECT_EQ(finding.verdict, Finding::Verdict::Bad);
    EXPECT_THAT(finding.text, HasSubstr("2 of 2 repositories without the hook"));
}

TEST(Hooks, AreNotMissedOnASecondary) {
    Store store;
    store.name_primary("sydney");
    EXPECT_EQ(store.run(HooksAction::Status), ExitCode::Ok);
    EXPECT_THAT(store.out.str(), HasSubstr("one.git       absent\n"));
    EXPECT_THAT(store.out.str(), HasSubstr("this site is a secondary"));
    EXPECT_EQ(store.check().verdict, Finding::Verdict::Good);
    EXPECT_EQ(store.check().text, "a secondary needs none");
}

TEST(Hooks, AreMissedOnAPrimaryAndWhereTheRoleIsUnknown) {
    Store store;
    store.name_primary("london");
    EXPECT_EQ(store.check().verdict, Finding::Verdict::Bad);
    store.server.down = true;
    EXPECT_EQ(store.check().verdict, Finding::Verdict::Bad);
    EXPECT_EQ(store.run(HooksAction::Status), ExitCode::Findings);
    EXPECT_THAT(store.out.str(), Not(HasSubstr("secondary")));
}

TEST(Hooks, SayThatThereAreNoRepositories) {
    Store store;
    std::filesystem::remove_all(store.directory / "git");
    std::filesystem::create_directories(store.directory / "git");
    const std::string root = (store.directory / "git").string();
    for (const HooksAction action :
         {HooksAction::Status, HooksAction::Install, HooksAction::Remove}) {
        EXPECT_EQ(store.run(action), ExitCode::Ok);
        EXPECT_EQ(store.out.str(), "no repositories below " + root + "\n");
    }
    EXPECT_EQ(store.check().text, "no repositories below " + root);
    test::must_run({"git", "init", "--quiet", "--bare", store.directory / "git/one.git"});
    EXPECT_THAT(store.check().text, HasSubstr("1 of 1 repository without the hook"));
}

TEST(Hooks, CanBeInstalledInOneRepository) {
    Store store;
    EXPECT_EQ(store.run(HooksAction::Install, store.directory / "git/team/two.git"), ExitCode::Ok);
    EXPECT_THAT(store.out.str(), HasSubstr("installed"));
    EXPECT_THAT(store.out.str(), Not(HasSubstr("one.git")));
    EXPECT_EQ(store.run(HooksAction::Status), ExitCode::Findings);
    EXPECT_THAT(store.out.str(), HasSubstr("team/two.git  installed\n"));
    EXPECT_THROW(store.run(HooksAction::Install, store.directory / "elsewhere"), CommandError);
    EXPECT_THROW(store.run(HooksAction::Install, store.directory / "git/none.git"), Error);
}

TEST(Hooks, OfATemplateReachNewRepositories) {
    Store store;
    EXPECT_EQ(install_hook_template(store.config, store.output, store.directory / "template", {}),
              ExitCode::Ok);
    test::must_run({"git", "init", "--quiet", "--bare",
                    "--template=" + (store.directory / "template").string(),
                    store.directory / "git/new.git"});
    store.run(HooksAction::Status);
    EXPECT_THAT(store.out.str(), HasSubstr("new.git       installed\n"));
}

}  // namespace
}  // namespace antipode::cli
