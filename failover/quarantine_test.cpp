#include "failover/quarantine.hpp"

#include <sstream>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::failover {
namespace {

using nlohmann::json;

std::string preliminary() {
    LossReport report;
    report.cluster = "demo";
    report.operation = "promote-1";
    report.old_primary = "london";
    report.new_primary = "sydney";
    report.epoch = 1;
    report.known = 2;
    return report.to_json();
}

Loss file(const std::string& item, Loss::Kind kind) {
    Loss loss;
    loss.kind = kind;
    loss.store = {StoreKind::Blobs, "uploads"};
    loss.item = item;
    return loss;
}

TEST(Quarantine, RefusesWhatIsNoReport) {
    for (const char* text :
         {"", "7", "{}", R"({"schema":1})", R"({"schema":"antipode.status/1"})"}) {
        EXPECT_THROW(complete_report(text, {}), Error) << text;
    }
}

TEST(Quarantine, ItsManifestIsTheFinalReportAndComesLast) {
    const test::TemporaryDirectory temporary;
    const auto directory = temporary / "promote-1";
    Quarantine quarantine(directory);
    auto stream = quarantine.create("blobs/uploads/a/b");
    stream << "as it was";
    close(stream, "b");
    quarantine.add(file("a/b", Loss::Kind::Quarantined));
    quarantine.add(file("c", Loss::Kind::Undone));
    EXPECT_FALSE(std::filesystem::exists(Quarantine::manifest_of(directory)));
    const json report =
        json::parse(quarantine.finish(preliminary(), "london", from_microseconds(9)));
    EXPECT_EQ(report, json::parse(test::read_file(Quarantine::manifest_of(directory))));
    EXPECT_EQ(test::read_file(directory / "blobs/uploads/a/b"), "as it was");
    EXPECT_EQ(report["state"], "final");
    EXPECT_EQ(report["known_lost"], 2);
    EXPECT_EQ(report["lost"]["files"], 1);
    EXPECT_EQ(report["lost"]["undone_removals"], 1);
    EXPECT_EQ(report["operation"], "promote-1");
    EXPECT_EQ(report["preliminary"]["known_lost"], 2);
    EXPECT_TRUE(report["rejoined_at_us"].is_null());
    EXPECT_EQ(json::parse(rejoined_report(report.dump(), from_microseconds(10)))["rejoined_at_us"],
              10);
}

TEST(Quarantine, IsMadeAnewFromNothing) {
    const test::TemporaryDirectory temporary;
    const auto directory = temporary / "promote-1";
    std::string first;
    {
        Quarantine quarantine(directory);
        auto stream = quarantine.create("blobs/uploads/old");
        close(stream, "old");
        quarantine.add(file("old", Loss::Kind::Quarantined));
        first = quarantine.finish(preliminary(), "london", from_microseconds(9));
    }
    Quarantine quarantine(directory);
    EXPECT_FALSE(std::filesystem::exists(directory / "blobs"));
    EXPECT_FALSE(std::filesystem::exists(Quarantine::manifest_of(directory)))
        << "a half made one looks whole";
    const json second = json::parse(quarantine.finish(first, "london", from_microseconds(11)));
    EXPECT_EQ(second["known_lost"], 0);
    EXPECT_EQ(second["preliminary"]["known_lost"], 2) << "what was known before is forgotten";
}

/// One that was whole, and is made anew.
class Aside : public testing::Test {
  protected:
    static Loss transaction(Loss::Kind kind) {
        Loss loss;
        loss.kind = kind;
        loss.store = {StoreKind::Database, "app"};
        loss.item = "xid 7 at 0/7";
        return loss;
    }
    /// With the file, unless `content` is empty.
    void make(const std::string& content, const std::vector<Loss>& more = {}, bool ends = true) {
        Quarantine quarantine(directory_);
        if (!content.empty()) {
            quarantine.keep("blobs/uploads/a", 0, [&](std::ostream& out) { out << content; });
            quarantine.add(file("a", Loss::Kind::Quarantined));
        }
        for (const Loss& loss : more) {
            quarantine.add(loss);
        }
        if (ends) {
            quarantine.finish(preliminary(), "london", from_microseconds(9));
        }
    }
    std::filesystem::path before(int number) const {
        return directory_.string() + ".before-" + std::to_string(number);
    }
    std::ptrdiff_t directories() const {
        return std::distance(std::filesystem::directory_iterator(temporary_.path()), {});
    }

    const test::TemporaryDirectory temporary_;
    const std::filesystem::path directory_ = temporary_ / "promote-1";
    const Loss unreadable_ = file("a", Loss::Kind::Unreadable);
};

TEST_F(Aside, IsThereUntilAllOfItIsKeptAgain) {
    make("as it was");
    EXPECT_EQ(directories(), 1);
    make("", {unreadable_}, false);  // it dies
    make("", {unreadable_});
    EXPECT_EQ(test::read_file(before(1) / "blobs/uploads/a"), "as it was");
    EXPECT_TRUE(std::filesystem::exists(Quarantine::manifest_of(before(1))));
    make("", {unreadable_});
    EXPECT_EQ(test::read_file(before(1) / "blobs/uploads/a"), "as it was");
    EXPECT_EQ(directories(), 2) << "what holds nothing more is left";
    make("as it was", {unreadable_});
    EXPECT_EQ(test::read_file(directory_ / "blobs/uploads/a"), "as it was");
    EXPECT_EQ(directories(), 1);
}

TEST_F(Aside, IsThereWhenWhatItKeepsIsGoneAndNobodyHadIt) {
    make("as it was");
    make("");
    EXPECT_EQ(test::read_file(before(1) / "blobs/uploads/a"), "as it was");
}

TEST_F(Aside, IsThereWhenItAloneHasATransaction) {
    make("", {transaction(Loss::Kind::Quarantined)});
    make("", {transaction(Loss::Kind::LetGo)});
    EXPECT_TRUE(std::filesystem::exists(Quarantine::manifest_of(before(1))));
    make("", {transaction(Loss::Kind::Quarantined)});
    EXPECT_EQ(directories(), 1);
}

TEST_F(Aside, IsThereWhenAFileIsNotWhatItWas) {
    make("as it was");
    make("as it is!");
    EXPECT_EQ(test::read_file(before(1) / "blobs/uploads/a"), "as it was");
    make("as it is! more");
    EXPECT_EQ(test::read_file(before(1) / "blobs/uploads/a"), "as it was");
    EXPECT_EQ(directories(), 2) << "a file that was only written on is there twice";
}

TEST_F(Aside, IsThereWhenItsLossesCannotBeRead) {
    make("as it was");
    std::filesystem::remove(directory_ / "losses.jsonl");
    make("as it was");
    EXPECT_EQ(test::read_file(before(1) / "blobs/uploads/a"), "as it was");
}

TEST_F(Aside, IsDeletedToItsEndAfterACrash) {
    make("as it was");
    std::filesystem::rename(directory_, before(2));
    std::filesystem::remove(Quarantine::manifest_of(before(2)));
    std::filesystem::remove(before(2) / "losses.jsonl");
    make("");
    EXPECT_EQ(directories(), 1);
}

TEST(Quarantine, RefusesWhatIsNoLossReport) {
    EXPECT_THROW(complete_report("{}", {}), Error);
    EXPECT_THROW(complete_report("<html>", {}), Error);
}

TEST(Quarantine, ItsBundlesAreGits) {
    const test::TemporaryDirectory temporary;
    const std::string source = (temporary / "source").string();
    const auto git = [&](std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), {"git", "-C", source, "-c", "user.name=Test", "-c",
                                             "user.email=test@example.org"});
        std::string said = test::must_run(arguments);
        said.erase(said.find_last_not_of('\n') + 1);
        return said;
    };
    test::must_run({"git", "init", "-q", "-b", "main", source});
    git({"commit", "-q", "--allow-empty", "-m", "both have it"});
    const std::string before = git({"rev-parse", "HEAD"});
    test::must_run({"git", "clone", "-q", "--bare", source, (temporary / "mirror").string()});
    git({"commit", "-q", "--allow-empty", "-m", "lost"});
    const std::string lost = git({"rev-parse", "HEAD"});
    const std::string pack =
        test::run({"git", "-C", source, "pack-objects", "-q", "--stdout", "--revs", "--thin"},
                  lost + "\n^" + before + "\n")
            .output;
    v1::RefUpdate update;
    update.set_object_format("sha1");
    update.add_refs()->set_name("refs/heads/main");
    update.mutable_refs(0)->set_new_oid(*from_hex(lost));
    update.add_refs()->set_name("refs/heads/deleted");
    std::ofstream out(temporary / "lost.bundle", std::ios::binary);
    write_bundle(out, update, {*from_hex(before)}, [&](const auto& use) { use(pack); });
    out.close();
    test::must_run({"git", "-C", (temporary / "mirror").string(), "fetch", "-q",
                    (temporary / "lost.bundle").string(), "refs/heads/main:refs/heads/found"});
    EXPECT_THAT(
        test::must_run({"git", "-C", (temporary / "mirror").string(), "rev-parse", "found"}),
        testing::HasSubstr(lost));
}

}  // namespace
}  // namespace antipode::failover
