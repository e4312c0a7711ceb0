#include "base/refs.hpp"

#include <gtest/gtest.h>

namespace antipode {
namespace {

TEST(RefNames, AcceptWhatGitAccepts) {
    for (const char* name : {"HEAD", "refs/heads/main", "refs/stash", "refs/heads/a@b",
                             "refs/heads/@", "refs/heads/-x", "refs/heads/\xc3\xbc",
                             "refs/heads/lock", "refs/heads/x.locked", "refs/heads/{x}"}) {
        EXPECT_TRUE(is_valid_ref_name(name)) << name;
    }
}

TEST(RefNames, RefuseWhatCouldLeaveTheRefs) {
    for (const char* name : {"",
                             "refs",
                             "refs/",
                             "refs/../config",
                             "refs/heads/../../config",
                             "config",
                             "/refs/heads/x",
                             "refs//x",
                             "refs/heads/.x",
                             "refs/heads/x.lock",
                             "refs/heads/x.lock/y",
                             "refs/heads/x.",
                             "refs/heads/x/",
                             "refs/heads/a b",
                             "refs/heads/a\nb",
                             "refs/heads/a~b",
                             "refs/heads/a^b",
                             "refs/heads/a:b",
                             "refs/heads/a?b",
                             "refs/heads/a*b",
                             "refs/heads/a[b",
                             "refs/heads/a\\b",
                             "refs/heads/a@{b",
                             "refs/heads/a\x7f",
                             "FETCH_HEAD",
                             "head"}) {
        EXPECT_FALSE(is_valid_ref_name(name)) << name;
    }
    EXPECT_FALSE(is_valid_ref_name(std::string("refs/heads/a\0b", 14)));
    EXPECT_FALSE(is_valid_ref_name("refs/heads/" + std::string(251, 'x')));
}

TEST(RefDifference, NamesAddedChangedAndDeletedRefsInOrder) {
    const RefMap before{{"HEAD", RefValue::symbolic("refs/heads/main")},
                        {"refs/heads/gone", RefValue::direct("1")},
                        {"refs/heads/main", RefValue::direct("1")},
                        {"refs/heads/same", RefValue::direct("1")}};
    const RefMap after{{"HEAD", RefValue::symbolic("refs/heads/main")},
                       {"refs/heads/main", RefValue::direct("2")},
                       {"refs/heads/same", RefValue::direct("1")},
                       {"refs/tags/new", RefValue::direct("3")}};
    const std::vector<RefChange> expected{
        {"refs/heads/gone", RefValue::direct("1"), {}},
        {"refs/heads/main", RefValue::direct("1"), RefValue::direct("2")},
        {"refs/tags/new", {}, RefValue::direct("3")}};
    EXPECT_EQ(difference(before, after), expected);
    EXPECT_TRUE(difference(after, after).empty());
}

}  // namespace
}  // namespace antipode
