#include "apps/antipode/config_command.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_directory.hpp"

namespace antipode::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

const std::filesystem::path example =
    std::filesystem::path(ANTIPODE_SOURCE_DIR) / "packaging" / "antipode.example.toml";

struct Printed {
    std::ostringstream out;
    std::ostringstream error;
    Output table{out, error};
    Output json{out, error, Format::Json};
};

TEST(ConfigCommand, AcceptsTheShippedExample) {
    Printed printed;
    EXPECT_EQ(check_config(example, printed.table), ExitCode::Ok);
    EXPECT_THAT(printed.out.str(),
                HasSubstr("is valid: site london of cluster forge, 2 sites, stores database/app "
                          "repositories/git blobs/uploads\n"));
}

const std::string small = R"(
cluster = "demo"
site = "london"
state_dir = "/var/lib/antipode"
[[sites]]
name = "london"
nats = "nats://127.0.0.1:4222"
http = "http://127.0.0.1:8840"
[[database]]
name = "app"
url = "dbname=app"
)";

TEST(ConfigCommand, CountsInWords) {
    const test::TemporaryDirectory directory;
    test::write_file(directory / "a.toml", small);
    Printed printed;
    check_config(directory / "a.toml", printed.table);
    EXPECT_THAT(printed.out.str(),
                HasSubstr("is valid: site london of cluster demo, 1 site, store database/app\n"));
}

TEST(ConfigCommand, ReadsConnectionStringsAsLibpqDoes) {
    const test::TemporaryDirectory directory;
    std::string text = small;
    text.replace(text.find("dbname=app"), 10, "hots=db");
    test::write_file(directory / "a.toml", text);
    try {
        load_config(directory / "a.toml");
        FAIL();
    } catch (const CommandError& error) {
        EXPECT_THAT(error.what(), HasSubstr("a.toml:11:7: database.url is no connection string of "
                                            "PostgreSQL: invalid connection option \"hots\""));
    }
}

TEST(ConfigCommand, ShowsWhatItCanReadAgain) {
    Printed printed;
    show_config(example, printed.table);
    const Config shown = Config::parse(printed.out.str(), "shown");
    const Config config = Config::load(example);
    EXPECT_EQ(shown.stores(), config.stores());
    EXPECT_EQ(shown.databases[0].slot, "antipode_forge_app");
    EXPECT_EQ(shown.blobs[0].exclude, config.blobs[0].exclude);
    EXPECT_EQ(shown.tuning.max_hold, config.tuning.max_hold);
    EXPECT_EQ(shown.tuning.marker_interval, config.tuning.marker_interval);
    EXPECT_EQ(shown.nats.stream_max_bytes, config.nats.stream_max_bytes);
}

TEST(ConfigCommand, ExplainsEveryKeyOfTheExample) {
    Printed printed;
    show_config(example, printed.table);
    const std::string docs =
        test::read_file(std::filesystem::path(ANTIPODE_SOURCE_DIR) / "docs" / "CONFIG.md");
    std::istringstream lines(printed.out.str());
    for (std::string line; std::getline(lines, line);) {
        const size_t end = line.find(" = ");
        if (end != std::string::npos) {
            EXPECT_THAT(docs, HasSubstr("`" + line.substr(0, end) + "`"));
        }
    }
}

TEST(ConfigCommand, NamesThePlaceOfAMistake) {
    const test::TemporaryDirectory directory;
    test::write_file(directory / "bad.toml", "cluster = \"demo\"\nsyte = \"london\"\n");
    Printed printed;
    try {
        check_config(directory / "bad.toml", printed.table);
        FAIL();
    } catch (const CommandError& error) {
        EXPECT_EQ(error.code(), ExitCode::Failed);
        EXPECT_THAT(error.what(), HasSubstr("bad.toml"));
        EXPECT_FALSE(error.next_step().empty());
    }
    EXPECT_THROW(check_config(directory / "missing.toml", printed.table), CommandError);
}

TEST(ConfigCommand, KeepsPasswordsToItself) {
    EXPECT_EQ(without_password("host=db password=s3cret user=a"), "host=db password=*** user=a");
    EXPECT_EQ(without_password("password = 'a \\' b' user=a"), "password = *** user=a");
    EXPECT_EQ(without_password("postgresql://a:s3cret@db/app?password=x&sslmode=require"),
              "postgresql://a:***@db/app?password=***&sslmode=require");
    EXPECT_EQ(without_password("postgresql://a@db/app"), "postgresql://a@db/app");
    EXPECT_EQ(without_password("nats://127.0.0.1:4222"), "nats://127.0.0.1:4222");
    Printed printed;
    show_config(example, printed.json);
    EXPECT_THAT(printed.out.str(), HasSubstr(R"({"schema":"antipode.config/1")"));
    EXPECT_THAT(printed.out.str(), Not(HasSubstr("password=")));
}

}  // namespace
}  // namespace antipode::cli
