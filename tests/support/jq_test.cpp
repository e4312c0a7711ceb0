#include "tests/support/jq.hpp"

#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/process.hpp"

namespace antipode::test {
namespace {

TEST(JqTest, SaysWhatTheProgramPrints) {
    const std::string document =
        R"({"a": [1, 2.5, null], "text": "one\ntwo \"\u00fc\"", "flag": false, "big": 12345678901,)"
        R"( "nested": {"a": []}})";
    for (const std::string filter :
         {".a", ".a[]", ".a | length", ".text", ".flag", ".big", ".missing", "[.a[] | . // 0]",
          R"x("\(.big) \(.flag)")x", "{text}", "keys", ".a | @json"}) {
        EXPECT_EQ(jq(filter, document), must_run({"jq", "-r", filter}, document)) << filter;
    }
}

TEST(JqTest, TakesSeveralDocuments) {
    const std::string documents = "{\"a\": 1}\n{\"a\": 2}\n{\"a\": 3}\n";
    for (const std::string filter : {".a", "[., inputs] | last | .a", "[.a, input.a]"}) {
        const CommandResult program = run({"jq", "-r", filter}, documents);
        const auto printed = jq(filter, documents);
        EXPECT_EQ(printed.has_value(), program.status == 0) << filter;
        if (program.status == 0) {
            EXPECT_EQ(*printed + "\n", program.output) << filter;
        }
    }
    EXPECT_EQ(jq(".a", documents + "{"), std::nullopt);
}

TEST(JqTest, SaysNothingWhereTheProgramPrintsNothingOrFails) {
    EXPECT_EQ(jq("empty", "{}"), std::nullopt);
    EXPECT_EQ(jq(".[]", "[]"), std::nullopt);
    EXPECT_EQ(jq(".a.b", R"({"a": 1})"), std::nullopt);
    EXPECT_EQ(jq(".", "no document"), std::nullopt);
    EXPECT_EQ(jq(".", ""), std::nullopt);
    EXPECT_EQ(jq(".a", R"({"a": 1})"), "1") << "after all these";
    EXPECT_THROW(jq(".[", "{}"), std::invalid_argument);
}

TEST(JqTest, FalseAndNullAreNothingWhereTheTruthIsAskedFor) {
    const std::string document = R"({"a": [1, null], "flag": false, "on": true})";
    for (const std::string filter :
         {".a", ".a[]", ".a | reverse | .[]", ".flag", ".on", ".flag | tostring", "empty"}) {
        const CommandResult program = run({"jq", "-er", filter}, document);
        EXPECT_EQ(jq_if_true(filter, document).has_value(), program.status == 0) << filter;
        if (program.status == 0) {
            EXPECT_EQ(*jq_if_true(filter, document) + "\n", program.output) << filter;
        }
    }
}

TEST(JqTest, ThreadsAreIndependent) {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([i] {
            for (int n = 0; n < 500; ++n) {
                const std::string number = std::to_string(i * 1000 + n);
                const std::string filter = ".a + " + std::to_string(n % 5);
                EXPECT_EQ(jq(filter, "{\"a\": " + number + "}"),
                          std::to_string(i * 1000 + n + n % 5));
            }
        });
    }
}

}  // namespace
}  // namespace antipode::test
