#pragma once

#include <algorithm>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/two_primaries.hpp"

namespace antipode::test {

/// london is the primary, is lost with writes that sydney never got, and comes back after sydney
/// was promoted.
class Rejoin : public testing::Test {
  protected:
    void SetUp() override { start(""); }
    void start(const std::string& more, Pair::Daemons daemons = Pair::Daemons::Superusers) {
        pair_ = std::make_unique<Pair>(more, daemons);
        writer_ = std::make_unique<Writer>(*pair_);
        // Something that nobody touches later: it must not be transferred again.
        write_file(london().files_root / "still.bin", std::string(300'000, 's'));
        app(london(),
            "CREATE TABLE still (id int PRIMARY KEY, v text);"
            "INSERT INTO still SELECT i, 'v' || i FROM generate_series(1, 20000) i");
        write_file(london().files_root / "kept.txt", "as it was");
        write_file(london().files_root / "removed.txt", "it stays");
        ASSERT_TRUE(writer_->write());
        ASSERT_TRUE(pair_->caught_up(sydney())) << pair_->describe();
        if (daemons == Pair::Daemons::Superusers) {
            ASSERT_EQ(sydney().antipode({"database", "setup"}).status, 0);
        }
    }
    Site& london() { return pair_->london; }
    Site& sydney() { return pair_->sydney; }

    /// What london alone will have: in each store something that is new, changed, and removed.
    void write_what_is_lost() {
        app(london(), "INSERT INTO uploads VALUES (500, 'lost', 'lost')");
        app(london(), "UPDATE uploads SET note = 'lost' WHERE id = 0");
        app(london(),
            "BEGIN; DELETE FROM still WHERE id = 7; UPDATE still SET v = 'lost' WHERE id = 9; "
            "COMMIT");
        write_file(london().files_root / "lost.txt", "nobody else has this");
        write_file(london().files_root / "kept.txt", "as only london has it");
        write_file(london().files_root / "lost-large.bin", std::string(400'000, 'l'));
        std::filesystem::remove(london().files_root / "removed.txt");
        const std::string clone = (pair_->temporary / "lost-work").string();
        const std::string origin = (london().git_root / "app.git").string();
        must_run({"git", "clone", "-q", origin, clone});
        const auto git = [&](std::vector<std::string> arguments) {
            arguments.insert(arguments.begin(), {"git", "-C", clone, "-c", "user.name=Test", "-c",
                                                 "user.email=test@example.org"});
            return must_run(arguments);
        };
        git({"commit", "-q", "--allow-empty", "-m", "lost on main"});
        git({"push", "-q", "origin", "HEAD:refs/heads/main"});
        git({"commit", "-q", "--allow-empty", "-m", "lost on a branch"});
        git({"push", "-q", "origin", "HEAD:refs/heads/lost"});
        lost_commit_ = git({"rev-parse", "HEAD"});
        lost_commit_.erase(lost_commit_.find_last_not_of('\n') + 1);
        must_run({"git", "init", "-q", "--bare", (london().git_root / "lost.git").string()});
    }

    /// With all that ran on it.
    void lose_london() {
        london().kill();
        london().nats.kill();
        london().postgres.kill();
        std::filesystem::remove(Pair::opened(london()));
    }
    void promote_sydney() {
        ASSERT_TRUE(eventually([&] {
            return sydney()
                       .antipode({"preflight", "--to", "sydney", "--mode", "failover"})
                       .status == 0;
        })) << pair_->describe();
        const CommandResult done = sydney().antipode(
            {"promote", "sydney", "--confirm", "sydney", "-o", "json", "--fenced-by", "off"});
        ASSERT_EQ(done.status, 0) << done.error << done.output << pair_->describe();
        promotion_ = value_of(done.output, ".operation");
    }

    /// As it was left.
    void bring_london_back() {
        london().nats.start();
        london().postgres.start();
        write_file(Pair::opened(london()), "");
        london().start();
    }
    void await_state(Site& site, const std::string& state) {
        ASSERT_TRUE(eventually([&] { return site.status(".failover.state") == state; },
                               std::chrono::seconds(60)))
            << state << "\n"
            << pair_->describe();
    }
    std::filesystem::path quarantine() {
        return london().directory / "state/quarantine" / promotion_;
    }
    /// A line for each loss: kind, store, item.
    std::multiset<std::string> losses() {
        std::multiset<std::string> found;
        std::istringstream lines(must_run({"jq", "-r", R"x("\(.kind) \(.store) \(.item)")x",
                                           (quarantine() / "losses.jsonl").string()}));
        for (std::string line; std::getline(lines, line);) {
            // Numbers of transactions differ in each run.
            found.insert(line.substr(0, line.find(" xid ")));
        }
        return found;
    }
    /// What write_what_is_lost() wrote, each once.
    void expect_quarantine_is_whole() {
        EXPECT_EQ(
            losses(),
            (std::multiset<std::string>{
                "quarantined database/app", "quarantined database/app", "quarantined database/app",
                "quarantined repositories/git app.git", "quarantined repositories/git lost.git",
                "quarantined blobs/uploads lost.txt", "quarantined blobs/uploads kept.txt",
                "quarantined blobs/uploads lost-large.bin", "undone blobs/uploads removed.txt"}));
        EXPECT_EQ(read_file(quarantine() / "blobs/uploads/lost.txt"), "nobody else has this");
        EXPECT_EQ(read_file(quarantine() / "blobs/uploads/kept.txt"), "as only london has it");
        EXPECT_EQ(read_file(quarantine() / "blobs/uploads/lost-large.bin"),
                  std::string(400'000, 'l'));
        EXPECT_EQ(must_run({"jq", "-c", "[.operation,.table,(.key // .old).id,.new]",
                            (quarantine() / "database/app.jsonl").string()}),
                  "[\"insert\",\"public.uploads\",\"500\",{\"id\":\"500\",\"oid\":\"lost\","
                  "\"path\":\"lost\",\"note\":null}]\n" +
                      update_of_first_row() +
                      "[\"delete\",\"public.still\",\"7\",null]\n"
                      "[\"update\",\"public.still\",\"9\",{\"id\":\"9\",\"v\":\"lost\"}]");
        // With what sydney has, the bundle gives the lost commits back.
        const std::string clone = (pair_->temporary / "from-bundle").string();
        std::filesystem::remove_all(clone);
        must_run({"git", "clone", "-q", "--bare", (sydney().git_root / "app.git").string(), clone});
        must_run({"git", "-C", clone, "fetch", "-q",
                  (quarantine() / "repositories/git/app.git.bundle").string(),
                  "refs/heads/lost:refs/heads/found"});
        EXPECT_THAT(must_run({"git", "-C", clone, "rev-parse", "found"}),
                    testing::HasSubstr(lost_commit_));
    }
    std::string update_of_first_row() {
        return run({PostgresServer::program("psql"), "-XAtc",
                    "SELECT '[\"update\",\"public.uploads\",\"0\",{\"id\":\"0\",\"oid\":"
                    "\"' || oid || '\",\"path\":\"' || path || '\",\"note\":\"lost\"}]' "
                    "FROM uploads WHERE id = 0",
                    sydney().postgres.url("app")})
            .output;
    }
    void expect_final_report(Site& site) {
        std::string report;
        EXPECT_TRUE(eventually([&] {
            report = site.antipode({"loss", promotion_, "-o", "json"}).output;
            return value_of(report, ".state") == "final";
        })) << report
            << pair_->describe();
        EXPECT_EQ(value_of(report, ".known_lost"), "9") << report;
        EXPECT_EQ(value_of(report,
                           ".lost | [.transactions,.changes,.repositories,.refs,.files,"
                           ".undone_removals] | @csv"),
                  "3,4,2,3,3,1")
            << report;
        EXPECT_EQ(value_of(report, ".old_primary"), "london");
        EXPECT_EQ(value_of(report, ".unknown_since_us"), "null");
    }

    std::unique_ptr<Pair> pair_;
    std::unique_ptr<Writer> writer_;
    std::string promotion_;
    std::string lost_commit_;
};

}  // namespace antipode::test
