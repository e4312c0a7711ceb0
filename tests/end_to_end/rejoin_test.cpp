// The old primary comes back after another site was promoted: what only it has is kept, and it
// becomes a secondary without being copied anew.
#include "tests/end_to_end/rejoin.hpp"

#include <algorithm>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

int64_t milliseconds_since(std::chrono::steady_clock::time_point begun) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                 begun)
        .count();
}

/// False also when a file goes while it is read: that is looked at again.
bool have_same_files(const Site& left, const Site& right) {
    try {
        return left.files() == right.files();
    } catch (const std::runtime_error&) {
        return false;
    }
}

TEST_F(Rejoin, KeepsWhatWasLostTellsItExactlyAndSwitchesBack) {
    sydney().kill();
    write_what_is_lost();
    lose_london();
    sydney().start();
    promote_sydney();
    // sydney goes on: what it writes must neither be lost nor counted as lost.
    for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(writer_->write()) << writer_->problem();
    }
    app(sydney(), "UPDATE uploads SET note = 'sydney' WHERE id = 0");
    write_file(sydney().files_root / "kept.txt", "as sydney has it");

    bring_london_back();
    const auto back_at = std::chrono::steady_clock::now();
    await_state(london(), "quarantined");
    std::cout << "in quarantine " << milliseconds_since(back_at) << " ms after it came back\n";
    EXPECT_FALSE(std::filesystem::exists(Pair::opened(london())));
    expect_quarantine_is_whole();
    // Nothing is touched before the operator's word.
    EXPECT_EQ(london().sql("SELECT count(*) FROM uploads WHERE id = 500"), "1");
    EXPECT_EQ(read_file(london().files_root / "kept.txt"), "as only london has it");
    const CommandResult unsure = london().antipode({"rejoin"});
    EXPECT_EQ(unsure.status, 2) << unsure.error << unsure.output;
    EXPECT_THAT(unsure.error, HasSubstr("only this site has 3 transactions, 3 refs of 2 "
                                        "repositories, 3 files; 1 removal never came to sydney"));
    expect_final_report(sydney());
    const std::string untouched =
        must_run({"stat", "-c", "%i %z", (london().files_root / "still.bin").string()}) +
        london().sql("SELECT ctid, xmin FROM still WHERE id = 15000");

    const auto word_at = std::chrono::steady_clock::now();
    const CommandResult done = sydney().antipode({"rejoin", "london", "--yes", "-o", "json"});
    ASSERT_EQ(done.status, 0) << done.error << done.output << pair_->describe();
    EXPECT_EQ(value_of(done.output, ".loss.known_lost"), "9");
    ASSERT_TRUE(pair_->caught_up(london())) << pair_->describe();
    std::cout << "equal " << milliseconds_since(word_at) << " ms after the word\n";
    pair_->expect_equal();
    EXPECT_EQ(london().sql("SELECT note FROM uploads WHERE id = 0"), "sydney");
    EXPECT_EQ(london().sql("SELECT count(*) FROM uploads WHERE id = 500"), "0") << "resurrected";
    EXPECT_FALSE(std::filesystem::exists(london().files_root / "lost.txt")) << "resurrected";
    EXPECT_EQ(writer_->missing(london()), -1);
    EXPECT_EQ(must_run({"stat", "-c", "%i %z", (london().files_root / "still.bin").string()}) +
                  london().sql("SELECT ctid, xmin FROM still WHERE id = 15000"),
              untouched)
        << "it was copied again";
    expect_quarantine_is_whole();
    expect_final_report(london());
    // What was only needed on the way is gone, on both sites.
    EXPECT_FALSE(std::filesystem::exists(london().directory / "state/rejoin.db"));
    EXPECT_TRUE(eventually([&] {
        return !std::filesystem::exists(sydney().directory / "state/cut.db");
    })) << pair_->describe();
    EXPECT_THAT(london().antipode({"quarantine", "list"}).output, HasSubstr(promotion_));
    EXPECT_THAT(london().antipode({"quarantine", "show"}).output,
                HasSubstr("lost: 3 transactions (4 changes), 3 refs of 2 repositories, 3 files, 1 "
                          "removal"));
    // And back.
    ASSERT_TRUE(pair_->ready(london()))
        << london().antipode({"preflight", "--to", "london"}).output << pair_->describe();
    const CommandResult back = pair_->switch_to(london());
    ASSERT_EQ(back.status, 0) << back.error << back.output << pair_->describe();
    ASSERT_TRUE(writer_->write()) << writer_->problem();
    ASSERT_TRUE(pair_->caught_up(sydney())) << pair_->describe();
    EXPECT_EQ(writer_->missing(sydney()), -1);
    pair_->expect_equal();
    EXPECT_EQ(london().status(".epoch"), "3");
}

/// What a listing of each side says, and one does not.
std::set<std::string> only_in(const std::string& one, const std::string& other) {
    const auto lines_of = [](const std::string& text) {
        std::istringstream lines(text);
        std::set<std::string> all;
        for (std::string line; std::getline(lines, line);) {
            all.insert(line);
        }
        return all;
    };
    const auto these = lines_of(one);
    const auto those = lines_of(other);
    std::set<std::string> only;
    std::set_difference(these.begin(), these.end(), those.begin(), those.end(),
                        std::inserter(only, only.end()));
    return only;
}

TEST_F(Rejoin, UnderLoadStatesExactlyWhatWasLost) {
    const auto uploads = [](const Site& site) {
        return site.sql("SELECT id FROM uploads ORDER BY id");
    };
    const auto files = [](const Site& site) {
        return must_run(
            {"find", (site.files_root / "u").string(), "-type", "f", "-printf", "%P\n"});
    };
    const auto commits = [](const Site& site) {
        return must_run({"git", "-c", "safe.directory=*", "-C",
                         (site.git_root / "app.git").string(), "log", "--format=%H", "main"});
    };
    writer_->start();
    ASSERT_TRUE(writer_->go_on(5)) << writer_->problem();
    sydney().kill();
    ASSERT_TRUE(writer_->go_on(7)) << writer_->problem();
    lose_london();
    writer_->stop();
    sydney().start();
    promote_sydney();
    const std::string rows_at_cut = uploads(sydney());
    const std::string files_at_cut = files(sydney());
    const std::string commits_at_cut = commits(sydney());
    app(sydney(), "INSERT INTO uploads VALUES (1000, 'new', 'new')");
    write_file(sydney().files_root / "u/new.bin", "new");
    must_run(
        {"git", "--git-dir", (sydney().git_root / "app.git").string(), "branch", "new", "main"});

    bring_london_back();
    await_state(london(), "quarantined");
    const auto lost_rows = only_in(uploads(london()), rows_at_cut);
    const auto lost_files = only_in(files(london()), files_at_cut);
    EXPECT_GE(lost_rows.size(), 7U);
    // An INSERT and another one into the journal, each a transaction.
    std::multiset<std::string> rows;
    std::istringstream kept(must_run({"jq", "-r", "select(.table == \"public.uploads\") | .new.id",
                                      (quarantine() / "database/app.jsonl").string()}));
    for (std::string line; std::getline(kept, line);) {
        rows.insert(line);
    }
    EXPECT_EQ(rows, std::multiset<std::string>(lost_rows.begin(), lost_rows.end()));
    std::set<std::string> kept_files =
        only_in(must_run({"find", (quarantine() / "blobs/uploads/u").string(), "-type", "f",
                          "-printf", "%P\n"}),
                "");
    EXPECT_EQ(kept_files, lost_files);
    for (const std::string& file : lost_files) {
        EXPECT_EQ(read_file(quarantine() / "blobs/uploads/u" / file),
                  read_file(london().files_root / "u" / file));
    }
    const std::string clone = (pair_->temporary / "from-bundle").string();
    must_run({"git", "clone", "-q", "--bare", (sydney().git_root / "app.git").string(), clone});
    must_run({"git", "-C", clone, "fetch", "-q",
              (quarantine() / "repositories/git/app.git.bundle").string(),
              "refs/heads/main:refs/heads/found"});
    EXPECT_EQ(must_run({"git", "-C", clone, "log", "--format=%H", "found"}), commits(london()));
    EXPECT_GT(only_in(commits(london()), commits_at_cut).size(), 0U);

    const CommandResult done = london().antipode({"rejoin", "--yes", "-o", "json"});
    ASSERT_EQ(done.status, 0) << done.error << done.output << pair_->describe();
    // An item is a loss, however often it changed; so is a transaction.
    const std::string journal_rows =
        must_run({"jq", "-r", ".xid", (quarantine() / "database/app.jsonl").string()});
    EXPECT_EQ(value_of(done.output, ".loss.known_lost"),
              std::to_string(only_in(journal_rows, "").size() + lost_files.size() + 1));
    EXPECT_EQ(value_of(done.output, ".loss.lost.files"), std::to_string(lost_files.size()));
    EXPECT_EQ(value_of(done.output, ".loss.lost.undone_removals"), "0");
    ASSERT_TRUE(pair_->caught_up(london())) << pair_->describe();
    pair_->expect_equal();
    EXPECT_EQ(uploads(london()), rows_at_cut + "\n1000");
}

TEST_F(Rejoin, KeepsWhatWasSafeOnTheNewPrimaryAndCouldNotBeAppliedThere) {
    // A row stands in the way.
    sydney().sql(
        "SET default_transaction_read_only = off; INSERT INTO uploads VALUES (600, 'x', 'x')");
    app(london(), "INSERT INTO uploads VALUES (600, 'refused', 'refused')");
    app(london(), "INSERT INTO uploads VALUES (601, 'behind it', 'behind it')");
    const std::string end = london().sql("SELECT pg_current_wal_lsn()");
    ASSERT_TRUE(eventually([&] {
        return london().sql("SELECT confirmed_flush_lsn >= '" + end.substr(0, end.find('\n')) +
                            "' FROM pg_replication_slots") == "t";
    })) << pair_->describe();
    london().sql("CHECKPOINT");  // the slot's place lasts
    lose_london();
    promote_sydney();
    const std::string preliminary = sydney().antipode({"loss", "-o", "json"}).output;
    EXPECT_EQ(value_of(preliminary, ".state"), "preliminary");
    EXPECT_EQ(value_of(preliminary, ".known_lost"), "2") << preliminary;
    bring_london_back();
    await_state(london(), "quarantined");
    EXPECT_EQ(must_run({"jq", "-c", "[.operation,.table,.new.id,.new.oid]",
                        (quarantine() / "database/app.jsonl").string()}),
              "[\"insert\",\"public.uploads\",\"600\",\"refused\"]\n"
              "[\"insert\",\"public.uploads\",\"601\",\"behind it\"]");
    EXPECT_EQ(losses(),
              (std::multiset<std::string>{"quarantined database/app", "quarantined database/app"}));
    ASSERT_EQ(london().antipode({"rejoin", "--yes"}).status, 0) << pair_->describe();
    ASSERT_TRUE(pair_->caught_up(london())) << pair_->describe();
    pair_->expect_equal();
}

TEST_F(Rejoin, KeepsAlsoWhatIsWrittenThroughTheFenceBeforeTheWord) {
    lose_london();
    promote_sydney();
    bring_london_back();
    await_state(london(), "quarantined");
    EXPECT_EQ(losses().size(), 0U);
    // A superuser, and root.
    london().sql("INSERT INTO uploads VALUES (700, 'late', 'late')");
    write_file(london().files_root / "late.txt", "late");
    ASSERT_EQ(london().antipode({"rejoin", "--yes"}).status, 0) << pair_->describe();
    EXPECT_EQ(losses(), (std::multiset<std::string>{"quarantined database/app",
                                                    "quarantined blobs/uploads late.txt"}));
    ASSERT_TRUE(pair_->caught_up(london())) << pair_->describe();
    pair_->expect_equal();
}

class RejoinWithoutSuperusers : public Rejoin {
  protected:
    void SetUp() override { start("", Pair::Daemons::Unprivileged); }
};

TEST_F(RejoinWithoutSuperusers, ThereAndBack) {
    sydney().kill();
    write_what_is_lost();
    lose_london();
    sydney().start();
    promote_sydney();
    ASSERT_TRUE(writer_->write()) << writer_->problem();
    bring_london_back();
    await_state(london(), "quarantined");
    expect_quarantine_is_whole();
    ASSERT_EQ(london().antipode({"rejoin", "--yes"}).status, 0) << pair_->describe();
    ASSERT_TRUE(pair_->caught_up(london())) << pair_->describe();
    pair_->expect_equal();
    const CommandResult refused = run(
        {PostgresServer::program("psql"), "-Xc", "SELECT 1", london().postgres.url("app", "app")});
    EXPECT_THAT(refused.error, HasSubstr("permission denied for database"));
    ASSERT_TRUE(pair_->ready(london())) << pair_->describe();
    ASSERT_EQ(pair_->switch_to(london()).status, 0) << pair_->describe();
    ASSERT_TRUE(writer_->write()) << writer_->problem();
    ASSERT_TRUE(pair_->caught_up(sydney())) << pair_->describe();
    pair_->expect_equal();
}

TEST_F(Rejoin, NamesAStructureThatDiffersAndGoesOnOnceItDoesNot) {
    sydney().kill();
    app(london(), "CREATE TABLE only_here (id int PRIMARY KEY); INSERT INTO only_here VALUES (1)");
    lose_london();
    sydney().start();
    promote_sydney();
    bring_london_back();
    await_state(london(), "quarantined");
    EXPECT_EQ(must_run({"jq", "-c", "[.operation,.table,.sql]",
                        (quarantine() / "database/app.jsonl").string()}),
              "[\"statement\",null,\"CREATE TABLE only_here (id int PRIMARY KEY)\"]\n"
              "[\"insert\",\"public.only_here\",null]");
    ASSERT_EQ(london().antipode({"rejoin", "--yes"}).status, 0) << pair_->describe();
    EXPECT_TRUE(eventually([&] {
        return london().antipode({"status"}).output.find("only_here") != std::string::npos;
    })) << pair_->describe();
    // Files do not wait for that.
    write_file(sydney().files_root / "new.txt", "new");
    EXPECT_TRUE(eventually([&] { return have_same_files(london(), sydney()); }))
        << pair_->describe();
    london().sql("DROP TABLE only_here");
    ASSERT_TRUE(pair_->caught_up(london())) << pair_->describe();
    pair_->expect_equal();
}

TEST_F(Rejoin, CopiesADatabaseThatWasEmptiedInstead) {
    lose_london();
    promote_sydney();
    app(sydney(), "ALTER TABLE still ADD since int; UPDATE still SET since = 1 WHERE id = 1");
    bring_london_back();
    await_state(london(), "quarantined");
    ASSERT_EQ(london().antipode({"rejoin", "--yes"}).status, 0) << pair_->describe();
    EXPECT_TRUE(eventually([&] {
        return london().antipode({"status"}).output.find("since") != std::string::npos;
    })) << pair_->describe();
    london().kill();
    london().postgres.psql("DROP DATABASE app WITH (FORCE)");
    london().postgres.psql("CREATE DATABASE app");
    london().start();
    ASSERT_TRUE(pair_->caught_up(london())) << pair_->describe();
    pair_->expect_equal();
}

struct Kill {
    const char* call;
    int most;
};

class RejoinKilled : public Rejoin {
  protected:
    void SetUp() override {
        const CommandResult traced = run({"strace", "-qq", "-o", "/dev/null", "true"});
        if (traced.status != 0) {
            GTEST_SKIP() << "this machine forbids ptrace: " << traced.error;
        }
        // While it is there, the way back ends in the step "rewinding".
        write_file(hold(), "");
        start("rejoin = \"automatic\"\nsecondary_command = [\"/usr/bin/test\", \"!\", \"-e\", \"" +
              hold().string() + "\"]\n");
    }
    std::filesystem::path hold() { return temporary_ / "hold"; }

    /// kill -9 at calls that make something last: at the first, the second, ... of each kind, and
    /// by hand where it goes on until `ended`. Where it died is noted.
    void kill_at(const std::vector<Kill>& kills, const std::function<bool()>& ended) {
        for (const Kill& kill : kills) {
            for (int count = 1; count <= kill.most; ++count) {
                london().launch({"strace", "-f", "-q", "-o",
                                 (london().directory / "trace").string(), "-e",
                                 std::string("trace=") + kill.call, "-e",
                                 std::string("inject=") + kill.call +
                                     ":signal=SIGKILL:when=" + std::to_string(count)});
                ASSERT_TRUE(eventually([&] { return !london().daemon().running() || ended(); }))
                    << pair_->describe();
                if (london().daemon().running()) {
                    run({"pkill", "-KILL", "-P", std::to_string(london().daemon().pid())});
                    ASSERT_TRUE(eventually([&] { return !london().daemon().running(); }));
                } else {
                    ++died_in_[last_state()];
                }
            }
        }
    }
    std::string last_state() {
        return value_of(read_file(journal_of(london())), "[., inputs] | last | .state");
    }

    TemporaryDirectory temporary_;
    std::map<std::string, int> died_in_;
};

TEST_F(RejoinKilled, GoesOnWhereverItIs) {
    sydney().kill();
    write_what_is_lost();
    lose_london();
    sydney().start();
    promote_sydney();
    ASSERT_TRUE(writer_->write()) << writer_->problem();
    london().nats.start();
    london().postgres.start();
    const auto rewinds = [&] { return last_state() == "rewinding"; };
    kill_at({{"syncfs", 2}, {"rename", 3}, {"fsync", 6}, {"fdatasync", 3}, {"unlink", 2}}, rewinds);
    london().start();
    ASSERT_TRUE(eventually(rewinds)) << pair_->describe();
    london().kill();
    // From here on it starts in this step.
    const auto has_rewound = [&] {
        return london().status(".failover.problem").value_or("").find("secondary_command failed") !=
               std::string::npos;
    };
    kill_at({{"fsync", 4}, {"fdatasync", 6}, {"rename", 3}, {"pwrite64", 4}}, has_rewound);
    std::filesystem::remove(hold());
    london().start();
    ASSERT_TRUE(eventually([&] { return last_state() == "following"; })) << pair_->describe();
    london().kill();
    kill_at({{"fdatasync", 6}, {"rename", 4}, {"fsync", 3}}, [&] {
        return have_same_files(london(), sydney()) && london().rows() == sydney().rows();
    });
    for (const auto& [state, times] : died_in_) {
        std::cout << "killed " << times << " times in the state " << state << "\n";
    }
    for (const char* state : {"quarantining", "rewinding", "following"}) {
        EXPECT_GE(died_in_[state], 2) << state;
    }
    london().start();
    await_state(london(), "following");
    ASSERT_TRUE(pair_->caught_up(london())) << pair_->describe();
    pair_->expect_equal();
    expect_quarantine_is_whole();
    expect_final_report(sydney());
    EXPECT_EQ(writer_->missing(london()), -1);
}

}  // namespace
}  // namespace antipode::test
