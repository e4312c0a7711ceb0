// Everything is written at once, for as long as is wanted, while everything is checked all the
// time: nothing that is right is ever called wrong. And thousands of items that fail hold up
// nobody.
#include <atomic>
#include <cstdlib>
#include <functional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using SteadyClock = std::chrono::steady_clock;

/// ANTIPODE_LOAD_SECONDS=600 makes a long run of it.
std::chrono::seconds wanted_length() {
    const char* const seconds = std::getenv("ANTIPODE_LOAD_SECONDS");
    return std::chrono::seconds(seconds == nullptr ? 20 : std::atoi(seconds));
}

/// Calls `write` again and again, as fast as it can, with the number of the round, as long as
/// `goes_on`.
class Load {
  public:
    Load(std::function<bool()> goes_on, std::function<void(int)> write)
        : thread_([=](const std::stop_token& stop) {
              for (int round = 0; goes_on() && !stop.stop_requested(); ++round) {
                  write(round);
              }
          }) {}

  private:
    std::jthread thread_;
};

/// Small and large ones, replaced, appended to, moved, removed, made again, in directories that
/// come and go.
void write_files(const fs::path& root, int round) {
    const fs::path directory = root / ("d" + std::to_string(round % 7));
    const fs::path file = directory / std::to_string(round % 40);
    fs::create_directories(directory);
    switch (round % 6) {
        case 0:
            fs::remove(file);
            break;
        case 1:
            fs::remove_all(directory);
            break;
        case 2:
            write_file(root / ".new", std::string(300'000 + static_cast<size_t>(round), 'n'));
            fs::rename(root / ".new", file);
            break;
        case 3:
            write_file(file, "first " + std::to_string(round));
            fs::rename(file, root / "moved");
            break;
        default:
            write_file(file, "content " + std::to_string(round));
            write_file(root / "the same one", std::to_string(round));
    }
}

TEST(NoFalseAlarm, UnderAnyLoadOfEverything) {
    TwoSites sites("hold_deletions = false\ncheck_every = \"5s\"\n", "check_every = \"5s\"\n");
    must_run({PostgresServer::program("pgbench"), "-i", "-q", "-s", "1",
              sites.london.postgres.url("app")});
    Application application(sites.london);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    const auto check = [&](std::vector<std::string> command) {
        command.insert(command.end(), {"--timeout", "240"});
        const CommandResult checked = sites.sydney.antipode(command);
        EXPECT_EQ(checked.status, 0) << command.front() << checked.output << checked.error;
    };
    {
        // At least until the rows were compared once. What waits here gets longer and longer
        // meanwhile, and whatever is checked then waits for it.
        const auto end = SteadyClock::now() + wanted_length();
        std::atomic<bool> compared = false;
        const auto goes_on = [&] { return !compared || SteadyClock::now() < end; };
        const Load rows(goes_on, [&](int) {
            must_run({PostgresServer::program("pgbench"), "-n", "-c", "2", "-T", "2", "-b",
                      "tpcb-like", sites.london.postgres.url("app")});
        });
        const Load files(goes_on, [&](int round) { write_files(sites.london.files_root, round); });
        const Load all(goes_on, [&](int round) {
            application.write();
            if (round % 3 == 2) {
                application.remove_oldest();
            }
        });
        const std::jthread content([&] { check({"verify"}); });
        do {
            check({"database", "check"});
            compared = true;
        } while (SteadyClock::now() < end);
    }
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
    for (const char* found :
         {".content_check.differed", ".content_check.found_by_reading", ".content_check.repeated",
          ".content_check.extras", ".inventory.differed", ".inventory.damaged", ".check.differing",
          ".mismatches", ".parked"}) {
        EXPECT_EQ(sites.sydney.status("[.stores[] | " + std::string(found) + " // 0] | add"), "0")
            << found << sites.describe();
    }
    EXPECT_TRUE(eventually([&] {
        return sites.sydney.antipode({"verify", "--timeout", "120"}).status == 0 &&
               sites.sydney.antipode({"database", "check", "--timeout", "120"}).status == 0;
    })) << sites.describe();
}

TEST(ManyFailures, TenThousandItemsThatFailHoldUpNobody) {
    constexpr int many = 10'000;
    TwoSites sites("hold_deletions = false\n");
    const auto parked = [&] {
        return std::stoi(
            sites.sydney.status(".stores[] | select(.store == \"blobs/uploads\") | .parked")
                .value_or("-1"));
    };
    // Directories with something in them stand where files are to be.
    for (int i = 0; i < many; ++i) {
        const fs::path in_the_way = sites.sydney.files_root / "many" / std::to_string(i);
        fs::create_directories(in_the_way);
        write_file(in_the_way / "inside", "");
    }
    fs::create_directories(sites.london.files_root / "many");
    for (int i = 0; i < many; ++i) {
        write_file(sites.london.files_root / "many" / std::to_string(i), std::to_string(i));
    }
    ASSERT_TRUE(eventually([&] { return parked() == many; }, std::chrono::seconds(120)))
        << parked() << sites.sydney.antipode({"status"}).output;

    Application application(sites.london);
    for (int i = 0; i < 5; ++i) {
        const auto began = SteadyClock::now();
        application.write();
        const std::string path = "u/" + std::to_string(i) + ".bin";
        const bool came = eventually(
            [&] {
                return fs::exists(sites.sydney.files_root / path) &&
                       sites.sydney.sql("SELECT count(*) FROM uploads") == std::to_string(i + 1);
            },
            std::chrono::seconds(20));
        const std::chrono::duration<double> took = SteadyClock::now() - began;
        EXPECT_TRUE(came) << path << sites.sydney.antipode({"status"}).output;
        RecordProperty("seconds_" + std::to_string(i), std::to_string(took.count()));
    }
    EXPECT_EQ(parked(), many) << "they still fail";
    const CommandResult failures = sites.sydney.antipode({"failures"});
    EXPECT_THAT(failures.output, HasSubstr("many/")) << failures.error;

    for (int i = 0; i < many; ++i) {
        const fs::path in_the_way = sites.sydney.files_root / "many" / std::to_string(i);
        fs::remove(in_the_way / "inside");
        std::error_code taken;  // by the file that was wanted
        fs::remove(in_the_way, taken);
    }
    EXPECT_EQ(sites.sydney.antipode({"resync", "--failed", "--store", "uploads"}).status, 0);
    EXPECT_TRUE(eventually([&] { return parked() == 0; }, std::chrono::seconds(120)))
        << parked() << sites.sydney.antipode({"status"}).output;
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    sites.expect_equal();
}

}  // namespace
}  // namespace antipode::test
