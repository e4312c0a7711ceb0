#include "apps/antipoded/check_rows.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace antipode {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json status_with(const json& store) {
    return {{"site", "sydney"}, {"stores", {store}}};
}
json database(uint64_t differing, uint64_t undecided) {
    const std::string reason = differing > 0 ? "public.items differs from the primary's" : "";
    return {{"store", "database/app"},
            {"check",
             {{"finished_us", 7},
              {"differing", differing},
              {"undecided", undecided},
              {"reason", reason},
              {"next_step", differing > 0 ? "antipode database check --mend" : ""}}}};
}

TEST(CheckRows, SayWhatIsWrongWithADatabase) {
    const json equal = check_rows(status_with(database(0, 0)))[0];
    EXPECT_EQ(equal["store"], "database/app");
    EXPECT_EQ(equal["checked_us"], 7);
    EXPECT_EQ(equal["what"], "");
    const json differs = check_rows(status_with(database(1, 2)))[0];
    EXPECT_EQ(differs["what"], "public.items differs from the primary's");
    EXPECT_EQ(differs["next_step"], "antipode database check --mend");
    EXPECT_EQ(differs["differing"], 1);
    const json busy = check_rows(status_with(database(0, 2)))[0];
    EXPECT_THAT(busy["what"].get<std::string>(), HasSubstr("2 tables could not be compared"));
}

TEST(CheckRows, SayWhatIsWrongWithFiles) {
    json files = {{"store", "blobs/uploads"},
                  {"content_check",
                   {{"oldest_us", 5}, {"differed", 3}, {"extras", nullptr}, {"first_extra", ""}}},
                  {"inventory", {{"equal_us", 6}, {"differed", 1}, {"undecided", 0}}}};
    json row = check_rows(status_with(files))[0];
    EXPECT_EQ(row["checked_us"], 5);
    EXPECT_EQ(row["equal_us"], 6);
    EXPECT_EQ(row["differed"], 3);
    EXPECT_EQ(row["differing"], 1);
    EXPECT_EQ(row["extras"], nullptr) << "nobody has looked: not 0";
    EXPECT_EQ(row["what"], "");
    files["content_check"]["extras"] = 2;
    files["content_check"]["first_extra"] = "x";
    row = check_rows(status_with(files))[0];
    EXPECT_EQ(row["what"], "2 things are there that were never applied, the first x");
    EXPECT_EQ(row["next_step"], "antipode verify blobs/uploads --site sydney");
    files["content_check"]["extras"] = 1;
    row = check_rows(status_with(files))[0];
    EXPECT_EQ(row["what"], "1 thing is there that was never applied, x");
    EXPECT_EQ(row["next_step"], "antipode resync --store blobs/uploads --site sydney x");
    for (const char* name : {"-x", "a b", "$(x)", "a\\xff", ""}) {
        files["content_check"]["first_extra"] = name;
        EXPECT_EQ(check_rows(status_with(files))[0]["next_step"],
                  "antipode verify blobs/uploads --site sydney")
            << name;
    }
    EXPECT_TRUE(check_rows(status_with({{"store", "blobs/other"}})).empty());
}

std::vector<v1::SiteReport> report_of(const json& store) {
    v1::SiteReport report;
    report.set_site("sydney");
    report.set_role("secondary");
    report.set_status_json(json({{"checks", check_rows(status_with(store))}}).dump());
    return {report};
}

TEST(CheckNews, TellsEachResultOnce) {
    CheckNews news;
    EXPECT_TRUE(news.hear(report_of(database(0, 0))).empty()) << "it may be old";
    EXPECT_TRUE(news.hear(report_of(database(0, 0))).empty());
    const auto found = news.hear(report_of(database(1, 0)));
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].store.to_string(), "database/app");
    EXPECT_EQ(found[0].text, "sydney: public.items differs from the primary's");
    EXPECT_TRUE(news.hear(report_of(database(1, 0))).empty());
    json later = database(0, 0);
    later["check"]["finished_us"] = 9;
    const auto mended = news.hear(report_of(later));
    ASSERT_EQ(mended.size(), 1u);
    EXPECT_EQ(mended[0].text, "sydney: equal to the primary's");
    later["check"]["finished_us"] = 12;
    EXPECT_EQ(news.hear(report_of(later)).size(), 1u) << "it was compared once more";
}

TEST(CheckNews, PassesOverWhatItDoesNotUnderstand) {
    CheckNews news;
    for (const char* text :
         {"", "3", "{}", R"({"checks":null})", R"({"checks":[{"store":"x"}]})",
          R"({"checks":[3,{"store":null},{"store":"database/app","what":null}]})"}) {
        v1::SiteReport report;
        report.set_site("sydney");
        report.set_role("secondary");
        report.set_status_json(text);
        EXPECT_TRUE(news.hear({report}).empty()) << text;
    }
}

}  // namespace
}  // namespace antipode
