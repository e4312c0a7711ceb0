#include "primary/registered_sites.hpp"

#include <gtest/gtest.h>

#include "primary/safe_points.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::primary {
namespace {

constexpr uint64_t epoch = 3;
const StoreId rows{StoreKind::Database, "app"};

v1::SiteReport report(const std::string& site, const std::string& role, uint64_t safe) {
    v1::SiteReport said;
    said.set_site(site);
    said.set_role(role);
    if (safe != 0) {
        v1::LaneReport& lane = *said.add_lanes();
        lane.set_store(rows.to_string());
        lane.set_safe_lsn(safe);
    }
    return said;
}

class RegisteredSitesTest : public testing::Test {
  protected:
    Lsn confirmable(RegisteredSites& sites, const std::vector<v1::SiteReport>& reports) {
        return primary::confirmable(sites.merge(reports), rows, Lsn{1000}).lsn;
    }
    const test::TemporaryDirectory directory_;
    SystemClock clock_;
    Inventory inventory_{directory_ / "inventory.db"};
    const std::set<std::string> configured_ = {"london", "sydney", "tokyo"};
};

TEST_F(RegisteredSitesTest, AreRememberedWhenTheBrokerForgetsThem) {
    {
        RegisteredSites sites(configured_, epoch, inventory_, clock_);
        EXPECT_EQ(confirmable(sites, {report("london", "primary", 0)}), Lsn{1000});
        EXPECT_EQ(confirmable(sites, {report("sydney", "secondary", 300)}), Lsn{300});
        EXPECT_EQ(confirmable(sites, {report("sydney", "secondary", 400)}), Lsn{400});
        EXPECT_EQ(confirmable(sites, {}), Lsn{400});
        // It starts again and has not looked at its stores yet.
        EXPECT_EQ(confirmable(sites, {report("sydney", "unassigned", 0)}), Lsn{400});
        EXPECT_EQ(confirmable(sites, {report("sydney", "secondary", 0)}), Lsn{});
    }
    Inventory later(directory_ / "inventory.db");
    RegisteredSites sites(configured_, epoch, later, clock_);
    EXPECT_LE(confirmable(sites, {}), Lsn{400});
    EXPECT_EQ(confirmable(sites, {report("tokyo", "secondary", 200)}), Lsn{200});
}

/// The log of another primary has other numbers.
TEST_F(RegisteredSitesTest, DoNotCountWithWhatTheySayOfAnotherEpoch) {
    RegisteredSites sites(configured_, epoch, inventory_, clock_);
    v1::SiteReport of_this = report("sydney", "secondary", 300);
    of_this.set_epoch(epoch);
    EXPECT_EQ(confirmable(sites, {of_this}), Lsn{300});
    v1::SiteReport of_another = report("sydney", "secondary", 900);
    of_another.set_epoch(epoch - 1);
    EXPECT_EQ(confirmable(sites, {of_another}), Lsn{300});
    sites.advance(of_another);
    EXPECT_EQ(confirmable(sites, {}), Lsn{300});
    of_another.set_epoch(epoch);
    EXPECT_EQ(confirmable(sites, {of_another}), Lsn{900});
}

TEST_F(RegisteredSitesTest, CountUntilTheyAreTakenOutOfTheConfiguration) {
    RegisteredSites(configured_, epoch, inventory_, clock_)
        .merge({report("sydney", "secondary", 300)});
    RegisteredSites without({"london", "tokyo"}, epoch, inventory_, clock_);
    EXPECT_EQ(confirmable(without, {}), Lsn{1000});
    EXPECT_EQ(confirmable(without, {report("sydney", "secondary", 1)}), Lsn{1000});
    RegisteredSites promoted(configured_, epoch, inventory_, clock_);
    EXPECT_EQ(confirmable(promoted, {report("sydney", "primary", 0)}), Lsn{1000});
}

TEST_F(RegisteredSitesTest, AdvanceByWhatTheyTellBetweenReports) {
    RegisteredSites sites(configured_, epoch, inventory_, clock_);
    EXPECT_TRUE(sites.advance(report("sydney", "secondary", 500)).empty()) << "not registered";
    sites.merge({report("sydney", "secondary", 300)});
    const auto safe = [&](uint64_t told) {
        return safe_lsn(sites.advance(report("sydney", "secondary", told)).at(0), rows);
    };
    EXPECT_EQ(safe(500), Lsn{500});
    EXPECT_EQ(safe(400), Lsn{500}) << "an old message";
    // A report is what the site says of itself now: it may have lost what it had.
    EXPECT_EQ(confirmable(sites, {report("sydney", "secondary", 350)}), Lsn{350});
}

TEST(Confirmable, LetsGoOfSitesPastTheCap) {
    const std::vector<v1::SiteReport> reports = {report("sydney", "secondary", 300),
                                                 report("tokyo", "secondary", 800)};
    const auto capped = primary::confirmable(reports, rows, Lsn{1000}, Lsn{500});
    EXPECT_EQ(capped.lsn, Lsn{800});
    EXPECT_EQ(capped.let_go, std::vector<std::string>{"sydney"});
    EXPECT_EQ(primary::confirmable(reports, rows, Lsn{1000}, Lsn{300}).lsn, Lsn{300});
    // It is this site's own stream that lags: letting go would free nothing, and lose everything.
    const auto broken = primary::confirmable(reports, rows, Lsn{400}, Lsn{500});
    EXPECT_EQ(broken.lsn, Lsn{300});
    EXPECT_TRUE(broken.let_go.empty());
}

TEST(Confirmable, IsNothingThatNoSiteHasWhileTheOwnStreamIsNotLookedAt) {
    const std::vector<v1::SiteReport> reports = {report("sydney", "secondary", 300)};
    const auto past_the_cap = primary::confirmable(reports, rows, std::nullopt, Lsn{500});
    EXPECT_EQ(past_the_cap.lsn, Lsn{300}) << "what is decoded may not be in the stream yet";
    EXPECT_TRUE(past_the_cap.let_go.empty());
    EXPECT_EQ(primary::confirmable({report("london", "primary", 0)}, rows, std::nullopt).lsn,
              Lsn{});
}

TEST(LetGo, LastsUntilASiteHasWhatTheSlotHasPassed) {
    LetGo let_go;
    let_go.note(rows, {"sydney"}, Lsn{800}, {report("sydney", "secondary", 300)});
    EXPECT_EQ(let_go.of(rows), std::set<std::string>{"sydney"});
    let_go.note(rows, {}, Lsn{800}, {report("sydney", "secondary", 700)});
    EXPECT_EQ(let_go.of(rows), std::set<std::string>{"sydney"});
    let_go.note(rows, {}, Lsn{800}, {report("sydney", "secondary", 800)});
    EXPECT_TRUE(let_go.of(rows).empty());
}

}  // namespace
}  // namespace antipode::primary
