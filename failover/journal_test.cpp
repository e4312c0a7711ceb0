#include "failover/journal.hpp"

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::failover {
namespace {

JournalEntry entry(State state, const std::string& operation = "switchover-1") {
    return {0, from_microseconds(7), 3, operation, state, "done", "a \"detail\"\nof two lines"};
}

TEST(Journal, GoesOnFromItsLastLine) {
    const test::TemporaryDirectory directory;
    const auto file = directory / "journal";
    EXPECT_FALSE(Journal(file).last());
    Journal(file).append(entry(State::Fencing));
    {
        Journal journal(file);
        journal.append(entry(State::Capturing));
    }
    const Journal again(file);
    ASSERT_TRUE(again.last());
    EXPECT_EQ(again.last()->number, 2U);
    EXPECT_EQ(again.last()->state, State::Capturing);
    EXPECT_EQ(again.last()->operation, "switchover-1");
    EXPECT_EQ(again.last()->epoch, 3U);
    EXPECT_EQ(again.last()->detail, "a \"detail\"\nof two lines");
    EXPECT_EQ(again.tail(1).front().number, 2U);
    EXPECT_EQ(again.tail(9).size(), 2U);
}

TEST(Journal, DropsALineThatACrashCutOffAnywhere) {
    const test::TemporaryDirectory directory;
    const auto file = directory / "journal";
    {
        Journal journal(file);
        journal.append(entry(State::Fencing));
    }
    const std::string one = test::read_file(file);
    {
        Journal journal(file);
        journal.append(entry(State::Capturing));
    }
    const std::string two = test::read_file(file);
    for (size_t size = one.size(); size < two.size(); ++size) {
        test::write_file(file, two.substr(0, size));
        EXPECT_EQ(Journal(file).last()->state, State::Fencing);
        EXPECT_EQ(test::read_file(file), one);
        Journal journal(file);
        journal.append(entry(State::RollingBack));
        EXPECT_EQ(Journal(file).last()->state, State::RollingBack);
    }
}

TEST(Journal, RefusesLinesThatWereChangedOrTakenOut) {
    const test::TemporaryDirectory directory;
    const auto file = directory / "journal";
    {
        Journal journal(file);
        for (int i = 0; i < 3; ++i) {
            journal.append(entry(State::Fencing));
        }
    }
    const std::string good = test::read_file(file);
    std::string changed = good;
    changed[changed.find("fencing")] = 'F';
    test::write_file(file, changed);
    EXPECT_THROW(Journal{file}, Error);
    const size_t first = good.find('\n') + 1;
    const size_t second = good.find('\n', first) + 1;
    test::write_file(file, good.substr(0, first) + good.substr(second));
    EXPECT_THROW(Journal{file}, Error);
    test::write_file(file, good);
    EXPECT_EQ(Journal(file).last()->number, 3U);
}

TEST(Journal, IsPutAsideWhenItIsLargeAndStaysChained) {
    const test::TemporaryDirectory directory;
    const auto file = directory / "journal";
    {
        Journal journal(file);
        JournalEntry large = entry(State::Fencing);
        large.detail = std::string(60'000, 'x');
        for (int i = 0; i < 20; ++i) {
            journal.append(large);
        }
        EXPECT_FALSE(std::filesystem::exists(file.string() + ".old"));
        journal.append(entry(State::Serving, "switchover-2"));
        EXPECT_TRUE(std::filesystem::exists(file.string() + ".old"));
    }
    {
        const Journal again(file);
        EXPECT_EQ(again.last()->number, 21U);
        EXPECT_EQ(again.last()->operation, "switchover-2");
    }
    // The process, or the power, went between the two.
    for (const bool begun : {false, true}) {
        std::filesystem::remove(file);
        if (begun) {
            test::write_file(file, "{\"number\":21,");
        }
        ASSERT_TRUE(Journal(file).last()) << "a site would not know where it stands";
        EXPECT_EQ(Journal(file).last()->number, 20U);
        Journal(file).append(entry(State::Serving, "switchover-2"));
        EXPECT_EQ(Journal(file).last()->number, 21U);
    }
}

TEST(Journal, DoesNotTakeAFileThatCannotBeReadForNone) {
    const test::TemporaryDirectory directory;
    const auto file = directory / "journal";
    std::filesystem::create_directory(file);
    EXPECT_THROW(Journal{file}, Error);
}

}  // namespace
}  // namespace antipode::failover
