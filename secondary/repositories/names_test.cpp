#include "secondary/repositories/names.hpp"

#include <gtest/gtest.h>

namespace antipode::secondary {
namespace {

TEST(RepositoryNames, AcceptUsualAndUnusualOnes) {
    for (const char* name : {"a", "a.git", "group/sub/a.git", "A.git", "..a", "a..", "a b.git",
                             "\xc3\xbc.git", "a\\b", "\xff.git", "refs/objects", ".hidden.git"}) {
        EXPECT_EQ(refuse_repository_name(name), "") << name;
    }
}

TEST(RepositoryNames, RefuseWhatCouldLeaveTheRootOrTrickAProgram) {
    for (const char* name : {"",
                             "/",
                             "/a",
                             "a/",
                             "a//b",
                             ".",
                             "..",
                             "../a",
                             "a/../b",
                             "a/..",
                             "./a",
                             "-a",
                             "a/-b",
                             ".antipode",
                             ".antipode/incoming/x",
                             "a/.antipode",
                             "a/.git",
                             "a\nb",
                             "a\x7f",
                             "\x01"}) {
        EXPECT_NE(refuse_repository_name(name), "") << name;
    }
    EXPECT_NE(refuse_repository_name(std::string("a\0b", 3)), "");
    EXPECT_NE(refuse_repository_name(std::string(256, 'a')), "");
    EXPECT_NE(refuse_repository_name(std::string(5000, 'a')), "");
}

v1::RefUpdate good() {
    v1::RefUpdate update;
    update.set_object_format("sha1");
    update.set_full(true);
    update.set_digest_after(std::string(32, 'd'));
    v1::Ref& ref = *update.add_refs();
    ref.set_name("refs/heads/main");
    ref.set_new_oid(std::string(20, 'o'));
    return update;
}

TEST(RefUpdates, AreRefusedWhenMalformed) {
    EXPECT_EQ(refuse_update(good()), "");
    const auto refused = [](const auto& change) {
        v1::RefUpdate update = good();
        change(update);
        return !refuse_update(update).empty();
    };
    EXPECT_TRUE(refused([](auto& update) { update.set_object_format("md5"); }));
    EXPECT_TRUE(refused([](auto& update) { update.set_object_format("sha256"); }));
    EXPECT_TRUE(refused([](auto& update) { update.set_full(false); }));
    EXPECT_TRUE(refused([](auto& update) { update.set_digest_after("short"); }));
    EXPECT_TRUE(refused([](auto& update) { *update.add_refs() = update.refs(0); }));
    EXPECT_TRUE(refused([](auto& u) { u.mutable_refs(0)->set_name("refs/../config"); }));
    EXPECT_TRUE(refused([](auto& u) { u.mutable_refs(0)->set_new_oid("short"); }));
    EXPECT_TRUE(refused([](auto& u) { u.mutable_refs(0)->set_new_oid(std::string(20, '\0')); }));
    EXPECT_TRUE(refused([](auto& u) { u.mutable_refs(0)->set_new_target("refs/heads/x"); }));
    EXPECT_TRUE(refused([](auto& u) { u.mutable_refs(0)->set_old_target("../x"); }));
    EXPECT_FALSE(refused([](auto& u) { u.mutable_base()->set_pull("hash"); }));
    EXPECT_TRUE(refused([](auto& u) { u.mutable_base()->set_inline_("bytes"); }));
    EXPECT_TRUE(refused([](auto& u) { u.mutable_base_index()->set_pull("hash"); }));
    EXPECT_FALSE(refused([](auto& u) {
        u.mutable_base()->set_pull("hash");
        u.mutable_base_index()->set_pull("hash");
    }));
    EXPECT_TRUE(refused([](auto& u) {
        u.mutable_base()->set_pull("hash");
        u.mutable_base_index()->set_inline_("bytes");
    }));
    EXPECT_TRUE(refused([](auto& u) {
        u.set_full(false);
        u.set_digest_before(std::string(32, 'b'));
        u.mutable_base()->set_pull("hash");
    }));
    EXPECT_TRUE(refused([](auto& u) {
        u.mutable_refs(0)->set_name("HEAD");
        u.mutable_refs(0)->clear_new_oid();
    }));
}

}  // namespace
}  // namespace antipode::secondary
