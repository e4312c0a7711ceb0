#include "apps/antipode/hooks.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
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
    std::ostringstream out;
    std::ostringstream error;
    Output output{out, error};

    Store() {
        config.cluster = "demo";
        config.state_dir = directory / "state";
        config.repositories = {{"git", directory / "git"}};
        for (const char* name : {"git/one.git", "git/team/two.git"}) {
            test::must_run({"git", "init", "--quiet", "--bare", directory / name});
        }
    }
    ExitCode run(HooksAction action, const std::optional<std::string>& path = std::nullopt) {
        out.str("");
        return run_hooks(config, output, action, path);
    }
};

TEST(Hooks, AreInstalledShownAndRemoved) {
    Store store;
    EXPECT_EQ(store.run(HooksAction::Status), ExitCode::Findings);
    EXPECT_THAT(store.out.str(), HasSubstr("repositories/git  one.git       absent\n"));
    EXPECT_EQ(store.run(HooksAction::Install), ExitCode::Ok);
    EXPECT_THAT(store.out.str(), HasSubstr("repositories/git  team/two.git  installed\n"));
    EXPECT_EQ(store.run(HooksAction::Status), ExitCode::Ok);
    EXPECT_EQ(hooks_check().look(store.config).front().verdict, Finding::Verdict::Good);
    EXPECT_EQ(store.run(HooksAction::Remove), ExitCode::Ok);
    EXPECT_EQ(store.run(HooksAction::Status), ExitCode::Findings);
    const Finding finding = hooks_check().look(store.config).front();
    EXPECT_EQ(finding.verdict, Finding::Verdict::Bad);
    EXPECT_THAT(finding.text, HasSubstr("2 of 2 repositories are without the hook"));
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
