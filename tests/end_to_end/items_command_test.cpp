// What a site says of its items, and limits that are changed while it runs.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr int usage = 2;
constexpr int findings = 3;
constexpr int unknown = 6;

std::string jq(const std::string& json, const std::string& filter) {
    std::string text = must_run({"sh", "-c", R"(printf %s "$0" | jq -r "$1")", json, filter});
    text.erase(text.find_last_not_of('\n') + 1);
    return text;
}

class ItemsCommand : public testing::Test {
  protected:
    ItemsCommand() {
        for (int i = 0; i < 25; ++i) {
            write_file(sites_.london.files_root / ("many" + std::to_string(100 + i)), "content");
        }
        write_file(sites_.london.files_root / "odd \xff name", "odd");
        std::filesystem::create_directory(sites_.london.files_root / "dir");
        write_file(sites_.london.files_root / "dir/a&b=c%20.txt", "b");
    }
    CommandResult items(std::vector<std::string> options, const Site& on) const {
        options.insert(options.begin(), "items");
        return on.antipode(options);
    }
    TwoSites sites_;
};

TEST_F(ItemsCommand, ListsAndNamesEachInPages) {
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    for (const Site* on : {&sites_.london, &sites_.sydney}) {
        std::string seen;
        std::string after;
        int pages = 0;
        do {
            std::vector<std::string> options = {"uploads", "-n", "10", "-o", "json"};
            if (!after.empty()) {
                options.insert(options.end(), {"--after", after});
            }
            const CommandResult page = items(options, *on);
            ASSERT_EQ(page.status, 0) << page.error << sites_.describe();
            seen += jq(page.output, ".stores[0].items[].item") + "\n";
            after = jq(page.output, ".stores[0].next // empty");
            ++pages;
        } while (!after.empty() && pages < 10);
        EXPECT_EQ(pages, 3) << seen;
        EXPECT_EQ(std::count(seen.begin(), seen.end(), '\n'), 27) << seen;
        EXPECT_THAT(seen, AllOf(HasSubstr("dir/a&b=c%20.txt\nmany100\nmany101\n"),
                                HasSubstr("odd \\xff name\n")));
        const CommandResult some = items({"--prefix", "many11", "-o", "json"}, *on);
        EXPECT_EQ(jq(some.output, "[.stores[].items[]] | length"), "10") << some.error;
        const CommandResult odd = items({"--prefix", "odd", "-o", "json"}, *on);
        EXPECT_EQ(jq(odd.output, ".stores[].items[].item_hex"), "6f646420ff206e616d65");
    }
    const CommandResult one = items({"dir/a&b=c%20.txt", "--site", "sydney"}, sites_.london);
    EXPECT_EQ(one.status, 0) << one.error;
    EXPECT_THAT(one.output,
                AllOf(HasSubstr("blobs/uploads dir/a&b=c%20.txt on sydney: applied\n"),
                      HasSubstr("digest    blob-1:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4"),
                      HasSubstr("applied   "), HasSubstr("Z ("), Not(HasSubstr("problem"))));
    EXPECT_EQ(items({"no such"}, sites_.sydney).status, unknown);
    EXPECT_EQ(items({"app"}, sites_.sydney).status, usage) << "a database";
    EXPECT_EQ(items({"--after", "61"}, sites_.sydney).status, usage) << "of which store?";
    EXPECT_EQ(items({"uploads", "-n", "0"}, sites_.sydney).status, usage);
    EXPECT_EQ(items({"--failed"}, sites_.sydney).status, 0);
}

TEST_F(ItemsCommand, NamesWhatDiffersAndWhatIsDoneAboutIt) {
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.london.daemon().kill();  // nobody sends it again
    std::ofstream(sites_.sydney.files_root / "many107") << "spoilt!";
    EXPECT_EQ(sites_.sydney.antipode({"verify", "uploads", "many107", "--no-wait"}).status, 0);
    // What differs counts only when everything that was sent is applied; a primary that is down
    // cannot say so.
    sites_.london.start();
    CommandResult seen;
    EXPECT_TRUE(eventually([&] {
        seen = items({"many107"}, sites_.sydney);
        return seen.output.find("problem") != std::string::npos ||
               read_file(sites_.sydney.files_root / "many107") == "content";
    })) << seen.output
        << sites_.describe();
    EXPECT_TRUE(eventually([&] {
        return read_file(sites_.sydney.files_root / "many107") == "content" &&
               items({"--failed"}, sites_.sydney).status == 0;
    })) << sites_.describe();

    // A name that cannot be made here stays a failure.
    std::filesystem::create_directory(sites_.sydney.files_root / "blocked");
    write_file(sites_.sydney.files_root / "blocked/inside", "x");
    write_file(sites_.london.files_root / "blocked", "a file there");
    EXPECT_TRUE(eventually([&] {
        seen = items({"uploads", "--failed"}, sites_.sydney);
        return seen.status == findings;
    })) << seen.output
        << sites_.describe();
    EXPECT_THAT(seen.output, AllOf(HasSubstr("blocked"), HasSubstr("parked"), HasSubstr("tr")));
}

TEST_F(ItemsCommand, LimitsChangeWhileItRunsAndLast) {
    const auto limit = [&](const std::string& name) {
        return sites_.sydney.status(".limits." + name + ".value").value_or("?");
    };
    EXPECT_EQ(limit("pull_workers"), "4");
    CommandResult set = sites_.london.antipode(
        {"limits", "set", "--site", "sydney", "bulk_bytes_per_second=100k", "pull_workers=2"});
    ASSERT_EQ(set.status, 0) << set.error << sites_.describe();
    EXPECT_THAT(set.output, HasSubstr("sydney: bulk_bytes_per_second is 100 kB/s from now on"));
    EXPECT_EQ(limit("bulk_bytes_per_second"), "100000");
    const auto pull_workers = [&] {
        return sites_.sydney
            .status(R"([.workers[] | select(.name | startswith("pull "))] | length)")
            .value_or("?");
    };
    EXPECT_TRUE(eventually([&] { return pull_workers() == "2"; })) << sites_.describe();

    // It holds: 3 MB take 30 s, until it is lifted.
    const std::string large = must_run({"head", "-c", "3000000", "/dev/urandom"});
    write_file(sites_.london.files_root / "large", large);
    EXPECT_TRUE(eventually([&] {
        return sites_.sydney.status(".pulls.received_bytes").value_or("0") != "0";
    })) << sites_.describe();
    sites_.sydney.kill();
    sites_.sydney.start();
    EXPECT_EQ(limit("bulk_bytes_per_second"), "100000") << "over a restart";
    EXPECT_TRUE(eventually([&] { return pull_workers() == "2"; })) << sites_.describe();
    // It may stand there empty: so it did on the primary, before its content was written.
    const std::filesystem::path mirrored = sites_.sydney.files_root / "large";
    EXPECT_TRUE(!std::filesystem::exists(mirrored) || std::filesystem::is_empty(mirrored));
    const CommandResult shown = sites_.sydney.antipode({"limits"});
    EXPECT_THAT(shown.output, AllOf(HasSubstr("100 kB/s"), HasSubstr("none"), HasSubstr(" by ")));
    EXPECT_THAT(sites_.sydney.antipode({"status"}).output, HasSubstr("antipode limits"));

    set = sites_.sydney.antipode(
        {"limits", "set", "bulk_bytes_per_second=default", "pull_workers=default"});
    ASSERT_EQ(set.status, 0) << set.error;
    EXPECT_TRUE(eventually([&] {
        return std::filesystem::exists(sites_.sydney.files_root / "large") &&
               read_file(sites_.sydney.files_root / "large") == large;
    })) << sites_.describe();
    EXPECT_EQ(limit("pull_workers"), "4");
    EXPECT_THAT(sites_.sydney.antipode({"status"}).output, Not(HasSubstr("antipode limits")));
}

TEST_F(ItemsCommand, LimitsRefuseWhatTheyDoNotKnowAndChangeNothing) {
    CommandResult set =
        sites_.sydney.antipode({"limits", "set", "check_bytes_per_second=5M", "pull_worker=3"});
    EXPECT_EQ(set.status, 1);
    EXPECT_THAT(set.error, HasSubstr("pull_worker is none of bulk_bytes_per_second, "));
    EXPECT_EQ(sites_.sydney.antipode({"limits", "set", "pull_workers=65"}).status, 1);
    EXPECT_EQ(sites_.sydney.antipode({"limits", "set", "pull_workers=many"}).status, usage);
    EXPECT_EQ(sites_.sydney.antipode({"limits", "set"}).status, usage);
    EXPECT_EQ(sites_.sydney.status(".limits.check_bytes_per_second.value"), "50000000");
    // On the primary, too.
    set = sites_.sydney.antipode(
        {"limits", "set", "--site", "london", "bulk_serve_bytes_per_second=5M"});
    EXPECT_EQ(set.status, 0) << set.error;
    EXPECT_EQ(sites_.london.status(".limits.bulk_serve_bytes_per_second.value"), "5000000");
}

}  // namespace
}  // namespace antipode::test
