// Two sites of which one or both keep their files in a bucket.
#include <fstream>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/digest.hpp"
#include "tests/end_to_end/site.hpp"
#include "tests/support/s3_server.hpp"

namespace antipode::test {
namespace {

namespace fs = std::filesystem;

using Tree = std::map<std::string, std::string>;  // path: "sha256 size"

std::string random_bytes(size_t size, unsigned seed) {
    std::mt19937_64 random(seed);
    std::string bytes(size, '\0');
    for (char& c : bytes) {
        c = static_cast<char>(random());
    }
    return bytes;
}

std::string digest_line(const std::string& bytes) {
    return to_hex(sha256(bytes)) + " " + std::to_string(bytes.size());
}

/// What is below a root, looked at by find and sha256sum.
Tree files_below(const fs::path& root) {
    Tree tree;
    const std::string list = must_run(
        {"sh", "-c",
         "find . -name .antipode -prune -o -type f -printf '%P\\n' | while IFS= read -r f; do "
         "printf '%s\\t%s %s\\n' \"$f\" \"$(sha256sum <\"$f\" | cut -d' ' -f1)\" "
         "\"$(stat -c %s \"$f\")\"; done"},
        {}, {.log = {}, .directory = root, .environment = {}});
    std::istringstream lines(list);
    for (std::string line; std::getline(lines, line);) {
        tree[line.substr(0, line.find('\t'))] = line.substr(line.find('\t') + 1);
    }
    return tree;
}

/// Where a site's store "lfs" is: a directory, or a bucket below a prefix.
struct Place {
    bool is_bucket = false;
    std::string prefix;
};

/// London is the primary. Faults come from one server, in which each site has its own prefix.
class S3Sites : public testing::Test {
  protected:
    void begin(Place london_place, Place sydney_place, const std::string& more = {}) {
        places = {{"london", std::move(london_place)}, {"sydney", std::move(sydney_place)}};
        for (Site* site : {&london, &sydney}) {
            site->configure({&london, &sydney},
                            store_of(*site) + more + "[tuning]\nreconcile_interval = \"1s\"\n");
        }
        london.sql("CREATE TABLE t (id int PRIMARY KEY)");
        for (const auto& command : std::vector<std::vector<std::string>>{
                 {"sites", "init", "--primary", "london"}, {"database", "setup"}}) {
            ASSERT_EQ(london.antipode(command).status, 0);
        }
        london.start();
        sydney.start();
    }
    std::string store_of(const Site& site) {
        const Place& place = places.at(site.name);
        if (place.is_bucket) {
            return bucket_store(server, "lfs", place.prefix);
        }
        fs::create_directories(site.directory / "lfs");
        return "[[blobs]]\nname = \"lfs\"\nroot = \"" + (site.directory / "lfs").string() + "\"\n";
    }

    Tree tree_of(const Site& site) {
        const Place& place = places.at(site.name);
        if (!place.is_bucket) {
            return files_below(site.directory / "lfs");
        }
        Tree tree;
        for (const auto& [key, line] : server.objects()) {
            if (key.starts_with(place.prefix)) {
                tree[key.substr(place.prefix.size())] = line;
            }
        }
        return tree;
    }
    void put(const std::string& name, const std::string& bytes) {
        const Place& place = places.at("london");
        if (place.is_bucket) {
            server.put(place.prefix + name, bytes);
        } else {
            // At once: half a file is a version, too.
            const fs::path file = london.directory / "lfs" / name;
            fs::create_directories(file.parent_path());
            write_file(london.directory / "new", bytes);
            fs::rename(london.directory / "new", file);
        }
    }
    void remove(const std::string& name) {
        const Place& place = places.at("london");
        if (place.is_bucket) {
            server.remove(place.prefix + name);
        } else {
            fs::remove(london.directory / "lfs" / name);
        }
    }
    bool becomes(const Tree& wanted) {
        return eventually([&] { return tree_of(sydney) == wanted; }, std::chrono::seconds(60));
    }
    std::string describe() {
        std::string text;
        for (Site* site : {&london, &sydney}) {
            text +=
                site->antipode({"status"}).output + read_file(site->directory / "antipoded.log");
        }
        return text;
    }

    /// Every kind of change, small and large, with faults on.
    void mirror_everything() {
        const std::string large = random_bytes(70'000'000, 1);
        put("a", "1");
        put("d/e/f g+\xc3\xa9", "2");
        put("empty", "");
        put("middle", random_bytes(2'000'000, 2));
        Tree wanted = {{"a", digest_line("1")},
                       {"d/e/f g+\xc3\xa9", digest_line("2")},
                       {"empty", digest_line("")},
                       {"middle", digest_line(random_bytes(2'000'000, 2))}};
        ASSERT_TRUE(becomes(wanted)) << describe();
        for (const char* fault :
             {R"({"kind": "503", "count": 3})", R"({"kind": "reset", "count": 2, "skip": 3})",
              R"({"kind": "cut", "method": "GET", "match": "large", "after": 100000, "count": 2})",
              R"({"kind": "500-after", "method": "PUT", "count": 2})",
              R"({"kind": "500-after", "method": "POST"})",
              R"({"kind": "500-after", "method": "DELETE"})"}) {
            server.add_fault(fault);
        }
        put("large", large);
        put("a", "another");
        remove("d/e/f g+\xc3\xa9");
        wanted["large"] = digest_line(large);
        wanted["a"] = digest_line("another");
        wanted.erase("d/e/f g+\xc3\xa9");
        ASSERT_TRUE(becomes(wanted)) << describe();
        EXPECT_EQ(server.uploads(), std::pair(0, 0));
        EXPECT_EQ(london.antipode({"status"}).output.find("??"), std::string::npos);
        EXPECT_EQ(tree_of(london), wanted);
        for (const Site* site : {&london, &sydney}) {
            EXPECT_EQ(read_file(site->directory / "antipoded.log").find("EXAMPLEKEY"),
                      std::string::npos);
        }
    }

    TemporaryDirectory temporary;
    S3Server server{temporary / "s3", {.page = 2}};
    Site london{temporary.path(), "london"};
    Site sydney{temporary.path(), "sydney"};
    std::map<std::string, Place> places;
};

TEST_F(S3Sites, ABucketIsMirroredToFiles) {
    begin({true, "london/"}, {});
    mirror_everything();
}

TEST_F(S3Sites, FilesAreMirroredToABucket) {
    begin({}, {true, ""});
    mirror_everything();
    fs::permissions(london.directory / "lfs/a", fs::perms(0640));
    EXPECT_TRUE(eventually([&] {
        return server.object(R"(.a.metadata["antipode-mode"])") == "640";
    })) << describe();
    EXPECT_EQ(server.objects().at("a"), digest_line("another"));
}

TEST_F(S3Sites, ABucketIsMirroredToABucket) {
    begin({true, "london/"}, {true, "sydney/"});
    mirror_everything();
}

TEST_F(S3Sites, AKilledUploadLeavesNothing) {
    begin({}, {true, ""});
    put("before", "1");
    ASSERT_TRUE(becomes({{"before", digest_line("1")}})) << describe();
    const std::string large = random_bytes(70'000'000, 3);
    server.set_hold(true);
    server.add_fault(R"({"kind": "hold", "method": "PUT", "match": "partNumber=4"})");
    put("large", large);
    ASSERT_TRUE(
        eventually([&] { return server.uploads() == std::pair(1, 3); }, std::chrono::seconds(60)))
        << describe();
    sydney.kill();
    EXPECT_EQ(server.uploads().first, 1);
    EXPECT_FALSE(server.objects().contains("large"));
    server.set_hold(false);
    sydney.start();
    ASSERT_TRUE(becomes({{"before", digest_line("1")}, {"large", digest_line(large)}}))
        << describe();
    EXPECT_EQ(server.uploads(), std::pair(0, 0));
}

TEST_F(S3Sites, ABucketThatIsGoneOrEmptyIsNoMassDeletion) {
    begin({true, "london/"}, {});
    Tree wanted;
    for (const char name : std::string("abcdefghijkl")) {
        put({name}, {name});
        wanted[{name}] = digest_line({name});
    }
    ASSERT_TRUE(becomes(wanted)) << describe();
    const auto is_told = [&](const std::string& what) {
        return eventually([&] {
            return london.status(".stores[] | select(.store == \"blobs/lfs\") | .reason")
                       .value_or("")
                       .find(what) != std::string::npos;
        });
    };
    server.set_exists(false);
    EXPECT_TRUE(is_told("NoSuchBucket")) << describe();
    server.set_exists(true);
    server.remove_all();
    EXPECT_TRUE(is_told("12 deletions are held")) << describe();
    EXPECT_EQ(tree_of(sydney), wanted);
    ASSERT_EQ(london.antipode({"deletions", "release", "blobs/lfs", "--yes"}).status, 0);
    EXPECT_TRUE(becomes({})) << describe();
}

TEST_F(S3Sites, ANotificationIsFasterThanComparing) {
    begin({true, "london/"}, {}, "");
    put("a", "1");
    ASSERT_TRUE(becomes({{"a", digest_line("1")}})) << describe();
    // Now so rarely that only a notification can tell.
    london.kill();
    london.configure({&london, &sydney},
                     store_of(london) + "[tuning]\nreconcile_interval = \"1h\"\n");
    london.start();
    ASSERT_TRUE(eventually([&] {
        return london.status(".stores[] | select(.store == \"blobs/lfs\") | .captured_through_us")
            .has_value();
    })) << describe();
    server.set_webhook("http://127.0.0.1:" + london.http_port() + "/v1/notify/blobs/lfs", "");
    put("b c", "2");
    put("a", "another");
    EXPECT_TRUE(becomes({{"a", digest_line("another")}, {"b c", digest_line("2")}})) << describe();
    remove("a");
    EXPECT_TRUE(becomes({{"b c", digest_line("2")}})) << describe();
    EXPECT_NE(london.status(".stores[] | select(.store == \"blobs/lfs\") | .reason")
                  .value_or("")
                  .find("only comparing it"),
              std::string::npos);
    const CommandResult doctor = london.antipode({"doctor"});
    EXPECT_NE(doctor.output.find("the bucket lfs at " + server.endpoint() + " can be listed"),
              std::string::npos)
        << doctor.output;
}

TEST_F(S3Sites, WhatIsDamagedInABucketIsFoundAndBroughtAgain) {
    begin({}, {true, "sydney/"});
    put("a", "1");
    put("d/b", "2");
    put("d/c", "3");
    const Tree wanted = {
        {"a", digest_line("1")}, {"d/b", digest_line("2")}, {"d/c", digest_line("3")}};
    ASSERT_TRUE(becomes(wanted)) << describe();
    ASSERT_EQ(sydney.antipode({"verify", "blobs/lfs"}).status, 0) << describe();
    server.put("sydney/a", "x");
    server.remove("sydney/d/b");
    server.put("sydney/theirs", "x");
    const CommandResult found = sydney.antipode({"verify", "blobs/lfs"});
    EXPECT_NE(found.status, 0) << found.output;
    EXPECT_THAT(found.output + found.error + read_file(sydney.directory / "antipoded.log"),
                testing::AllOf(testing::HasSubstr("its content here is blob-1:"),
                               testing::HasSubstr("it is missing here")));
    // Nothing but a captured removal deletes.
    Tree with_theirs = wanted;
    with_theirs["theirs"] = digest_line("x");
    EXPECT_TRUE(becomes(with_theirs)) << describe();
}

TEST_F(S3Sites, AStopDoesNotWaitForABucketThatHangs) {
    begin({true, "london/"}, {true, "sydney/"});
    put("a", "1");
    ASSERT_TRUE(becomes({{"a", digest_line("1")}})) << describe();
    server.set_hold(true);
    server.add_fault(R"({"kind": "hold", "count": 1000})");
    put("b", "2");
    ASSERT_TRUE(eventually([&] { return server.held() >= 1; }));
    for (Site* site : {&london, &sydney}) {
        EXPECT_EQ(site->daemon().stop(std::chrono::seconds(5)), 0)
            << read_file(site->directory / "antipoded.log");
    }
}

TEST_F(S3Sites, SitesWithBucketsTakeEachOthersPlace) {
    begin({true, "london/"}, {true, "sydney/"},
          "[failover]\nfence_command = [\"/bin/true\"]\nwrite_check_command = [\"/bin/false\"]\n");
    Tree wanted;
    for (int i = 0; i < 20; ++i) {
        const std::string number = std::to_string(i);
        put("d/" + number, number);
        wanted["d/" + number] = digest_line(number);
    }
    ASSERT_TRUE(becomes(wanted)) << describe();
    CommandResult last = sydney.antipode({"database", "setup"});
    ASSERT_EQ(last.status, 0) << last.error;
    ASSERT_TRUE(eventually([&] {
        return sydney.status(".recovery_point_us").has_value() &&
               (last = london.antipode({"switchover", "--to", "sydney", "--yes"})).status == 0;
    })) << last.output
        << last.error << describe();
    ASSERT_TRUE(eventually([&] { return london.status(".role") == "secondary"; })) << describe();
    server.put("sydney/new", "x");
    server.remove("sydney/d/7");
    wanted["new"] = digest_line("x");
    wanted.erase("d/7");
    EXPECT_TRUE(eventually([&] { return tree_of(london) == wanted; }, std::chrono::seconds(60)))
        << describe();
}

}  // namespace
}  // namespace antipode::test
