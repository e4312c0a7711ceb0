// docs/API.md against daemons that run: what it shows is what they answer, and all of it. With
// ANTIPODE_API_ANSWERS=DIRECTORY the answers are kept there, for whoever changes the page.
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/site.hpp"

namespace antipode::test {
namespace {

/// An example of the page: a line "GET /path", and behind it a block of JSON.
struct Example {
    std::string site;  ///< "primary" or "secondary"
    std::string path;
    std::string json;
};

std::vector<Example> examples() {
    std::ifstream page(std::string(ANTIPODE_SOURCE_DIR) + "/docs/API.md");
    std::vector<Example> all;
    bool inside = false;
    for (std::string line; std::getline(page, line);) {
        if (line.starts_with("Example, on a ")) {
            // Example, on a primary: `GET /v1/status`
            const size_t colon = line.find(':');
            const size_t get = line.find("`GET ");
            all.push_back({line.substr(14, colon - 14),
                           line.substr(get + 5, line.find('`', get + 1) - get - 5),
                           {}});
        } else if (line == "```json" && !all.empty()) {
            inside = true;
        } else if (line == "```") {
            inside = false;
        } else if (inside) {
            all.back().json += line + "\n";
        }
    }
    return all;
}

/// Each place at which a value may stand, lists' elements together, a line each.
std::vector<std::string> places(const std::string& json, const std::string& of = "paths") {
    const std::string filter = "[" + of +
                               R"x( | map(if type == "number" then "[]" else . end) |
        join(".")] | unique | .[])x";
    std::istringstream lines(
        must_run({"sh", "-c", R"(printf %s "$0" | jq -rs ".[0] | $1")", json, filter}));
    std::vector<std::string> found;
    for (std::string line; std::getline(lines, line);) {
        found.push_back(line);
    }
    return found;
}

TEST(Api, ThePageShowsWhatDaemonsAnswerAndAllOfIt) {
    TwoSites sites;
    Application application(sites.london);
    application.write();
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    const auto all = examples();
    ASSERT_GE(all.size(), 6u) << "where are the examples?";
    int number = 0;
    for (const Example& example : all) {
        const Site& site = example.site == "primary" ? sites.london : sites.sydney;
        SCOPED_TRACE(example.site + " " + example.path);
        const std::string answer =
            must_run({"curl", "-sSf", "http://127.0.0.1:" + site.http_port() + example.path});
        if (const char* const directory = std::getenv("ANTIPODE_API_ANSWERS")) {
            std::ofstream(std::filesystem::path(directory) / std::to_string(number++)) << answer;
        }
        const auto shown = places(example.json);
        for (const std::string& place : places(answer)) {
            EXPECT_THAT(shown, testing::Contains(place)) << "answered, and not on the page";
        }
        const auto answered = places(answer, "(keys[] | [.])");
        for (const std::string& place : places(example.json, "(keys[] | [.])")) {
            EXPECT_THAT(answered, testing::Contains(place)) << "on the page, and not answered";
        }
    }
}

TEST(Api, RefusesInOneFormAndListsItemsToWhoHasTheToken) {
    TwoSites sites;
    const auto get = [&](const std::string& path) {
        return run({"curl", "-sS", "-w", " %{http_code}",
                    "http://127.0.0.1:" + sites.sydney.http_port() + path})
            .output;
    };
    ASSERT_TRUE(sites.caught_up()) << sites.describe();
    EXPECT_EQ(get("/v1/items?store=blobs/none"),
              "{\"error\":{\"message\":\"this site has no such store of files or repositories\","
              "\"next_step\":\"antipode status\"}}\n 404");
    for (const char* query : {"&most=0", "&most=1001", "&most=x", "&only=all", "&after=zz"}) {
        EXPECT_THAT(get("/v1/items?store=blobs/uploads" + std::string(query)),
                    testing::EndsWith(" 400"))
            << query;
    }
    EXPECT_THAT(get("/v1/nothing"), testing::EndsWith(" 404"));
}

}  // namespace
}  // namespace antipode::test
