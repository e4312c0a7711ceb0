// A new operator breaks a secondary by hand. Within seconds (of rows: within the interval of
// checks) the command, the page's data and an alert say what is wrong, in words, and one printed
// command mends what does not mend itself.
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/end_to_end/damage.hpp"
#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

/// A value of each series, from a daemon's /metrics.
std::vector<std::pair<std::string, std::string>> series_of(const std::string& metrics) {
    std::vector<std::pair<std::string, std::string>> series;
    std::istringstream lines(metrics);
    for (std::string line; std::getline(lines, line);) {
        const size_t end = line.rfind(' ');
        if (!line.empty() && line.front() != '#' && end != std::string::npos) {
            series.emplace_back(line.substr(0, end), line.substr(end + 1));
        }
    }
    return series;
}

class ByHand : public testing::Test {
  protected:
    void SetUp() override {
        write_file(sites_.london.files_root / "a/one", std::string(10'000, '1'));
        make_repository(sites_.london, "one.git");
        sites_.london.sql("INSERT INTO uploads VALUES (1, 'oid', 'path', 'note')");
        ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
        sites_.expect_equal();
        ASSERT_TRUE(eventually([&] {
            return sites_.sydney.status(
                       "[.stores[].content_check.watch_problem | strings] | "
                       "join(\"\")") == "";
        })) << sites_.describe();
        well_ = metrics();
    }
    std::string metrics() const {
        return must_run(
            {"curl", "-fsS", "http://127.0.0.1:" + sites_.sydney.http_port() + "/metrics"});
    }
    std::string status(const Site& site) const { return site.antipode({"status"}).output; }
    bool says(const Site& site, const std::string& words) const {
        return eventually([&] { return status(site).find(words) != std::string::npos; },
                          std::chrono::seconds(40));
    }
    /// A repository that is broken is not.
    bool is_equal() const {
        try {
            return sites_.london.files() == sites_.sydney.files() &&
                   sites_.london.repositories() == sites_.sydney.repositories();
        } catch (const std::runtime_error&) {
            return false;
        }
    }
    /// Whether the alert fires when Prometheus sees what the daemon says now, after what it said
    /// when all was well.
    bool fires(const std::string& alert) const {
        std::map<std::string, std::string> before;
        for (auto& [name, value] : series_of(well_)) {
            before[name] = value;
        }
        std::string rules =
            "rule_files: [rules.yml]\nevaluation_interval: 1m\ntests:\n"
            "  - interval: 1m\n    input_series:\n";
        for (const auto& [name, value] : series_of(metrics())) {
            const auto known = before.find(name);
            rules += "      - {series: '" + name + "', values: '" +
                     (known == before.end() ? "_" : known->second) + "x5 " + value + "x5'}\n";
        }
        rules +=
            "    promql_expr_test:\n      - expr: 'count(ALERTS{alertstate=\"firing\", "
            "alertname=\"" +
            alert +
            "\"}) > bool 0'\n        eval_time: 10m\n        exp_samples: [{labels: '{}', "
            "value: 1}]\n";
        const fs::path directory = sites_.temporary.path() / "alerts";
        fs::create_directories(directory);
        fs::copy_file(ANTIPODE_RULES, directory / "rules.yml",
                      fs::copy_options::overwrite_existing);
        write_file(directory / "test.yml", rules);
        const CommandResult tested =
            run({"promtool", "test", "rules", (directory / "test.yml").string()});
        EXPECT_THAT(tested.error + tested.output, Not(HasSubstr("error")));
        return tested.status == 0;
    }
    /// Runs the command that follows "Try: " in what was printed behind `words`.
    CommandResult run_what_is_printed(const std::string& printed, const std::string& words) const {
        const size_t at = printed.find("Try: ", printed.find(words));
        std::istringstream line(printed.substr(at + 5, printed.find('\n', at) - at - 5));
        std::vector<std::string> arguments;
        for (std::string word; line >> word;) {
            arguments.push_back(word);
        }
        EXPECT_EQ(arguments.at(0), "antipode") << printed;
        arguments.erase(arguments.begin());
        return sites_.sydney.antipode(arguments);
    }

    TwoSites sites_{"", "check_every = \"5s\"\n"};
    std::string well_;
};

TEST_F(ByHand, AByteThatIsFlippedAndAPackThatIsDeletedMendThemselvesAndAreTold) {
    flip(sites_.sydney.files_root / "a/one");
    for (const auto& entry :
         fs::directory_iterator(sites_.sydney.git_root / "one.git/objects/pack")) {
        fs::remove(entry.path());
    }
    EXPECT_TRUE(eventually([&] { return is_equal(); })) << sites_.describe();
    EXPECT_TRUE(fires("AntipodeContentDiffered")) << metrics();
    const std::string told = sites_.sydney.antipode({"status", "sydney"}).output;
    EXPECT_THAT(told, AllOf(HasSubstr("a/one: its content here is blob-1:"),
                            HasSubstr("one.git: git fsck: ")));
    // Nothing is left to do.
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    EXPECT_THAT(status(sites_.sydney), Not(HasSubstr("Try:")));
}

TEST_F(ByHand, ARowThatIsEditedIsNamedAndMendedByThePrintedCommand) {
    sites_.sydney.sql("UPDATE uploads SET note = 'edited' WHERE id = 1");
    const std::string words = "public.uploads differs from the primary's";
    ASSERT_TRUE(says(sites_.sydney, words)) << sites_.describe();
    EXPECT_TRUE(says(sites_.london, words)) << sites_.describe();
    EXPECT_TRUE(fires("AntipodeDatabaseDiffers")) << metrics();
    const CommandResult mended = run_what_is_printed(status(sites_.sydney), words);
    EXPECT_EQ(mended.status, 0) << mended.output << mended.error;
    EXPECT_THAT(mended.output, HasSubstr("differed, is mended and equal now"));
    sites_.expect_equal();
    EXPECT_TRUE(eventually([&] { return status(sites_.sydney).find("Try:") == std::string::npos; }))
        << status(sites_.sydney);
}

TEST_F(ByHand, AFileThatWasPutThereIsNamedAndRemovedByThePrintedCommand) {
    write_file(sites_.sydney.files_root / "a/stray", "put here by hand");
    const std::string words = "1 thing is there that was never applied, a/stray";
    ASSERT_TRUE(says(sites_.sydney, words)) << sites_.describe();
    EXPECT_TRUE(says(sites_.london, words)) << sites_.describe();
    const CommandResult mended = run_what_is_printed(status(sites_.sydney), words);
    EXPECT_EQ(mended.status, 0) << mended.output << mended.error;
    EXPECT_TRUE(eventually([&] { return !fs::exists(sites_.sydney.files_root / "a/stray"); }))
        << sites_.describe();
    EXPECT_TRUE(eventually([&] { return status(sites_.sydney).find("Try:") == std::string::npos; }))
        << status(sites_.sydney);
}

TEST_F(ByHand, ADiskThatIsFullIsNamedWithWhatTakesTheRoom) {
    sites_.sydney.kill();
    const fs::path root = sites_.sydney.files_root;
    if (geteuid() != 0 ||
        run({"mount", "-t", "tmpfs", "-o", "size=48m", "none", root.string()}).status != 0) {
        GTEST_SKIP() << "no small file system can be mounted here";
    }
    write_file(root / "a/one", std::string(10'000, '1'));
    sites_.sydney.start();
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    run({"dd", "if=/dev/zero", "of=" + (root / "large").string(), "bs=1M"});
    const std::string words = "the disk of " + root.string() + " is nearly full: 0 MB of 50 MB";
    EXPECT_TRUE(says(sites_.sydney, words)) << sites_.describe();
    EXPECT_TRUE(says(sites_.london, words)) << sites_.describe();
    EXPECT_THAT(status(sites_.sydney), HasSubstr("Try: make room: du -xh --max-depth=1 "));
    EXPECT_TRUE(fires("AntipodeDiskFull")) << metrics();
    write_file(sites_.london.files_root / "wanted", std::string(2'000'000, 'w'));
    fs::remove(root / "large");
    EXPECT_TRUE(eventually([&] { return fs::exists(root / "wanted"); })) << sites_.describe();
    sites_.sydney.kill();
    run({"umount", "-l", root.string()});
}

}  // namespace
}  // namespace antipode::test
