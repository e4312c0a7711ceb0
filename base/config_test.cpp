#include "base/config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace antipode {
namespace {

using testing::HasSubstr;

const std::string good = R"(
cluster = "demo"
site = "london"
state_dir = "/var/lib/antipode"

[[sites]]
name = "london"
nats = "nats://127.0.0.1:4222"
http = "http://127.0.0.1:8840"

[[blobs]]
name = "uploads"
root = "/srv/uploads"
exclude = ["*.tmp"]

[tuning]
max_hold = "90s"
)";

std::string error_of(const std::string& text) {
    try {
        Config::parse(text, "antipode.toml");
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

std::string with(const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return text;
}

TEST(Config, ReadsStoresAndDefaults) {
    const Config config = Config::parse(good, "antipode.toml");
    EXPECT_EQ(config.stores(), (std::vector<StoreId>{{StoreKind::Blobs, "uploads"}}));
    EXPECT_EQ(config.nats.url, "nats://127.0.0.1:4222");
    EXPECT_EQ(config.tuning.max_hold, std::chrono::seconds(90));
    EXPECT_EQ(config.tuning.consistency, "causal");
}

TEST(Config, ReadsWhereProgramsCallAndWhoMay) {
    const Config usual = Config::parse(good, "antipode.toml");
    EXPECT_EQ(usual.notify.socket, "/var/lib/antipode/notify.sock");
    EXPECT_EQ(usual.notify.socket_mode, 0660u);
    const Config other = Config::parse(
        good + "[notify]\nsocket = \"/run/antipode/n.sock\"\nsocket_mode = \"0666\"\n", "a");
    EXPECT_EQ(other.notify.socket, "/run/antipode/n.sock");
    EXPECT_EQ(other.notify.socket_mode, 0666u);
    for (const char* mode : {"", "rw", "0680", "01777", "-1"}) {
        EXPECT_THAT(error_of(good + "[notify]\nsocket_mode = \"" + mode + "\"\n"),
                    HasSubstr("notify.socket_mode must be permission bits"))
            << mode;
    }
}

TEST(Config, FilesOfASecondaryMayBeGivenToSomebody) {
    const auto owned = [](const std::string& owner) {
        return with("exclude", "owner = \"" + owner + "\"\nexclude");
    };
    EXPECT_FALSE(Config::parse(good, "a").blobs.front().owner_ids);
    const auto blobs = Config::parse(owned("12345:12346"), "a").blobs;
    EXPECT_EQ(blobs.front().owner_ids, (FileOwner{12345, 12346}));
    EXPECT_EQ(blobs.front().owner, "12345:12346");
    const std::string error = error_of(owned("no-such-user"));
    EXPECT_THAT(error, HasSubstr("antipode.toml:14:9: blobs.owner is not known on this machine"));
    EXPECT_THAT(error, HasSubstr("there is no user \"no-such-user\""));
    try {
        Config::parse(owned("12345:12346"), "a",
                      {.owner = [](const FileOwner&) { return "cannot be given"; }});
        ADD_FAILURE() << "no error";
    } catch (const Error& refused) {
        EXPECT_THAT(refused.what(), HasSubstr("a:14:9: blobs.owner cannot be given"));
    }
}

TEST(Config, NamesUnknownKeysWithTheirPlaceAndTheNearestKnownOne) {
    const std::string error = error_of(with("max_hold", "max_holt"));
    EXPECT_THAT(error, HasSubstr("antipode.toml:17:"));
    EXPECT_THAT(error, HasSubstr("did you mean \"max_hold\"?"));
}

TEST(Config, RefusesWhatCannotWork) {
    EXPECT_THAT(error_of(with("\"90s\"", "90")), HasSubstr("tuning.max_hold must be a duration"));
    EXPECT_THAT(error_of(with("site = \"london\"", "site = \"paris\"")),
                HasSubstr("sites has no entry for this site, \"paris\""));
    EXPECT_THAT(error_of(with("\"/srv/uploads\"", "\"srv\"")), HasSubstr("an absolute path"));
    EXPECT_THAT(error_of(with("\"uploads\"", "\"Up loads\"")), HasSubstr("blobs.name must be"));
    EXPECT_THAT(error_of(with("cluster = \"demo\"", "")), HasSubstr("cluster is missing"));
    EXPECT_THAT(error_of("cluster = "), HasSubstr("antipode.toml:1:"));
    EXPECT_THAT(
        error_of(good + "\n[[database]]\nname = \"app\"\nurl = \"dbname=a\"\nddl = \"skip\"\n"),
        HasSubstr("ddl must be one of \"apply\", \"halt\""));
}

std::string next_step_of(const std::string& text) {
    try {
        Config::parse(text, "antipode.toml");
    } catch (const Error& error) {
        return error.next_step();
    }
    return "no error";
}

TEST(Config, RefusesIntervalsThatWouldBurnTheMachine) {
    const auto tuning = [](const std::string& line) {
        return error_of(with("max_hold = \"90s\"", line));
    };
    EXPECT_EQ(tuning("marker_interval = \"0s\""),
              "antipode.toml:17:19: tuning.marker_interval must be from 100ms to 60s");
    EXPECT_THAT(tuning("marker_interval = \"2m\""), HasSubstr("must be from 100ms to 60s"));
    EXPECT_THAT(tuning("reconcile_interval = \"0s\""),
                HasSubstr("tuning.reconcile_interval must be from 1s to 7d"));
    EXPECT_THAT(tuning("max_hold = \"0s\""), HasSubstr("tuning.max_hold must be from 1s to 7d"));
    EXPECT_EQ(tuning("marker_interval = \"100ms\""), "no error");
}

TEST(Config, CommandsBeginWithAnAbsolutePath) {
    const std::string fence = "fence_command = [\"/bin/systemctl\", \"stop\", \"forge\"]\n";
    const auto failover = [](const std::string& lines) { return good + ("[failover]\n" + lines); };
    const Config config =
        Config::parse(failover(fence + "command_timeout = \"5s\"\n"), "antipode.toml");
    EXPECT_EQ(config.failover.fence_command,
              (std::vector<std::string>{"/bin/systemctl", "stop", "forge"}));
    EXPECT_EQ(config.failover.command_timeout, std::chrono::seconds(5));
    EXPECT_EQ(config.failover.switchover_timeout, std::chrono::seconds(60));
    EXPECT_EQ(config.failover.rejoin, "ask");
    EXPECT_EQ(Config::parse(failover("rejoin = \"automatic\"\n"), "antipode.toml").failover.rejoin,
              "automatic");
    EXPECT_THAT(error_of(failover("rejoin = \"never\"\n")), HasSubstr("failover.rejoin"));
    EXPECT_TRUE(Config::parse(failover("fence_command = []\n"), "antipode.toml")
                    .failover.fence_command.empty());
    EXPECT_THAT(error_of(failover("fence_command = [\"systemctl\"]\n")),
                HasSubstr("failover.fence_command must begin with a program's absolute path"));
    EXPECT_THAT(error_of(failover("un" + fence)), HasSubstr("failover.fence_command is missing"));
    EXPECT_THAT(error_of(failover("command_timeout = \"5h\"\n")),
                HasSubstr("failover.command_timeout must be from 1s to"));
}

TEST(Config, RefusesAddressesThatAreNone) {
    EXPECT_EQ(error_of(with("\"nats://127.0.0.1:4222\"", "\"foo bar\"")),
              "antipode.toml:8:8: sites.nats must be nats://host:4222");
    EXPECT_THAT(error_of(good + "[nats]\nurl = \"foo bar\"\n"),
                HasSubstr("nats.url must be nats://host:4222"));
    EXPECT_THAT(error_of(with("http://127.0.0.1:8840", "https://london:8840")),
                HasSubstr("sites.http must be http://host:8840: this version speaks no https"));
    EXPECT_THAT(error_of(good + "[http]\nlisten = \"foo\"\n"),
                HasSubstr("antipode.toml:19:10: http.listen must be host:port"));
}

TEST(Config, RefusesToListenToEverybodyWithoutAToken) {
    const std::string open = good + "[http]\nlisten = \"0.0.0.0:8840\"\n";
    EXPECT_THAT(error_of(open), HasSubstr("antipode.toml:19:10: http.listen is not on loopback and "
                                          "http.token_file is not set"));
    EXPECT_THAT(next_step_of(open), HasSubstr("openssl rand -hex 32"));
    EXPECT_EQ(error_of(open + "token_file = \"/etc/antipode/token\"\n"), "no error");
    EXPECT_EQ(error_of(good + "[http]\nlisten = \"[::1]:8840\"\n"), "no error");
}

TEST(Config, RefusesDatabasesThatPostgresWouldRefuse) {
    const auto database = [](const std::string& lines) {
        return error_of(good + "[[database]]\nname = \"app\"\n" + lines);
    };
    EXPECT_EQ(database("url = \"dbname=app\"\n"), "no error");
    EXPECT_EQ(database("url = \"postgresql://a@b/c\"\n"), "no error");
    EXPECT_THAT(database("url = \"nonsense url\"\n"),
                HasSubstr("antipode.toml:20:7: database.url must be \"host="));
    EXPECT_THAT(database("url = \"dbname=app\"\nslot = \"Bad Slot!\"\n"),
                HasSubstr("antipode.toml:21:8: database.slot must be 1 to 63 of a-z, 0-9 and _; it "
                          "is \"Bad Slot!\""));
    EXPECT_EQ(database("url = \"dbname=app\"\nwrite_check_url = \"dbname=app user=a\"\n"),
              "no error");
    EXPECT_THAT(database("url = \"dbname=app\"\nwrite_check_url = \"the service\"\n"),
                HasSubstr("antipode.toml:21:19: database.write_check_url must be \"host="));
    EXPECT_THAT(database("url = \"dbname=app\"\npublication = \"\"\n"),
                HasSubstr("database.publication must have 1 to 63 bytes"));
    const auto refuse = [](const std::string&) {
        return std::optional<std::string>("libpq says no");
    };
    try {
        Config::parse(good + "[[database]]\nname = \"app\"\nurl = \"a=b\"\n", "antipode.toml",
                      {.database_url = refuse});
        FAIL();
    } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("antipode.toml:20:7: database.url is no connection "
                                            "string of PostgreSQL: libpq says no"));
    }
}

TEST(Config, ReadsHowOftenDatabasesAreCompared) {
    const auto every = [](const std::string& line) {
        return Config::parse(good + "[[database]]\nname = \"app\"\nurl = \"dbname=a\"\n" + line,
                             "antipode.toml")
            .databases.front()
            .check_every;
    };
    EXPECT_EQ(every(""), std::chrono::hours(7 * 24));
    EXPECT_EQ(every("check_every = \"24h\"\n"), std::chrono::hours(24));
    EXPECT_EQ(every("check_every = \"never\"\n"), std::chrono::hours(0));
    EXPECT_THAT(error_of(good + "[[database]]\nname = \"app\"\nurl = \"dbname=a\"\n"
                                "check_every = \"0s\"\n"),
                HasSubstr("check_every must be from 1s to 365d"));
}

TEST(Config, NamesADefaultSlotThatIsTooLong) {
    std::string text = with("cluster = \"demo\"", "cluster = \"" + std::string(32, 'c') + "\"");
    text += "[[database]]\nname = \"" + std::string(32, 'd') + "\"\nurl = \"dbname=app\"\n";
    EXPECT_THAT(error_of(text), HasSubstr("database.slot must be 1 to 63 of"));
}

TEST(Config, KeepsDirectoriesApart) {
    const auto second = [](const std::string& root) {
        return error_of(good + "[[repositories]]\nname = \"git\"\nroot = \"" + root + "\"\n");
    };
    EXPECT_EQ(second("/srv/git"), "no error");
    EXPECT_EQ(second("/srv/uploads-too"), "no error");
    EXPECT_THAT(second("/srv/uploads/git"),
                HasSubstr("blobs.root of \"uploads\", /srv/uploads, and repositories.root of "
                          "\"git\", /srv/uploads/git, must not lie in each other"));
    for (const char* root : {"/srv", "/srv/uploads", "/srv/uploads/", "/srv/x/../uploads/y",
                             "/var/lib/antipode/git", "/var/lib", "/"}) {
        EXPECT_THAT(second(root), HasSubstr("must not lie in each other")) << root;
    }
    EXPECT_THAT(error_of(good + "[nats]\nstore_dir = \"/srv/uploads/nats\"\n"),
                HasSubstr("nats.store_dir"));
    EXPECT_EQ(error_of(good + "[nats]\nstore_dir = \"/var/lib/antipode/nats\"\n"), "no error");
}

TEST(Config, ReadsABucketInThePlaceOfARoot) {
    const std::string store = "[[blobs]]\nname = \"lfs\"\ntype = \"s3\"\n";
    const std::string bucket = store +
                               "endpoint = \"http://127.0.0.1:9000\"\nbucket = \"lfs\"\n"
                               "credentials_file = \"/etc/antipode/s3\"\n";
    const Config config = Config::parse(good + bucket + "exclude = [\"*.tmp\"]\n", "x");
    const Config::Blobs& read = config.blobs.back();
    ASSERT_TRUE(read.bucket);
    EXPECT_EQ(*read.bucket, (Config::Bucket{"http://127.0.0.1:9000", "lfs", "", "us-east-1",
                                            "/etc/antipode/s3", true}));
    EXPECT_EQ(read.root, "");
    EXPECT_EQ(read.exclude, std::vector<std::string>{"*.tmp"});
    EXPECT_FALSE(config.blobs.front().bucket);
    EXPECT_EQ(error_of(good + bucket + "prefix = \"a/\"\nregion = \"x\"\npath_style = false\n"),
              "no error");
    EXPECT_THAT(error_of(good + bucket + "root = \"/srv/lfs\"\n"),
                HasSubstr("antipode.toml:24:8: blobs.root is only for a store of type \"files\""));
    EXPECT_THAT(error_of(good + bucket + "keep_deleted = \"1d\"\n"),
                HasSubstr("blobs.keep_deleted is only for a store of type \"files\""));
    EXPECT_THAT(error_of(good + bucket + "prefix = \"/a\"\n"),
                HasSubstr("antipode.toml:24:10: blobs.prefix must be empty, or begin without"));
    EXPECT_THAT(error_of(good + store), HasSubstr("blobs.endpoint is missing"));
    EXPECT_THAT(error_of(good + bucket + "type2 = 1\n"), HasSubstr("did you mean \"type\"?"));
    EXPECT_THAT(error_of(good + "[[blobs]]\nname = \"a\"\nroot = \"/a\"\nbucket = \"b\"\n"),
                HasSubstr("antipode.toml:21:10: blobs.bucket is only for a store of type \"s3\""));
    EXPECT_THAT(error_of(good + "[[blobs]]\nname = \"a\"\nroot = \"/a\"\ntype = \"S3\"\n"),
                HasSubstr("blobs.type must be one of \"files\", \"s3\""));
    EXPECT_THAT(error_of(good + bucket +
                         "[[blobs]]\nname = \"b\"\ntype = \"s3\"\n"
                         "endpoint = \"http://127.0.0.1:9000\"\n"
                         "bucket = \"lfs\"\nprefix = \"a/\"\n"
                         "credentials_file = \"/etc/antipode/s3\"\n"),
                HasSubstr("stores \"lfs\" and \"b\" must not share a part of a bucket"));
}

TEST(Config, ReadsAWitnessThatIsNoSitesServer) {
    EXPECT_FALSE(Config::parse(good, "x").witness);
    const std::string text = good + "[nats]\ncredentials_file = \"/etc/antipode/nats.creds\"\n" +
                             "[witness]\nnats = \"nats://third.example.org:4222\"\n";
    const Config config = Config::parse(text, "x");
    ASSERT_TRUE(config.witness);
    EXPECT_EQ(config.witness->nats, "nats://third.example.org:4222");
    EXPECT_EQ(config.witness->credentials_file, "/etc/antipode/nats.creds");
    EXPECT_EQ(Config::parse(text + "credentials_file = \"/etc/antipode/third.creds\"\n", "x")
                  .witness->credentials_file,
              "/etc/antipode/third.creds");
    EXPECT_THAT(error_of(good + "[witness]\n"), HasSubstr("witness.nats is missing"));
    EXPECT_THAT(error_of(good + "[witness]\nnats = \"http://x\"\n"), HasSubstr("witness.nats"));
    const std::string own = config.sites.front().nats;
    EXPECT_THAT(error_of(good + "[witness]\nnats = \"" + own + "\"\n"),
                HasSubstr("is the nats-server of " + config.sites.front().name));
}

}  // namespace
}  // namespace antipode
