#include "apps/antipode/edit_sites.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/antipode/config_command.hpp"
#include "tests/support/memory_bucket.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::cli {
namespace {

using testing::HasSubstr;

constexpr const char* text = R"(# of the demo
cluster = "demo"
site = "london"
state_dir = "/var/lib/antipode"

[[sites]]   # here
name = "london"
nats = "nats://a:1"
http = "http://a:2"

# far away
[[sites]]
name = 'sydney' # the first one
nats = "nats://b:1"
http = "http://b:2"

# what is mirrored
[[blobs]]
name = "sydney"
root = "/srv/files"
)";

struct Edit {
    test::TemporaryDirectory directory;
    std::filesystem::path file = directory / "antipode.toml";
    ManualClock clock;
    std::map<std::string, test::MemoryBucket::Server> servers;
    std::ostringstream out;
    std::ostringstream error;
    Output output{out, error};
    EditSitesOptions options;
    OpenBucket open = [this](const Config::Site& site, bool) {
        return std::make_unique<test::MemoryBucket>(servers[site.name]);
    };

    Edit() {
        test::write_file(file, text);
        std::filesystem::permissions(file, std::filesystem::perms(0640));
        init_sites(load_config(file), open, clock, output, "london");
        options.site = {"tokyo", "nats://c:1", "http://c:2"};
        options.name = "sydney";
        out.str("");
    }
    std::string now() const { return test::read_file(file); }
    template <typename Use>
    ExitCode code_of(Use use) {
        try {
            return use(file, open, output, options);
        } catch (const CommandError& thrown) {
            error << thrown.what() << " Try: " << thrown.next_step();
            return thrown.code();
        }
    }
};

TEST(EditSites, AddsBehindTheLastOneAndChangesNothingElse) {
    Edit edit;
    EXPECT_EQ(edit.code_of(add_site), ExitCode::Ok) << edit.error.str();
    std::string expected = text;
    expected.insert(
        expected.find("\n\n# what is mirrored"),
        "\n\n[[sites]]\nname = \"tokyo\"\nnats = \"nats://c:1\"\nhttp = \"http://c:2\"");
    EXPECT_EQ(edit.now(), expected);
    EXPECT_EQ(load_config(edit.file).sites.size(), 3U);
    EXPECT_EQ(std::filesystem::status(edit.file).permissions(), std::filesystem::perms(0640));
    EXPECT_THAT(edit.out.str(),
                HasSubstr("antipode sites init --primary london, which tells tokyo who that is"));
    EXPECT_EQ(edit.code_of(add_site), ExitCode::Conflict) << "it is there";
    edit.options.name = "tokyo";
    edit.options.yes = true;
    EXPECT_EQ(edit.code_of(remove_site), ExitCode::Ok) << edit.error.str();
    EXPECT_EQ(edit.now(), text);
    EXPECT_FALSE(std::filesystem::exists(edit.file.string() + ".new"));
}

TEST(EditSites, RemovesAfterTheNameWasTyped) {
    Edit edit;
    EXPECT_EQ(edit.code_of(remove_site), ExitCode::Usage);
    edit.options.read_line = [] { return "tokyo"; };
    EXPECT_EQ(edit.code_of(remove_site), ExitCode::Usage);
    EXPECT_EQ(edit.now(), text);
    edit.options.read_line = [] { return "sydney"; };
    EXPECT_EQ(edit.code_of(remove_site), ExitCode::Ok) << edit.error.str();
    EXPECT_EQ(edit.now().find("nats://b:1"), std::string::npos);
    EXPECT_THAT(edit.now(), HasSubstr("# what is mirrored\n[[blobs]]\nname = \"sydney\"\n"));
    EXPECT_EQ(load_config(edit.file).sites.size(), 1U);
}

TEST(EditSites, RemovesNeitherThePrimaryNorItselfNorWhomItDoesNotKnow) {
    Edit edit;
    edit.options.yes = true;
    edit.options.name = "london";
    EXPECT_EQ(edit.code_of(remove_site), ExitCode::Usage) << "it is this site";
    std::string other = text;
    other.replace(other.find("site = \"london\""), 15, "site = \"sydney\"");
    test::write_file(edit.file, other);
    EXPECT_EQ(edit.code_of(remove_site), ExitCode::Conflict) << "it is the primary";
    EXPECT_THAT(edit.error.str(), HasSubstr("antipode switchover --to ANOTHER"));
    edit.options.name = "cape";
    EXPECT_NE(edit.code_of(remove_site), ExitCode::Ok);
    for (auto& [name, server] : edit.servers) {
        server.down = true;
    }
    edit.options.name = "london";
    EXPECT_EQ(edit.code_of(remove_site), ExitCode::Unreachable) << "it may be the primary";
    EXPECT_EQ(edit.now(), other);
}

TEST(EditSites, OverwritesNeitherWhatOthersWroteNorWhatTheyWriteMeanwhile) {
    Edit edit;
    test::write_file(edit.file.string() + ".new", "somebody's");
    EXPECT_EQ(edit.code_of(add_site), ExitCode::Conflict);
    EXPECT_EQ(test::read_file(edit.file.string() + ".new"), "somebody's");
    EXPECT_EQ(edit.now(), text);
    std::filesystem::remove(edit.file.string() + ".new");
    const std::string other = "# by an editor\n" + std::string(text);
    edit.options.read_line = [&] {
        test::write_file(edit.file, other);
        return "sydney";
    };
    EXPECT_EQ(edit.code_of(remove_site), ExitCode::Conflict);
    EXPECT_EQ(edit.now(), other);
}

TEST(EditSites, ADryRunAndARefusalWriteNothing) {
    Edit edit;
    edit.options.dry_run = true;
    EXPECT_EQ(edit.code_of(add_site), ExitCode::Ok);
    EXPECT_THAT(edit.out.str(), HasSubstr("+name = \"tokyo\"\n"));
    EXPECT_EQ(edit.out.str().find("cluster"), std::string::npos) << "what stays may hold passwords";
    EXPECT_EQ(edit.code_of(remove_site), ExitCode::Ok);
    EXPECT_THAT(edit.out.str(), HasSubstr("-name = 'sydney' # the first one\n"));
    edit.options.dry_run = false;
    edit.options.site.name = "not a name";
    EXPECT_EQ(edit.code_of(add_site), ExitCode::Usage);
    edit.options.site = {"tokyo", "no address", "http://c:2"};
    EXPECT_NE(edit.code_of(add_site), ExitCode::Ok) << "the configuration would not be valid";
    EXPECT_EQ(edit.now(), text);
    EXPECT_FALSE(std::filesystem::exists(edit.file.string() + ".new"));
}

}  // namespace
}  // namespace antipode::cli
