#include "apps/antipode/debug_bundle.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/antipode/config_command.hpp"
#include "base/error.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

/// What must not be in it, wherever it comes from.
const std::vector<std::string> secrets = {
    "pg%40pass",         "pg@pass",         "list pass 'quoted'",
    "nats-secret",       "jwt.of.nats",     "SUAEXAMPLESEEDKEY",
    "bucket-key-secret", "fence-secret",    "dG9rZW4tb2YtdGhlLXNpdGU=",
    "token-of-nats",     "key-file-secret", "second-word"};

constexpr const char* text = R"(
cluster = "demo"
site = "london"
state_dir = "STATE"
[nats]
url = "nats://app:nats-secret@127.0.0.1:4222"
credentials_file = "DIR/nats.creds"
[http]
token_file = "DIR/token"
[failover]
fence_command = ["/usr/bin/fence", "--password=fence-secret"]
after_open_command = ["/usr/bin/open", "--api-token", "second-word"]
[[sites]]
name = "london"
nats = "nats://127.0.0.1:4222"
http = "http://127.0.0.1:8840"
[[sites]]
name = "sydney"
nats = "nats://token-of-nats@sydney:4222"
http = "http://sydney:8840"
[[database]]
name = "app"
url = "postgresql://antipode:pg%40pass@db/app"
[[database]]
name = "other"
url = "host=db dbname=other password='list pass \\'quoted\\'' sslpassword=key-file-secret"
[[blobs]]
name = "bucket"
type = "s3"
endpoint = "https://s3.example"
bucket = "b"
credentials_file = "DIR/s3"
)";

class DebugBundle : public testing::Test {
  protected:
    DebugBundle() {
        const auto& dir = directory_.path().string();
        std::string config = text;
        for (size_t at = 0; (at = config.find("DIR/")) != std::string::npos;) {
            config.replace(at, 3, dir);
        }
        config.replace(config.find("STATE"), 5, dir + "/state");
        std::filesystem::create_directories(directory_ / "state");
        test::write_file(directory_ / "state/registry.sqlite", "not to be read: jwt.of.nats");
        test::write_file(directory_ / "antipode.toml", config);
        // As "openssl rand -base64" ends.
        test::write_file(directory_ / "token", "dG9rZW4tb2YtdGhlLXNpdGU=\n");
        test::write_file(
            directory_ / "nats.creds",
            "-----BEGIN NATS USER JWT-----\njwt.of.nats\n------END NATS USER JWT------\n"
            "-----BEGIN USER NKEY SEED-----\nSUAEXAMPLESEEDKEY\n");
        test::write_file(directory_ / "s3",
                         "access_key_id = \"AKID\"\nsecret_access_key = \"bucket-key-secret\"\n");
    }

    ExitCode bundle(const Output& output) {
        const Config config = load_config(options_.config_file);
        return write_bundle(config, SystemClock(), output, options_,
                            bundle_parts(config, fetch_, options_));
    }

    const test::TemporaryDirectory directory_;
    const BundleOptions options_{directory_ / "antipode.toml", directory_ / "bundle.tar", "1.2"};
    /// A daemon that tells everything: errors may quote what they were given.
    Fetch fetch_ = [](const std::string& url, std::chrono::milliseconds) -> Answer {
        if (url.starts_with("http://sydney")) {
            throw Error(Reaction::Retry, "connecting to nats://x:unknown-secret@sydney failed");
        }
        std::string all = R"({"schema":"antipode.status/1","text":")";
        for (const std::string& secret : secrets) {
            all += secret + " postgresql://antipode:" + secret + "@db/app ";
        }
        return {200, all + "\"}\n"};
    };
    std::ostringstream out_;
    Output output_{out_, out_};
};

TEST_F(DebugBundle, HoldsWhatHelpsAndNoSecret) {
    EXPECT_EQ(bundle(output_), ExitCode::Ok);
    const std::string file = options_.file.string();
    EXPECT_EQ(std::filesystem::status(file).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    const std::string names = test::must_run({"tar", "-tf", file});
    for (const char* name :
         {"/version.txt\n", "/config.json\n", "/machine.txt\n", "/state.txt\n", "/status.json\n",
          "/events.json\n", "/metrics.txt\n", "/sites/sydney/status.json"}) {
        EXPECT_THAT(names, HasSubstr(name));
    }
    const std::string contents = test::must_run({"tar", "-xOf", file});
    EXPECT_THAT(contents, HasSubstr("antipode 1.2\n"));
    EXPECT_THAT(contents, HasSubstr("postgresql://antipode:***@db/app"));
    EXPECT_THAT(contents, HasSubstr("\"1 argument\""));
    EXPECT_THAT(contents, HasSubstr("/state/registry.sqlite\t27\n"));
    EXPECT_THAT(contents, HasSubstr("this could not be read: connecting to nats://x:***@sydney"));
    const std::string bytes = test::read_file(options_.file);
    for (const std::string& secret : secrets) {
        EXPECT_THAT(bytes, Not(HasSubstr(secret)));
    }
    EXPECT_THAT(bytes, Not(HasSubstr("unknown-secret")));
}

TEST_F(DebugBundle, OverwritesNothing) {
    test::write_file(options_.file, "somebody's");
    try {
        bundle(output_);
        ADD_FAILURE();
    } catch (const CommandError& error) {
        EXPECT_EQ(error.code(), ExitCode::Conflict);
        EXPECT_THAT(error.what(), HasSubstr("File exists"));
    }
    EXPECT_EQ(test::read_file(options_.file), "somebody's");
}

}  // namespace
}  // namespace antipode::cli
