#include <filesystem>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "apps/antipode/quarantine.hpp"
#include "base/error.hpp"
#include "failover/quarantine.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::cli {
namespace {

using testing::HasSubstr;
using Json = nlohmann::ordered_json;

/// An old primary's state directory, and a daemon that says what the test wants.
class QuarantineCommand : public testing::Test {
  protected:
    QuarantineCommand() {
        config_.cluster = "demo";
        config_.site = "london";
        config_.sites = {{"london", "nats://a:1", "http://a:1"},
                         {"sydney", "nats://b:1", "http://b:1"}};
        config_.state_dir = temporary_.path();
    }
    ExitCode code_of(const std::function<ExitCode()>& command) {
        out_.str({});
        error_.str({});
        try {
            return command();
        } catch (const CommandError& thrown) {
            error_ << thrown.what() << " Try: " << thrown.next_step();
            return thrown.code();
        }
    }
    ExitCode copy(const std::filesystem::path& directory, const std::string& operation = {}) {
        return code_of([&] { return export_quarantine(config_, output_, directory, operation); });
    }
    ExitCode drop(const std::string& operation) {
        return code_of(
            [&] { return drop_quarantine(config_, fetch_, output_, operation, options_); });
    }
    static Json preliminary() {
        return {{"schema", "antipode.loss-report/1"},
                {"state", "preliminary"},
                {"operation", "promote-1"},
                {"old_primary", "london"},
                {"epoch_ended", 1},
                {"known_lost", 0},
                {"unknown_since_us", nullptr},
                {"losses", Json::array()}};
    }
    static failover::Loss loss_of(const StoreId& store, const std::string& item) {
        failover::Loss loss;
        loss.kind = failover::Loss::Kind::Quarantined;
        loss.store = store;
        loss.item = item;
        loss.kept = failover::kept_path(store, item);
        return loss;
    }
    /// With what each of `items` was.
    void keep(const std::string& operation,
              const std::vector<std::pair<StoreId, std::string>>& items) {
        failover::Quarantine quarantine(quarantine_of(operation));
        for (const auto& [store, item] : items) {
            const failover::Loss loss = loss_of(store, item);
            if (item.ends_with('/')) {
                quarantine.create_directory(loss.kept);
            } else {
                quarantine.keep(loss.kept, 0, [&](std::ostream& file) { file << "of " << item; });
            }
            quarantine.add(loss);
        }
        failover::Loss undone = loss_of(uploads_, "removed");
        undone.kind = failover::Loss::Kind::Undone;
        undone.kept.clear();
        quarantine.add(undone);
        quarantine.finish(preliminary().dump(), "london", clock_.now());
    }
    std::filesystem::path quarantine_of(const std::string& operation) {
        return temporary_ / "quarantine" / operation;
    }

    const StoreId uploads_{StoreKind::Blobs, "uploads"};
    const StoreId git_{StoreKind::Repositories, "git"};
    const StoreId app_{StoreKind::Database, "app"};
    test::TemporaryDirectory temporary_;
    Config config_;
    ManualClock clock_;
    std::string state_ = "following";
    std::ostringstream out_;
    std::ostringstream error_;
    Output output_{out_, error_};
    ChangeOptions options_;
    Fetch fetch_ = [this](const std::string&, std::chrono::milliseconds) -> Answer {
        return {200, Json{{"failover", {{"state", state_}, {"epoch", 2}}}}.dump()};
    };
};

TEST_F(QuarantineCommand, ListsAndShowsThem) {
    const auto list = [&] { return list_quarantines(config_, output_); };
    const auto show = [&](const std::string& operation) {
        return code_of([&] { return show_quarantine(config_, output_, operation); });
    };
    EXPECT_EQ(list(), ExitCode::Ok);
    EXPECT_THAT(out_.str(), HasSubstr("no quarantine"));
    std::filesystem::create_directories(temporary_ / "quarantine/promote-0");
    EXPECT_EQ(show("promote-0"), ExitCode::Unknown) << "it is half made";
    failover::Quarantine quarantine(temporary_ / "quarantine/promote-1");
    failover::Loss loss;
    loss.kind = failover::Loss::Kind::Quarantined;
    loss.store = {StoreKind::Blobs, "uploads"};
    loss.item = "a\x1b[2J";
    loss.kept = "blobs/uploads/a";
    quarantine.add(loss);
    quarantine.finish(preliminary().dump(), "london", clock_.now());
    EXPECT_EQ(show(""), ExitCode::Usage) << "there are two";
    EXPECT_EQ(show("../x"), ExitCode::Usage);
    EXPECT_EQ(show("promote-1"), ExitCode::Ok);
    EXPECT_THAT(out_.str(), HasSubstr("1 file, 0 removals"));
    EXPECT_THAT(out_.str(), HasSubstr("; blobs/uploads/a"));
    EXPECT_EQ(out_.str().find('\x1b'), std::string::npos);
    out_.str({});
    EXPECT_EQ(list(), ExitCode::Ok);
    EXPECT_THAT(out_.str(), HasSubstr("promote-0"));
    EXPECT_THAT(out_.str(), HasSubstr("(half made)"));
    output_.format = Format::Json;
    EXPECT_EQ(show("promote-1"), ExitCode::Ok);
    const Json shown = Json::parse(out_.str());
    EXPECT_EQ(shown["state"], "final");
    EXPECT_EQ(shown["lost"]["files"], 1);
}

TEST_F(QuarantineCommand, ExportsWhateverTheNamesAre) {
    const std::string longest(250, 'n');
    const std::vector<std::pair<StoreId, std::string>> items = {
        {app_, "xid 7 at 0/64"},
        {app_, "xid 8 at 0/6E"},
        {git_, "group/app.git"},
        {uploads_, "plain"},
        {uploads_, "with \"quotes\", back\\slash and $(touch x)"},
        {uploads_, "new\nline\ttab"},
        {uploads_, "no utf-8 \xff\x80"},
        {uploads_, "-rf"},
        {uploads_, " "},
        {uploads_, "...."},
        {uploads_, "deep/" + longest + "/" + longest},
        {uploads_, "manifest.json"},
        {uploads_, "empty directory/"}};
    keep("promote-1", items);
    output_.format = Format::Json;
    ASSERT_EQ(copy(temporary_ / "out/"), ExitCode::Ok) << error_.str();
    // One file of the database, losses.jsonl, manifest.json; no file of the directory.
    EXPECT_EQ(Json::parse(out_.str())["files"], items.size() - 1 - 1 + 2);
    EXPECT_EQ(Json::parse(out_.str())["operation"], "promote-1");
    const std::string same = test::must_run(
        {"diff", "-r", quarantine_of("promote-1").string(), (temporary_ / "out").string()});
    EXPECT_EQ(same, "");
    EXPECT_TRUE(std::filesystem::is_directory(temporary_ / "out/blobs/uploads/empty directory"));
    EXPECT_EQ(std::filesystem::status(temporary_ / "out").permissions(),
              std::filesystem::perms::owner_all);
}

TEST_F(QuarantineCommand, ExportsOnlyIntoAnEmptyDirectoryAndOnlyWhatIsWhole) {
    keep("promote-1", {{uploads_, "a"}});
    EXPECT_EQ(copy(temporary_.path()), ExitCode::Usage) << "it has something in it";
    test::write_file(temporary_ / "file", "");
    EXPECT_EQ(copy(temporary_ / "file"), ExitCode::Usage);
    std::filesystem::create_symlink(temporary_ / "nowhere", temporary_ / "link");
    EXPECT_EQ(copy(temporary_ / "link"), ExitCode::Usage);
    EXPECT_EQ(copy(temporary_ / "not/there"), ExitCode::Failed);
    std::filesystem::create_directories(temporary_ / "empty");
    EXPECT_EQ(copy(temporary_ / "empty"), ExitCode::Ok) << error_.str();
    std::filesystem::create_directories(quarantine_of("promote-0"));
    EXPECT_EQ(copy(temporary_ / "out"), ExitCode::Usage) << "there are two";
    EXPECT_EQ(copy(temporary_ / "out", "promote-0"), ExitCode::Unknown);
    EXPECT_EQ(copy(temporary_ / "out", "../quarantine/promote-1"), ExitCode::Usage);
    EXPECT_FALSE(std::filesystem::exists(temporary_ / "out"));
}

TEST_F(QuarantineCommand, ExportsNothingFromOrToWhereADamagedLineLeads) {
    test::write_file(temporary_ / "secret", "secret");
    int number = 0;
    for (const char* item : {"../../../../secret", "/etc/passwd", "a/../../../../../secret", ""}) {
        failover::Quarantine::drop(quarantine_of("promote-1"));
        keep("promote-1", {{uploads_, "a"}});
        const Json line = {{"kind", "quarantined"},
                           {"store", "blobs/uploads"},
                           {"item", item},
                           {"kept", "secret"}};
        test::write_file(quarantine_of("promote-1") / "losses.jsonl", line.dump() + "\n");
        const auto out = temporary_ / ("out" + std::to_string(++number));
        EXPECT_EQ(copy(out), ExitCode::Failed) << item;
        EXPECT_THAT(error_.str(), HasSubstr("names no item"));
        EXPECT_FALSE(std::filesystem::exists(out / "manifest.json")) << "it looks whole";
    }
    // What stands there in the place of a file is not followed.
    failover::Quarantine::drop(quarantine_of("promote-1"));
    keep("promote-1", {{uploads_, "a"}});
    std::filesystem::remove(quarantine_of("promote-1") / "blobs/uploads/a");
    std::filesystem::create_symlink(temporary_ / "secret",
                                    quarantine_of("promote-1") / "blobs/uploads/a");
    EXPECT_EQ(copy(temporary_ / "last"), ExitCode::Failed);
    EXPECT_FALSE(std::filesystem::exists(temporary_ / "last/blobs/uploads/a"));
}

TEST_F(QuarantineCommand, DropsNothingWhileTheSiteIsOnItsWayBack) {
    keep("promote-1", {{uploads_, "a"}});
    options_.yes = true;
    for (const char* state : {"fenced", "quarantining", "quarantined", "rewinding"}) {
        state_ = state;
        EXPECT_EQ(drop("promote-1"), ExitCode::Blocked) << state;
        EXPECT_THAT(error_.str(), HasSubstr(std::string("london is ") + state));
    }
    state_ = "";
    EXPECT_EQ(drop("promote-1"), ExitCode::Unknown);
    fetch_ = [](const std::string&, std::chrono::milliseconds) -> Answer {
        throw Error(Reaction::Retry, "connection refused");
    };
    EXPECT_EQ(drop("promote-1"), ExitCode::Unreachable);
    EXPECT_TRUE(std::filesystem::exists(quarantine_of("promote-1") / "manifest.json"));
}

TEST_F(QuarantineCommand, DropsOneOnceItsNameIsTyped) {
    keep("promote-1", {{uploads_, "a"}});
    keep("promote-2", {{uploads_, "a"}});
    EXPECT_EQ(drop("promote-1"), ExitCode::Usage);
    EXPECT_THAT(error_.str(), HasSubstr("0 transactions, 0 refs, 1 file are deleted for good"));
    options_.confirmed = "promote-2";
    EXPECT_EQ(drop("promote-1"), ExitCode::Usage);
    EXPECT_EQ(drop("../quarantine"), ExitCode::Usage);
    EXPECT_TRUE(std::filesystem::exists(quarantine_of("promote-1") / "manifest.json"));
    options_.confirmed = "promote-1";
    EXPECT_EQ(drop("promote-1"), ExitCode::Ok) << error_.str();
    EXPECT_FALSE(std::filesystem::exists(quarantine_of("promote-1")));
    EXPECT_TRUE(std::filesystem::exists(quarantine_of("promote-2") / "manifest.json"));
    output_.format = Format::Json;
    options_.yes = true;
    EXPECT_EQ(drop(""), ExitCode::Usage) << "the only one is not meant by nothing";
    EXPECT_TRUE(std::filesystem::exists(quarantine_of("promote-2") / "manifest.json"));
    out_.str("");
    EXPECT_EQ(drop("promote-2"), ExitCode::Usage) << "somebody may ask for it yet";
    EXPECT_THAT(error_.str(), HasSubstr("They are kept for 0 days; keep them for 30"));
    EXPECT_TRUE(std::filesystem::exists(quarantine_of("promote-2") / "manifest.json"));
    std::filesystem::last_write_time(
        quarantine_of("promote-2") / "manifest.json",
        std::filesystem::file_time_type::clock::now() - std::chrono::days(31));
    EXPECT_EQ(drop("promote-2"), ExitCode::Ok);
    EXPECT_EQ(Json::parse(out_.str())["operation"], "promote-2");
}

}  // namespace
}  // namespace antipode::cli
