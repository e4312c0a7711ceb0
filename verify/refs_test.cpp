#include "verify/refs.hpp"

#include <gtest/gtest.h>

namespace antipode::verify {
namespace {

RepositoryRefs example() {
    const std::string oid = *from_hex("95d09f2b10159347eece71399a7e2e907ea3df4f");
    return {"sha1",
            {{"HEAD", RefValue::symbolic("refs/heads/main")},
             {"refs/heads/main", RefValue::direct(oid)},
             {"refs/tags/v1", RefValue::direct(std::string(20, '\x11'))}}};
}

// The worked example of docs/PROTOCOL.md; `printf '...' | sha256sum` gives the same.
TEST(RefsDigest, WorkedExample) {
    EXPECT_EQ(canonical_refs(example()),
              "refs-1 sha1\n"
              "HEAD ref:refs/heads/main\n"
              "refs/heads/main 95d09f2b10159347eece71399a7e2e907ea3df4f\n"
              "refs/tags/v1 1111111111111111111111111111111111111111\n");
    EXPECT_EQ(refs_digest(example()).to_string(),
              "refs-1:97ca8aba3a7ed6165751950cc88cb59973a92aab4a252ae4abd055bdf6ee79d8");
}

TEST(RefsDigest, SeesEveryDifference) {
    const Digest digest = refs_digest(example());
    RepositoryRefs changed = example();
    changed.refs["HEAD"] = RefValue::symbolic("refs/heads/other");
    EXPECT_NE(refs_digest(changed), digest);
    changed = example();
    changed.refs["HEAD"] = changed.refs["refs/heads/main"];
    EXPECT_NE(refs_digest(changed), digest);
    changed = example();
    changed.refs.erase("refs/tags/v1");
    EXPECT_NE(refs_digest(changed), digest);
    changed = example();
    changed.object_format = "sha256";
    EXPECT_NE(refs_digest(changed), digest);
}

TEST(CanonicalRefs, ComeBackAsTheyWere) {
    EXPECT_EQ(parse_canonical_refs(canonical_refs(example())), example());
    const RepositoryRefs unborn{"sha256", {{"HEAD", RefValue::symbolic("refs/heads/main")}}};
    EXPECT_EQ(parse_canonical_refs(canonical_refs(unborn)), unborn);
}

TEST(CanonicalRefs, RefuseEveryOtherText) {
    const std::string good = canonical_refs(example());
    for (size_t length = 0; length < good.size(); ++length) {
        const auto parsed = parse_canonical_refs(std::string_view(good).substr(0, length));
        EXPECT_TRUE(!parsed || canonical_refs(*parsed) == good.substr(0, length)) << length;
    }
    for (const char* bad :
         {"", "refs-2 sha1\n", "refs-1 md5\n", "refs-1 sha1\nHEAD 12\n", "refs-1 sha1\nHEAD ref:\n",
          "refs-1 sha1\nHEAD\n", "refs-1 sha1\nrefs/b ref:x\nrefs/a ref:x\n",
          "refs-1 sha1\nHEAD 95D09F2B10159347EECE71399A7E2E907EA3DF4F\n"}) {
        EXPECT_FALSE(parse_canonical_refs(bad)) << bad;
    }
}

}  // namespace
}  // namespace antipode::verify
