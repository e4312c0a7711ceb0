// What somebody puts on a secondary by hand is noticed at once; what the daemon itself changes is
// not read again. (corruption_test: whatever is damaged is mended.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

namespace fs = std::filesystem;

class MirrorWatch : public testing::Test {
  protected:
    std::string content_check(const std::string& store, const std::string& what) const {
        return sites_.sydney
            .status(".stores[] | select(.store == \"" + store + "\") | .content_check" + what)
            .value_or("?");
    }
    bool is_watched() const {
        return eventually([&] {
            return content_check("blobs/uploads", " | .watch_problem == \"\"") == "true" &&
                   content_check("repositories/git", " | .watch_problem == \"\"") == "true";
        });
    }
    std::string named() const { return read_file(sites_.sydney.directory / "antipoded.log"); }

    TwoSites sites_;
};

TEST_F(MirrorWatch, WhatIsPutThereIsNamedUntilItIsGone) {
    write_file(sites_.london.files_root / "one", "1");
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    ASSERT_TRUE(is_watched()) << sites_.describe();
    write_file(sites_.sydney.files_root / "stray", "put here by hand");
    EXPECT_TRUE(eventually([&] {
        return content_check("blobs/uploads", ".first_extra") == "stray";
    })) << sites_.describe();
    fs::remove(sites_.sydney.files_root / "stray");
    EXPECT_TRUE(eventually([&] { return content_check("blobs/uploads", ".extras") == "0"; }))
        << sites_.describe();
}

TEST_F(MirrorWatch, WhatIsAppliedIsNotReadAgain) {
    ASSERT_TRUE(is_watched()) << sites_.describe();
    Application application(sites_.london);
    for (int i = 0; i < 30; ++i) {
        application.write();
        write_file(sites_.london.files_root / "the same one", std::to_string(i));
    }
    ASSERT_TRUE(sites_.caught_up()) << sites_.describe();
    sites_.expect_equal();
    // Whatever was noticed has been judged when what came later is.
    write_file(sites_.sydney.files_root / "stray", "put here by hand");
    EXPECT_TRUE(eventually([&] {
        return content_check("blobs/uploads", ".first_extra") == "stray";
    })) << sites_.describe();
    EXPECT_EQ(content_check("blobs/uploads", ".looked"), "0") << named();
    EXPECT_EQ(content_check("repositories/git", ".looked"), "0") << named();
}

}  // namespace
}  // namespace antipode::test
