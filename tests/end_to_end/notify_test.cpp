#include <algorithm>
#include <iostream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/http/client.hpp"
#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

std::string socket_of(const Site& site) {
    return (site.directory / "state/notify.sock").string();
}

CommandResult curl(const Site& site, const std::string& body) {
    return run({"curl", "-sS", "-m", "60", "--unix-socket", socket_of(site), "-d", body,
                "http://localhost/v1/changed"});
}

/// What is answered to be durable is in the stream, whatever becomes of the daemon, its server and
/// the file.
TEST(Notify, WhatWasAnsweredReachesTheSecondaryThoughEverythingIsKilled) {
    TwoSites sites;
    // An empty root would be taken for a disk that is missing.
    write_file(sites.london.files_root / "stays", "stays");
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    for (int i = 0; i < 3; ++i) {
        const std::string name = "upload-" + std::to_string(i);
        write_file(sites.london.files_root / name, "content of " + name);
        const CommandResult told =
            sites.london.antipode({"notify", "blobs/uploads", name, "--timeout", "60"});
        sites.london.kill();
        sites.london.nats.kill();
        ASSERT_EQ(told.status, 0) << told.error << sites.describe();
        EXPECT_THAT(told.output, HasSubstr("blobs/uploads: 1 item is stored, at "));
        std::filesystem::remove(sites.london.files_root / name);
        sites.london.nats.start();
        EXPECT_TRUE(eventually([&] {
            return std::filesystem::exists(sites.sydney.files_root / name) &&
                   read_file(sites.sydney.files_root / name) == "content of " + name;
        })) << sites.describe();
        sites.london.start();
    }
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

TEST(Notify, FilesAndRepositoriesAreToldByCommandAndSocket) {
    TwoSites sites("exclude = [\"*.tmp\"]\n");
    Application application(sites.london);
    application.write();
    const Site& london = sites.london;
    ASSERT_TRUE(sites.caught_up()) << sites.describe();

    // A path may hold any bytes; it may be absolute.
    const std::string odd = "odd \xff\n\"name";
    write_file(london.files_root / odd, "odd");
    const CommandResult told = london.antipode(
        {"-o", "json", "notify", "blobs/uploads", (london.files_root / odd).string(), "u/0.bin"});
    EXPECT_EQ(told.status, 0) << told.error;
    EXPECT_THAT(told.output, HasSubstr(R"("items":2)"));
    EXPECT_THAT(told.output, HasSubstr(R"("gone":[])"));

    const CommandResult pushed = london.antipode({"notify", "repositories/git", "app.git"});
    EXPECT_EQ(pushed.status, 0) << pushed.error;

    std::filesystem::remove(london.files_root / odd);
    write_file(london.files_root / "a/b.bin", "b");
    const CommandResult posted = curl(london, R"({"store":"blobs/uploads","items":["a/b.bin"]})");
    EXPECT_THAT(posted.output, HasSubstr(R"("schema":"antipode.notify/1")"));
    const CommandResult removed = london.antipode({"notify", "blobs/uploads", odd});
    EXPECT_EQ(removed.status, 0) << removed.error;
    EXPECT_THAT(removed.output, HasSubstr("is not there"));
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

TEST(Notify, WhatCannotBeIsAnErrorWithTheNextStep) {
    TwoSites sites("exclude = [\"*.tmp\"]\n");
    const Site& london = sites.london;
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    const auto refused = [&](const std::vector<std::string>& words, int code,
                             const std::string& reason) {
        std::vector<std::string> command = {"notify"};
        command.insert(command.end(), words.begin(), words.end());
        const CommandResult result = london.antipode(command);
        EXPECT_EQ(result.status, code) << result.output << result.error;
        EXPECT_THAT(result.error, testing::AllOf(HasSubstr(reason), HasSubstr("Try: ")));
    };
    write_file(london.files_root / "d/x.tmp", "x");
    std::filesystem::create_symlink("d", london.files_root / "link");
    refused({"blobs/other", "a"}, 2, "blobs/other is no store of files");
    refused({"uploads", "a"}, 2, "names no store");
    refused({"blobs/uploads", "../a"}, 2, "it has a component \"..\"");
    refused({"blobs/uploads", "/etc/passwd"}, 2, "/etc/passwd is not below");
    refused({"blobs/uploads", "d/x.tmp"}, 2, "it is excluded");
    refused({"blobs/uploads", ".antipode/x"}, 2, "it is excluded");
    refused({"blobs/uploads", "d"}, 2, "it is a directory");
    refused({"blobs/uploads", "link"}, 2, "it is a symbolic link");
    refused({"blobs/uploads", "a", "--timeout", "0"}, 2, "the timeout must be more than 0");

    EXPECT_THAT(curl(london, "{").output, HasSubstr("the call is not understood"));
    EXPECT_THAT(curl(london, "[1]").output, HasSubstr("is no known key"));
    EXPECT_THAT(curl(london, R"({"store":"blobs/uploads"})").output, HasSubstr("no items"));
    EXPECT_THAT(curl(london, R"({"store":"blobs/b","items":["a"]})").output,
                HasSubstr("one of: repositories/git, blobs/uploads"));
    const CommandResult elsewhere = sites.sydney.antipode({"notify", "blobs/uploads", "a"});
    EXPECT_EQ(elsewhere.status, 4) << elsewhere.error;
    EXPECT_THAT(elsewhere.error, HasSubstr("sydney is not the primary; that is london"));
    EXPECT_THAT(elsewhere.error, HasSubstr("Try: call on london"));
}

TEST(Notify, WhatIsNotStoredInTimeSaysWhyAndTheNextCallIsAnsweredWhenItIs) {
    TwoSites sites;
    const Site& london = sites.london;
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.london.nats.kill();
    write_file(london.files_root / "a", "a");
    const CommandResult late = london.antipode({"notify", "blobs/uploads", "a", "--timeout", "1"});
    EXPECT_EQ(late.status, 8) << late.output;
    EXPECT_THAT(late.error, HasSubstr("not stored in time: "));
    sites.london.nats.start();
    const CommandResult told = london.antipode({"notify", "blobs/uploads", "a", "--timeout", "60"});
    EXPECT_EQ(told.status, 0) << told.error << sites.describe();

    sites.london.kill();
    const CommandResult off = london.antipode({"notify", "blobs/uploads", "a"});
    EXPECT_EQ(off.status, 5) << off.output;
    EXPECT_THAT(off.error, HasSubstr("notify.sock"));
}

TEST(Notify, TwoHundredInARowAndHowLongEachTook) {
    TwoSites sites;
    const Site& london = sites.london;
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    std::vector<double> milliseconds;
    for (int i = 0; i < 200; ++i) {
        const std::string name = "f" + std::to_string(i);
        write_file(london.files_root / name, std::string(1000, 'x') + name);
        const auto begun = std::chrono::steady_clock::now();
        const auto answer = http::http_post(socket_of(london), "/v1/changed?store=blobs/uploads",
                                            name, std::chrono::seconds(60));
        milliseconds.push_back(
            std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun)
                .count());
        ASSERT_EQ(answer.status, 200u) << answer.body << sites.describe();
    }
    std::sort(milliseconds.begin(), milliseconds.end());
    std::cout << "notify, 200 new files, ms: least " << milliseconds.front() << ", half "
              << milliseconds[100] << ", 95 % " << milliseconds[190] << ", most "
              << milliseconds.back() << "\n";
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

}  // namespace
}  // namespace antipode::test
