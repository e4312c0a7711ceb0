// What a crash, a stop or a held lock leaves, and that the next try mends it.
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/git/packed_refs.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"
#include "base/worker.hpp"
#include "tests/repositories_lane.hpp"
#include "tests/support/process.hpp"

namespace antipode::test {
namespace {

using secondary::FailureClass;
using secondary::Result;
using FileClock = std::filesystem::file_time_type::clock;
using testing::HasSubstr;

const FileClock::time_point process_began = FileClock::now();

std::string with_one_bit_changed(std::string bytes) {
    bytes[bytes.size() / 2] ^= 1;
    return bytes;
}

class RepositoriesCrash : public RepositoriesLane {
  protected:
    /// Applies in a process of its own that is killed after `microseconds`. True: it was done.
    bool apply_and_kill(const protocol::Event& event, int microseconds) {
        const pid_t pid = fork();
        if (pid == 0) {
            const Result result = apply(event);
            _exit(result.kind == Result::Kind::Applied ? 0 : 1);
        }
        const int status = test::kill_after(pid, std::chrono::microseconds(microseconds));
        return WIFEXITED(status);
    }
};

TEST_F(RepositoriesCrash, KilledAtAnyMomentApplyIsFinishedByTheNext) {
    create("r.git");
    const std::string place = on_primary("r.git").string();
    commit("r.git", "main", "0");
    push("r.git", {"main"});
    int killed = 0;
    int delay = 500;
    for (int i = 1; i <= 24; ++i) {
        if (i > 1) {
            commit("r.git", "main", std::to_string(i), "file" + std::to_string(i));
            push("r.git", {"main", "main:refs/heads/side/" + std::to_string(i)});
            git({"-C", place, "symbolic-ref", "HEAD",
                 i % 2 == 0 ? "refs/heads/side/2" : "refs/heads/main"});
        }
        const auto event = capture("r.git");
        ASSERT_TRUE(event.has_value());
        const bool was_faster = apply_and_kill(*event, delay);
        killed += was_faster ? 0 : 1;
        delay = was_faster ? delay / 2 : delay + 2500;  // on a fast machine, too
        apply_until_done(*event);
        expect_equal("r.git");
    }
    EXPECT_GT(killed, 4);
    RecordProperty("killed", killed);
}

TEST_F(RepositoriesCrash, LeftoversAreCleanedUp) {
    create("r.git");
    commit("r.git", "main", "1");
    push("r.git", {"main"});
    replicate("r.git");
    const auto objects = on_secondary("r.git") / "objects";
    write_file(objects / "tmp_objdir-antipode-dead/pack/pack-1.pack", "half");
    write_file(mirror_ / ".antipode/trash/removed-1/repository.git/HEAD", "x");
    write_file(mirror_ / ".antipode/new/repository-1/repository.git/HEAD", "x");
    write_file(directory_ / "packs/code/making-1/pack", "half");
    EXPECT_THAT(target_->discover(stop_).found, testing::ElementsAre("r.git"));
    target_->clean_leftovers();
    source_->clean_leftovers();
    EXPECT_FALSE(std::filesystem::exists(mirror_ / ".antipode/trash"));
    EXPECT_FALSE(std::filesystem::exists(mirror_ / ".antipode/new"));
    EXPECT_FALSE(std::filesystem::exists(directory_ / "packs/code/making-1"));
    commit("r.git", "main", "2");
    push("r.git", {"main"});
    replicate("r.git");
    expect_equal("r.git");
}

TEST_F(RepositoriesCrash, AHeldLockIsNamedAndNothingIsHalfDone) {
    create("r.git");
    commit("r.git", "main", "1");
    push("r.git", {"main"});
    replicate("r.git");
    commit("r.git", "main", "2");
    push("r.git", {"main", "main:another"});
    const auto lock = on_secondary("r.git") / "refs/heads/main.lock";
    write_file(lock, "");
    const auto event = capture("r.git");
    const Result result = apply(*event);
    EXPECT_EQ(result.failure, FailureClass::Transient);
    EXPECT_THAT(result.reason, HasSubstr("main.lock"));
    EXPECT_THAT(result.next_step, HasSubstr("remove the lock"));
    EXPECT_FALSE(target_->read_refs("r.git")->refs.contains("refs/heads/another"));
    std::filesystem::remove(lock);
    EXPECT_EQ(apply(*event).kind, Result::Kind::Applied);
    expect_equal("r.git");
}

/// A git that takes the lock on packed-refs as soon as it has packed the refs once, as the one of
/// housekeeping may, and holds it until somebody else takes it away.
TEST_F(RepositoriesCrash, ALockOnPackedRefsThatIsHeldForAMomentIsWaitedFor) {
    create("r.git");
    commit("r.git", "main", "1");
    push("r.git", {"main"});
    const auto place = on_primary("r.git");
    const auto lock = place / "packed-refs.lock";
    const auto taken = directory_ / "taken";
    write_file(directory_ / "bin/git",
               "#!/bin/sh\n/usr/bin/git \"$@\" || exit\ncase \"$*\" in *pack-refs*) [ -e '" +
                   taken.string() + "' ] || : >'" + taken.string() + "' >'" + lock.string() +
                   "' ;; esac\n");
    must_run({"chmod", "+x", (directory_ / "bin/git").string()});
    const std::string path = std::getenv("PATH");
    setenv("PATH", ((directory_ / "bin").string() + ":" + path).c_str(), 1);
    const git::Program program;
    setenv("PATH", path.c_str(), 1);

    const std::string oid = *from_hex(git({"-C", place.string(), "rev-parse", "main"}));
    const RefChange change{"refs/heads/other", {}, RefValue::direct(oid)};
    const auto move = [&](const std::stop_token& stop) {
        git::move_refs_at_once(program, place, {&change}, stop);
    };
    const auto when_it_is_held = [&](const std::function<void()>& act) {
        return std::jthread([&lock, act] {
            EXPECT_TRUE(eventually([&] { return std::filesystem::exists(lock); }));
            act();
        });
    };
    {
        std::stop_source stop;
        const auto stopper = when_it_is_held([&] { stop.request_stop(); });
        EXPECT_THROW(move(stop.get_token()), Stopped);
    }
    std::filesystem::remove(lock);
    std::filesystem::remove(taken);
    const auto holder = when_it_is_held([&] {
        const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
        EXPECT_TRUE(eventually([&] { return std::chrono::steady_clock::now() > until; }));
        std::filesystem::remove(lock);
    });
    EXPECT_NO_THROW(move({}));
    EXPECT_EQ(git({"-C", place.string(), "rev-parse", "other"}), to_hex(oid));
}

TEST_F(RepositoriesCrash, LocksThatAKilledGitLeftBehindAreTakenAway) {
    create("r.git");
    commit("r.git", "main", "1");
    push("r.git", {"main"});
    replicate("r.git");
    commit("r.git", "main", "2");
    push("r.git", {"main", "main:another"});
    git({"-C", on_primary("r.git").string(), "symbolic-ref", "HEAD", "refs/heads/another"});
    const auto leave = [&](const char* ref, FileClock::time_point time) {
        write_file(on_secondary("r.git") / ref, "");
        std::filesystem::last_write_time(on_secondary("r.git") / ref, time);
    };
    // The daemon that was killed starts again within moments.
    leave("refs/heads/main.lock", process_began - std::chrono::seconds(1));
    leave("refs/heads/another.lock", process_began - std::chrono::seconds(1));
    leave("HEAD.lock", process_began - std::chrono::hours(1));
    EXPECT_EQ(apply(*capture("r.git")).kind, Result::Kind::Applied);
    expect_equal("r.git");
}

TEST_F(RepositoriesCrash, ABrokenMirrorIsReplacedByTheWhole) {
    create("r.git");
    commit("r.git", "main", "1");
    push("r.git", {"main"});
    replicate("r.git");
    const std::vector<std::function<void()>> harms{
        [&] { std::filesystem::remove(on_secondary("r.git") / "HEAD"); },
        [&] { write_file(on_secondary("r.git") / "refs/heads/main", ""); },
        [&] { write_file(on_secondary("r.git") / "packed-refs", "rubbish"); },
        [&] { std::filesystem::remove_all(on_secondary("r.git") / "objects/pack"); },
        [&] { std::filesystem::remove_all(on_secondary("r.git")); }};
    for (size_t i = 0; i < harms.size(); ++i) {
        harms[i]();
        commit("r.git", "main", "after " + std::to_string(i));
        push("r.git", {"main"});
        replicate("r.git");
        expect_equal("r.git");
    }
}

TEST_F(RepositoriesCrash, HostilePacksAreRefused) {
    create("r.git");
    commit("r.git", "main", "1");
    push("r.git", {"main"});
    const auto good = capture("r.git");
    const std::string bytes = good->payload.ref_update().pack().inline_();
    for (const std::string& bad : {bytes.substr(0, bytes.size() / 2), std::string("PACK"),
                                   std::string("PACK\0\0\0\2\xff\xff\xff\xff", 12),
                                   std::string("not a pack at all"), with_one_bit_changed(bytes)}) {
        protocol::Event event = *good;
        auto& pack = *event.payload.mutable_ref_update()->mutable_pack();
        pack.set_inline_(bad);
        pack.set_size(bad.size());
        pack.set_sha256(std::string(view(sha256(bad))));
        const Result result = apply(event);
        EXPECT_EQ(result.kind, Result::Kind::Failed) << printable(bad);
        EXPECT_EQ(result.failure, FailureClass::PrimaryDefect) << result.reason;
    }
    EXPECT_EQ(apply(*good).kind, Result::Kind::Applied);
    expect_equal("r.git");
}

TEST_F(RepositoriesCrash, SymbolicLinksAreNeverFollowed) {
    create("group/r.git");
    commit("group/r.git", "main", "1");
    push("group/r.git", {"main"});
    std::filesystem::create_directories(directory_ / "outside");
    std::filesystem::create_symlink(directory_ / "outside", mirror_ / "group");
    const auto event = capture("group/r.git");
    EXPECT_EQ(apply(*event).kind, Result::Kind::Failed);
    EXPECT_TRUE(std::filesystem::is_empty(directory_ / "outside"));
}

TEST_F(RepositoriesCrash, AStopEndsGitSoon) {
    git::Program program;
    std::stop_source source;
    std::jthread stopper([&] { source.request_stop(); });
    const auto start = std::chrono::steady_clock::now();
    // Waits for input that never ends: a pipe that this test holds open.
    EXPECT_THROW(
        {
            while (true) {
                program.run({}, {.arguments = {"version"}}, source.get_token());
            }
        },
        Stopped);
    must_run({"mkfifo", (directory_ / "endless").string()});
    const int fd = open((directory_ / "endless").c_str(), O_RDWR | O_CLOEXEC);
    EXPECT_THROW(
        program.run({},
                    {.arguments = {"hash-object", "--stdin"}, .input_file = directory_ / "endless"},
                    source.get_token()),
        Stopped);
    close(fd);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

}  // namespace
}  // namespace antipode::test
