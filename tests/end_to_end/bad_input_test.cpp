#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/nats/jetstream.hpp"
#include "protocol/message.hpp"
#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

using testing::HasSubstr;

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
    return sealer.seal(std::nullopt, from_microseconds(1), payload).messages[0];
}

TEST(BadInput, MessagesThatAreNotOursAreRefusedByNameAndTheRestGoesOn) {
    TwoSites sites;
    Application application(sites.london);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    for (const std::string& bytes :
         {std::string("not a message at all"), foreign_message("other", 1),
          foreign_message("test", 7), foreign_message("test", 1).substr(0, 40)}) {
        inject(sites.london, bytes);
        application.write();
    }
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
    EXPECT_THAT(read_file(sites.sydney.directory / "antipoded.log"), HasSubstr("is refused"));
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
        return reason && reason->find(root.string()) != std::string::npos;
    })) << sites.describe();
    sites.london.sql("INSERT INTO journal VALUES ('the rest goes on')");
    EXPECT_TRUE(eventually([&] { return sites.sydney.rows() == sites.london.rows(); }))
        << sites.describe();
    EXPECT_EQ(sites.sydney.files(), before);
    EXPECT_EQ(sites.sydney.status(".exceptions[0].item"), "the whole store");
    EXPECT_EQ(sites.sydney.status(".exceptions[0].class"), "primary defect");
    std::filesystem::remove(root);
    std::filesystem::rename(root.string() + ".away", root);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
    EXPECT_EQ(sites.sydney.status(".exceptions | length"), "0");
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

TEST(Http, HealthStatusAndMetricsAnswer) {
    TwoSites sites;
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    const std::string url = "http://127.0.0.1:" + sites.sydney.http_port();
    EXPECT_EQ(must_run({"curl", "-fsS", url + "/livez"}), "alive");
    EXPECT_TRUE(eventually([&] { return run({"curl", "-fsS", url + "/readyz"}).status == 0; }));
    std::istringstream metrics(must_run({"curl", "-fsS", url + "/metrics"}));
    std::set<std::string> names;
    for (std::string line; std::getline(metrics, line);) {
        if (line.starts_with("# TYPE ")) {
            names.insert(line.substr(7, line.find(' ', 7) - 7));
        }
    }
    EXPECT_EQ(names,
              (std::set<std::string>{
                  "antipode_info", "antipode_epoch", "antipode_start_timestamp_seconds",
                  "antipode_recovery_point_timestamp_seconds",
                  "antipode_store_captured_through_timestamp_seconds", "antipode_store_lag_seconds",
                  "antipode_store_backlog_events", "antipode_store_backlog_bytes",
                  "antipode_store_verified", "antipode_store_mismatches", "antipode_store_parked",
                  "antipode_worker_healthy"}));
    EXPECT_EQ(sites.sydney.status(".schema"), "antipode.status/1");
    EXPECT_EQ(sites.sydney.antipode({"status"}).status, 0);
    EXPECT_THAT(sites.sydney.antipode({"events", "tail", "--no-follow"}).output,
                HasSubstr("marker"));
}

}  // namespace
}  // namespace antipode::test
