// Repositories behind git http-backend, as forges serve them: its pushes are captured, and a mirror
// is to its readers what the primary is.
#include <gmock/gmock.h>

#include "tests/repositories_lane.hpp"
#include "tests/support/process.hpp"

namespace antipode::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

/// A web server in front of one root.
class GitHttpServer {
  public:
    GitHttpServer(const std::filesystem::path& root, const std::filesystem::path& log)
        : port_(free_port()),
          process_({"python3", ANTIPODE_GIT_HTTP, root.string(), std::to_string(port_)},
                   {.log = log, .directory = {}, .environment = git_environment().environment}) {
        if (!eventually([&] { return run({"curl", "-sS", url("")}).status == 0; })) {
            throw std::runtime_error("the web server does not answer: " + read_file(log));
        }
    }
    std::string url(const std::string& name) const {
        return "http://127.0.0.1:" + std::to_string(port_) + "/" + name;
    }

  private:
    int port_;
    Process process_;
};

class OverHttp : public RepositoriesLane {
  protected:
    OverHttp() {
        const git::HookSettings mirror{hook_settings().program, directory_ / "mirror-spool/code"};
        std::filesystem::create_directories(mirror.spool.parent_path());
        write_file(mirror.spool.string() + ".fenced", "push to london");
        target_ = std::make_unique<git::GitRepositories>(
            git::GitRepositories::Options{
                .root = mirror_, .packs_directory = {}, .strict_objects = false, .hook = mirror},
            clock_);
        apply_ = std::make_unique<secondary::RepositoryApply>(
            StoreId{StoreKind::Repositories, "code"}, *target_);
    }
    std::string refs(const std::string& url) { return git({"ls-remote", url}); }

    GitHttpServer primary_{root_, directory_ / "primary-http.log"};
    GitHttpServer secondary_{mirror_, directory_ / "secondary-http.log"};
};

TEST_F(OverHttp, PushesAreCapturedAndTheMirrorServesWhatThePrimaryDoes) {
    create("group/r.git");
    install_hooks();
    const std::string work = (directory_ / "work").string();
    git({"clone", "-q", primary_.url("group/r.git"), work});
    const auto commit = [&](const std::string& text, size_t bytes) {
        write_file(work + "/file", std::string(bytes, 'x') + text);
        git({"-C", work, "add", "file"});
        git({"-C", work, "commit", "-qm", text});
    };
    // Small, and larger than what git sends at once (http.postBuffer, 1 MiB).
    for (const size_t bytes : {size_t{10}, size_t{5'000'000}, size_t{20}}) {
        write_file(work + "/noise",
                   must_run({"head", "-c", std::to_string(bytes), "/dev/urandom"}));
        git({"-C", work, "add", "noise"});
        commit("with " + std::to_string(bytes), 10);
        git({"-C", work, "push", "-q", "origin", "HEAD:main", "HEAD:refs/changes/1"});
        EXPECT_THAT(replicate_noticed(), ElementsAre("group/r.git"));
        expect_equal("group/r.git");
        EXPECT_EQ(refs(secondary_.url("group/r.git")), refs(primary_.url("group/r.git")));
    }
    git({"-C", work, "push", "-q", "origin", ":refs/changes/1", "+HEAD~1:main"});
    EXPECT_THAT(replicate_noticed(), ElementsAre("group/r.git"));
    EXPECT_EQ(refs(secondary_.url("group/r.git")), refs(primary_.url("group/r.git")));

    const std::string clone = (directory_ / "clone").string();
    git({"clone", "-q", "--mirror", secondary_.url("group/r.git"), clone});
    git({"-C", clone, "fsck", "--strict", "--no-progress"});
    // A clone of the one is the other's, too.
    git({"-C", clone, "fetch", "-q", primary_.url("group/r.git"), "+refs/*:refs/*"});
    EXPECT_EQ(git({"-C", clone, "for-each-ref"}),
              git({"-C", on_primary("group/r.git").string(), "for-each-ref"}));
}

TEST_F(OverHttp, AMirrorRefusesPushesInWordsThatReachTheClient) {
    create("r.git");
    install_hooks();
    commit("r.git", "main", "1");
    push("r.git", {"main"});
    replicate_noticed();
    commit("r.git", "main", "2");
    const CommandResult pushed =
        run({"git", "-C", work_tree("r.git").string(), "-c", "http.postBuffer=1", "push",
             secondary_.url("r.git"), "HEAD:main", "HEAD:other"});
    EXPECT_NE(pushed.status, 0);
    EXPECT_THAT(pushed.error, HasSubstr("remote: antipode: push to london"));
    // What changes nothing is the operator's to do.
    git({"-C", on_secondary("r.git").string(), "gc", "-q"});
    git({"-C", on_secondary("r.git").string(), "pack-refs", "--all"});
    expect_equal("r.git");
}

}  // namespace
}  // namespace antipode::test
