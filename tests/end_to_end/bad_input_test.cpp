#include <map>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/nats/jetstream.hpp"
#include "protocol/message.hpp"
#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

/// Puts bytes into london's stream that its publisher did not write.
void inject(const Site& site, const std::string& bytes) {
    nats::JetStream stream({.endpoint = {site.nats.url(), {}, "intruder"},
                            .name = protocol::stream_name("test", 1),
                            .subjects = protocol::all_subjects("test", 1),
                            .create = false,
                            .max_bytes = 0,
                            .drop_oldest_when_full = false,
                            .store_dir = {}});
    const OutgoingMessage message{protocol::stream_subject("test", 1, std::nullopt), bytes};
    const bool done = eventually([&] {
        try {
            stream.append(stream.info().last_sequence, {&message, 1});
            return true;
        } catch (const std::exception&) {
            return false;  // the publisher was faster
        }
    });
    ASSERT_TRUE(done);
}

std::string foreign_message(const std::string& cluster, uint64_t epoch) {
    protocol::Sealer sealer(cluster, epoch, 1, std::nullopt);
    v1::Payload payload;
    payload.mutable_reconciled();
    return sealer.seal(std::nullopt, from_microseconds(1), payload)[0].bytes;
}

TEST(BadInput, MessagesThatAreNotOursAreRefusedByNameAndTheRestGoesOn) {
    TwoSites sites;
    Application application(sites.london);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    for (const std::string& bytes :
         {std::string("not a message at all"), foreign_message("other", 1),
          foreign_message("test", 7), foreign_message("test", 1).substr(0, 40),
          foreign_message("test", 0)}) {
        inject(sites.london, bytes);
        application.write();
    }
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
    const std::string log = read_file(sites.sydney.directory / "antipoded.log");
    for (const std::string reason : {"it is truncated or no message of Antipode",
                                     "it is from another cluster", "it is from another epoch"}) {
        EXPECT_THAT(log, HasSubstr("is refused: " + reason + ". Try: find out who else writes"));
    }
    EXPECT_GE(std::stoi(sites.sydney.status(".refused.events").value_or("0")), 5);
    EXPECT_EQ(sites.sydney.status(".refused.reason"), "it is from another epoch");
    EXPECT_THAT(sites.sydney.antipode({"status"}).output,
                ContainsRegex("sydney refused [0-9]+ events of the primary's stream since it "
                              "started, the last one because: it is from another epoch    Try: "));
    EXPECT_THAT(
        must_run({"curl", "-fsS", "http://127.0.0.1:" + sites.sydney.http_port() + "/metrics"}),
        ContainsRegex("antipode_refused_events [0-9.]+"));
    EXPECT_EQ(sites.london.status(".refused"), std::nullopt);
}

TEST(BadInput, ARootThatVanishesIsNamedAndDeletesNothing) {
    TwoSites sites;
    Application application(sites.london);
    for (int i = 0; i < 5; ++i) {
        application.write();
    }
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    const std::string before = sites.sydney.files();
    const auto root = sites.london.files_root;
    std::filesystem::rename(root, root.string() + ".away");
    std::filesystem::create_directory(root);  // as an unmounted disk looks
    EXPECT_TRUE(eventually([&] {
        const auto reason =
            sites.london.status(".stores[] | select(.store == \"blobs/uploads\") | .reason");
        return reason && reason->find("deletions are held") != std::string::npos;
    })) << sites.describe();
    sites.london.sql("INSERT INTO journal VALUES ('the rest goes on')");
    EXPECT_TRUE(eventually([&] { return sites.sydney.rows() == sites.london.rows(); }))
        << sites.describe();
    EXPECT_EQ(sites.sydney.files(), before);
    std::filesystem::remove(root);
    EXPECT_TRUE(eventually([&] {
        const auto reason =
            sites.london.status(".stores[] | select(.store == \"blobs/uploads\") | .reason");
        return reason && reason->find(root.string()) != std::string::npos;
    })) << sites.describe();
    EXPECT_TRUE(eventually([&] {
        return sites.sydney.status(".exceptions[0].item") == "the whole store" &&
               sites.sydney.status(".exceptions[0].class") == "primary defect";
    })) << sites.describe();
    std::filesystem::rename(root.string() + ".away", root);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
    EXPECT_EQ(sites.sydney.status(".exceptions | length"), "0");
}

TEST(BadInput, ARootThatIsMissingOnASecondaryIsToldOnceWithTheRemedy) {
    TwoSites sites;
    Application application(sites.london);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    const std::filesystem::path root = sites.sydney.files_root;
    std::filesystem::rename(root, root.string() + ".away");
    for (int i = 0; i < 10; ++i) {
        application.write();  // the tenth is to be pulled
    }
    const auto waits = [&](const std::string& worker) {
        return sites.sydney.status("[.workers[] | select(.name | startswith(\"" + worker +
                                   "\")) | select(.healthy | not)] | length > 0") == "true";
    };
    EXPECT_TRUE(eventually([&] { return waits("apply blobs/uploads") && waits("pull"); }))
        << sites.describe();
    std::istringstream status(sites.sydney.antipode({"status"}).output);
    std::map<std::string, int> lines;  // by whom they concern
    for (std::string line; std::getline(status, line);) {
        if (line.find(root.string()) != std::string::npos) {
            ++lines[line.substr(0, line.find(':'))];
            EXPECT_THAT(line, HasSubstr("    Try: mount "));
        }
    }
    EXPECT_THAT(lines, ElementsAre(Pair("blobs/uploads", 1), Pair("worker pull", 1)));
    std::filesystem::rename(root.string() + ".away", root);
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

TEST(BadInput, ACorruptRepositoryIsNamedAndTheOthersGoOn) {
    TwoSites sites;
    Application application(sites.london);
    application.write();
    const auto broken = sites.london.git_root / "broken.git";
    must_run({"git", "clone", "-q", "--bare", (sites.london.git_root / "app.git").string(),
              broken.string()});
    sites.london.antipode({"hooks", "install"});
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    write_file(broken / "refs/heads/other", "this is no object id\n");
    EXPECT_TRUE(eventually([&] {
        const auto item = sites.london.status(".exceptions[0].item");
        return item == "broken.git";
    })) << sites.describe();
    application.write();
    EXPECT_TRUE(eventually([&] {
        return read_file(sites.sydney.git_root / "app.git/HEAD") == "ref: refs/heads/main\n" &&
               sites.sydney.repositories().find("error") == std::string::npos &&
               sites.sydney.rows() == sites.london.rows();
    })) << sites.describe();
    std::filesystem::remove(broken / "refs/heads/other");
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

TEST(BadInput, AWrongConfigurationEndsTheDaemonWithItsLine) {
    const TemporaryDirectory directory;
    write_file(directory / "antipode.toml", "cluster = \"demo\"\nsitee = \"london\"\n");
    const CommandResult result =
        run({ANTIPODED, "--config", (directory / "antipode.toml").string()});
    EXPECT_EQ(result.status, 1);
    EXPECT_THAT(result.error, HasSubstr("antipode.toml"));
    EXPECT_THAT(result.error, HasSubstr("Try: "));
    const CommandResult missing = run({ANTIPODED, "--config", "/nonexistent.toml"});
    EXPECT_EQ(missing.status, 1);
    EXPECT_THAT(missing.error, HasSubstr("/nonexistent.toml"));
}

TEST(BadInput, AnUnknownLogLevelIsAMistakeInTheUsage) {
    const CommandResult result = run({ANTIPODED, "--log-level", "foo"});
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.error, HasSubstr("--log-level"));
    EXPECT_EQ(run({ANTIPODED, "--no-such-option"}).status, 2);
    EXPECT_EQ(run({ANTIPODED, "--help"}).status, 0);
}

TEST(BadInput, TheVersionIsToldEitherWay) {
    const CommandResult version = run({ANTIPODE, "--version"});
    EXPECT_EQ(version.status, 0);
    EXPECT_EQ(version.output, run({ANTIPODE, "version"}).output);
}

std::string small_configuration(const std::string& state_dir, const std::string& database_url) {
    return "cluster = \"demo\"\nsite = \"london\"\nstate_dir = \"" + state_dir +
           "\"\n[[sites]]\nname = \"london\"\nnats = \"nats://127.0.0.1:1\"\n"
           "http = \"http://127.0.0.1:1\"\n[[database]]\nname = \"app\"\nurl = \"" +
           database_url + "\"\n";
}

TEST(BadInput, DaemonAndConfigCheckRefuseTheSame) {
    const TemporaryDirectory directory;
    const std::string file = (directory / "antipode.toml").string();
    const auto errors = [&] {
        const CommandResult daemon = run({ANTIPODED, "--config", file});
        EXPECT_EQ(daemon.status, 1);
        EXPECT_THAT(daemon.error, HasSubstr("Try: "));
        return daemon.error + run({ANTIPODE, "--config", file, "config", "check"}).error;
    };
    write_file(file, small_configuration((directory / "state").string(), "hots=db dbname=app"));
    const std::string wrong_url = errors();
    const std::string reason =
        "antipode.toml:10:7: database.url is no connection string of "
        "PostgreSQL: invalid connection option \"hots\"";
    EXPECT_THAT(wrong_url, HasSubstr(reason));
    EXPECT_NE(wrong_url.find(reason), wrong_url.rfind(reason)) << wrong_url;
    write_file(file, small_configuration("/proc/x", "dbname=app"));
    EXPECT_THAT(errors(), HasSubstr("state_dir /proc/x cannot be made: "));
}

TEST(Http, HealthStatusAndMetricsAnswer) {
    TwoSites sites;
    Application application(sites.london);
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    application.write();  // what came with the initial copy took no time
    const std::string url = "http://127.0.0.1:" + sites.sydney.http_port();
    EXPECT_EQ(must_run({"curl", "-fsS", url + "/livez"}), "alive");
    EXPECT_TRUE(eventually([&] {
        return run({"curl", "-fsS", url + "/readyz"}).status == 0;
    })) << run({"curl", "-sS", url + "/readyz"}).output;
    EXPECT_TRUE(eventually([&] { return sites.sydney.status(".stores[0].check").has_value(); }));
    for (const Site* site : {&sites.london, &sites.sydney}) {
        EXPECT_TRUE(eventually([&] {
            return site->status(".stream.retention_seconds").has_value();
        })) << site->status(".stream").value_or("none");
    }
    EXPECT_TRUE(
        eventually([&] { return sites.london.status(".sites[0].retention_seconds").has_value(); }));
    EXPECT_TRUE(eventually([&] {
        return sites.sydney.status("[.stores[] | select(.lag_percentiles.changes > 0)] | length") ==
               "3";
    })) << sites.describe();
    EXPECT_TRUE(eventually([&] {
        return sites.sydney.status("[.stores[] | select(.inventory.equal_us != null)] | length") ==
               "2";
    })) << sites.describe();
    std::istringstream metrics(must_run({"curl", "-fsS", url + "/metrics"}));
    std::set<std::string> names;
    for (std::string line; std::getline(metrics, line);) {
        if (line.starts_with("# TYPE ")) {
            names.insert(line.substr(7, line.find(' ', 7) - 7));
        }
    }
    EXPECT_EQ(names, (std::set<std::string>{"antipode_info",
                                            "antipode_epoch",
                                            "antipode_start_timestamp_seconds",
                                            "antipode_recovery_point_timestamp_seconds",
                                            "antipode_store_captured_through_timestamp_seconds",
                                            "antipode_store_lag_seconds",
                                            "antipode_store_stage_lag_seconds",
                                            "antipode_store_catches_up_seconds",
                                            "antipode_store_inventory_differed",
                                            "antipode_store_inventory_equal_timestamp_seconds",
                                            "antipode_store_inventory_undecided",
                                            "antipode_store_backlog_events",
                                            "antipode_store_backlog_bytes",
                                            "antipode_store_verified",
                                            "antipode_store_unproven",
                                            "antipode_store_mismatches",
                                            "antipode_store_parked",
                                            "antipode_store_check_differing",
                                            "antipode_store_check_rows",
                                            "antipode_store_check_undecided",
                                            "antipode_store_content_check_differed",
                                            "antipode_store_content_check_extras",
                                            "antipode_store_repeated_mismatches",
                                            "antipode_store_content_check_oldest_timestamp_seconds",
                                            "antipode_disk_available_bytes",
                                            "antipode_disk_size_bytes",
                                            "antipode_stream_bytes",
                                            "antipode_stream_max_bytes",
                                            "antipode_stream_retention_seconds",
                                            "antipode_store_applied_after_seconds",
                                            "antipode_refused_events",
                                            "antipode_pulls_missing_bytes",
                                            "antipode_pulls_received_bytes",
                                            "antipode_pulls_content_bytes",
                                            "antipode_pulls_inventory_bytes",
                                            "antipode_worker_healthy"}));
    EXPECT_EQ(sites.sydney.status(".schema"), "antipode.status/1");
    EXPECT_EQ(sites.sydney.antipode({"status"}).status, 0);
    EXPECT_EQ(sites.sydney.antipode({"events", "tail", "-n", "-3", "--no-follow"}).status, 2);
    const CommandResult lag = sites.sydney.antipode({"check", "lag", "-w", "1h", "-c", "2h"});
    EXPECT_EQ(lag.status, 0) << lag.output;
    EXPECT_THAT(lag.output, testing::MatchesRegex("ANTIPODE LAG OK - sydney is .* behind \\| "
                                                  "'sydney'=[0-9.]+s;3600;7200;0\n"));
    EXPECT_EQ(sites.london.antipode({"check", "lag", "--critical", "0s"}).status, 2);
    for (const std::vector<std::string>& wrong : {std::vector<std::string>{"check"},
                                                  {"check", "lag", "-w", "soon"},
                                                  {"check", "disk"},
                                                  {"check", "lag", "nowhere"},
                                                  {"--config", "/nowhere", "check", "verified"}}) {
        const CommandResult unknown = sites.sydney.antipode(wrong);
        EXPECT_EQ(unknown.status, 3) << wrong.back();
        EXPECT_THAT(unknown.output, testing::StartsWith("ANTIPODE ")) << wrong.back();
        EXPECT_THAT(unknown.output, HasSubstr(" UNKNOWN - ")) << wrong.back();
    }
    const CommandResult hooks = sites.sydney.antipode({"hooks", "status"});
    EXPECT_EQ(hooks.status, 0);
    EXPECT_THAT(hooks.output, HasSubstr("app.git     installed"));
    const std::string findings = sites.sydney.antipode({"doctor"}).output;
    EXPECT_THAT(findings, HasSubstr("hooks: installed in 1 repository"));
    EXPECT_THAT(findings, HasSubstr("space stream: nats.stream_max_bytes is"));
    EXPECT_THAT(sites.sydney.antipode({"events", "tail", "--no-follow"}).output,
                HasSubstr("marker"));
}

}  // namespace
}  // namespace antipode::test
