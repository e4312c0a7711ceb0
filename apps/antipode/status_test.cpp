#include "apps/antipode/status.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/antipode/status_view.hpp"
#include "base/error.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::cli {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// 2026-11-22T14:40:07Z
const std::string sydney = R"({
 "schema":"antipode.status/1","cluster":"demo","site":"sydney","role":"secondary","epoch":1,
 "version":"0.1.0","now_us":1795358407000000,"started_us":1795358000000000,
 "recovery_point_us":1795358405000000,"recovery_point_reason":"",
 "sites":[
  {"site":"london","role":"primary","state":"serving","recovery_point_us":null,
   "lag_seconds":null,"verified":null,"parked":null,"report_at_us":1795358406000000,
   "reason":"","next_step":""},
  {"site":"sydney","role":"secondary","state":"degraded","recovery_point_us":1795358405000000,
   "lag_seconds":2.04,"verified":120,"parked":1,"report_at_us":1795358407000000,
   "reason":"held back by blobs/uploads: 1 item","next_step":"make room on its disk"},
  {"site":"cape","role":"secondary","state":"unknown","recovery_point_us":null,
   "lag_seconds":null,"verified":null,"parked":null,"report_at_us":1795357558000000,
   "reason":"","next_step":""}],
 "stores":[
  {"store":"database/app","state":"streaming","reason":"","next_step":"",
   "capture_lag_seconds":0.21,"delivery_lag_seconds":0.3,"apply_lag_seconds":1.3,
   "total_lag_seconds":1.8,"catches_up_seconds":0.0,"backlog_events":63,
   "lag_percentiles":{"window_seconds":3600,"changes":63,"p50_seconds":0.35,"p95_seconds":2.4,
    "p99_seconds":5.0},
   "backlog_bytes":18200,"applied":77,"verified":77,
   "mismatches":0,"parked":0,"waiting":0,"copy":null},
  {"store":"blobs/uploads","state":"catching-up","reason":"","next_step":"",
   "capture_lag_seconds":0.1,"delivery_lag_seconds":null,"apply_lag_seconds":null,
   "total_lag_seconds":null,"backlog_events":18,"backlog_bytes":null,"applied":43,
   "verified":43,"mismatches":0,"parked":1,"waiting":0}],
 "exceptions":[{"store":"blobs/uploads","item":"a/b.txt","kind":"parked","class":"transient",
   "reason":"no space left on device","since_us":1795358287000000,"tries":3,
   "next_try_us":1795358427000000,"position":"1.5.70"}],
 "workers":[{"name":"relay","healthy":false,"problem":"connecting to nats: timeout",
   "next_step":"start nats-server","since_us":1795358395000000,"failures":4},
  {"name":"markers","healthy":true,"problem":"","next_step":"","since_us":0,"failures":0}]})";

const Config config = Config::parse(R"(
cluster = "demo"
site = "london"
state_dir = "/var/lib/antipode"
[[sites]]
name = "london"
nats = "nats://127.0.0.1:4222"
http = "http://london.example:8840"
[[sites]]
name = "sydney"
nats = "nats://sydney.example:4222"
http = "http://sydney.example:8840"
[[blobs]]
name = "uploads"
root = "/srv/uploads"
)",
                                    "antipode.toml");

/// A minute after sydney's answer.
class LaterClock final : public Clock {
  public:
    TimePoint now() const override { return from_microseconds(1795358467000000); }
    SteadyTime steady_now() const override { return {}; }
};
const LaterClock clock_now;

StatusReport parsed() {
    return StatusReport::parse(sydney, "http://127.0.0.1:8840");
}

struct Printed {
    std::ostringstream out;
    std::ostringstream error;
    Output table{out, error};
    Output json{out, error, Format::Json};
};

/// Answers for sydney only; asking london fails.
Answer only_sydney(const std::string& url, std::chrono::milliseconds) {
    if (url == "http://sydney.example:8840/v1/status") {
        return {200, sydney};
    }
    throw Error(Reaction::Retry, "connection refused");
}

/// How often `part` stands in `text`.
size_t count_of(const std::string& text, const std::string& part) {
    size_t count = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        ++count;
    }
    return count;
}

TEST(StatusView, ShowsSitesAndWhatHoldsThemBack) {
    EXPECT_EQ(
        render_status(parsed(), std::nullopt, false),
        "SITE     ROLE       STATE     RECOVERY POINT       LAG  VERIFIED  FAILED  REPORT AGE\n"
        "london   primary    serving   -                      -         -       -  1s\n"
        "sydney*  secondary  degraded  14:40:05Z (2s ago)  2.0s    99.17%       1  0s\n"
        "cape     secondary  unknown   ?                      ?         ?       ?  14m09s STALE\n"
        "sydney: held back by blobs/uploads: 1 item    Try: make room on its disk\n"
        "worker relay: connecting to nats: timeout, for 12s    Try: start nats-server\n"
        "blobs/uploads a/b.txt is parked: no space left on device (transient, 3 tries, for 2m00s, "
        "next in 20s)\n");
}

TEST(StatusView, WideHasTimesInFullAndHowLongWhatIsKeptLasts) {
    const std::string text = render_status(parsed(), "london", false, true);
    EXPECT_THAT(text, HasSubstr("REPORT AGE  UP TO  REPORTED AT"));
    EXPECT_THAT(text, HasSubstr("KEEPS FOR  CHECKED\n"));
    EXPECT_THAT(text, testing::ContainsRegex("  1s  +-  +2026-11-22T14:40:06[.0-9]*Z  "));
    EXPECT_THAT(render_status(parsed(), "cape", false, true), HasSubstr("  ?"));
}

/// The same on the primary: sydney is another site.
StatusReport of_london(const std::string& checks) {
    StatusReport report = parsed();
    report.site = "london";
    report.stores.clear();
    report.exceptions.clear();
    report.workers.clear();
    report.sites[1] = StatusReport::parse(R"({"schema":"antipode.status/1","now_us":5,"sites":[
        {"site":"sydney","role":"secondary","checks":)" +
                                              checks + "}]}",
                                          "x")
                          .sites[0];
    return report;
}

TEST(StatusView, ShowsWhatTheChecksOfOtherSitesFound) {
    StatusReport report = of_london(R"([
        {"store":"database/app","checked_us":1795351207000000,"equal_us":null,"differing":2,
         "differed":null,"what":"public.items and one more part differ from the primary's",
         "next_step":"antipode database check --mend"},
        {"store":"blobs/uploads","checked_us":1795357807000000,"equal_us":1795358404000000,
         "differing":0,"differed":3,"what":"","next_step":""},
        {"store":"repositories/git","checked_us":null,"equal_us":null,"differing":0,"differed":0,
         "what":"one thing is there that was never applied, x.git",
         "next_step":"antipode verify repositories/git --site sydney"}])");
    const std::string found =
        "sydney: database/app: public.items and one more part differ from the primary's    Try: "
        "on sydney: antipode database check --mend\n";
    const std::string all = render_status(report, std::nullopt, false);
    EXPECT_THAT(all, HasSubstr(found));
    EXPECT_THAT(all, HasSubstr("repositories/git: one thing is there that was never applied, x.git"
                               "    Try: on sydney: antipode verify"));
    EXPECT_THAT(all, Not(HasSubstr("read again"))) << "nothing is wrong there";
    const std::string asked = render_status(report, "sydney", false);
    EXPECT_THAT(asked, HasSubstr("checks of sydney database/app: compared 2h00m ago\n"));
    EXPECT_THAT(asked, HasSubstr("checks of sydney blobs/uploads: all read again within 10m00s, "
                                 "inventory equal 3s ago; found to differ so far: 3 items\n"));
    EXPECT_THAT(asked, HasSubstr("checks of sydney repositories/git: not all read again yet, "
                                 "inventory not equal yet\n"));
    // What the site's own line says is not said again.
    report.sites[1].reason = "database/app: " + report.sites[1].checks[0].what;
    EXPECT_EQ(count_of(render_status(report, std::nullopt, false), "one more part"), 1U);
    EXPECT_THAT(of_london("null").sites[1].checks, IsEmpty());
}

TEST(StatusView, ShowsTheLeaseWhereThereIsOne) {
    const auto shown = [](const std::string& lease) {
        std::string text = sydney;
        text.insert(text.find("\"recovery_point_reason\""), "\"lease\":" + lease + ",");
        return render_status(StatusReport::parse(text, "x"), std::nullopt, false, false);
    };
    EXPECT_THAT(shown("null"), Not(HasSubstr("ease")));
    EXPECT_THAT(shown(R"({"holds":true,"remaining_seconds":11.2,"at_witness":true,)"
                      R"("at_sites":true,"wait_seconds":null,"obstacle":""})"),
                HasSubstr("Lease of sydney: for 11s, by the witness and all other sites\n"));
    EXPECT_THAT(shown(R"({"holds":false,"remaining_seconds":null,"at_witness":false,)"
                      R"("at_sites":false,"wait_seconds":null,"obstacle":""})"),
                HasSubstr("Lease of sydney: none, writes are refused\n"));
    EXPECT_THAT(shown(R"({"holds":null,"wait_seconds":13.4,"obstacle":""})"),
                HasSubstr("Lease of the primary: runs out in 13s unless it is renewed\n"));
    EXPECT_THAT(shown(R"({"holds":null,"wait_seconds":13.4,"obstacle":"no fencer ran there"})"),
                HasSubstr("promoting sydney needs --fenced-by: no fencer ran there\n"));
}

TEST(StatusView, ShowsWhereLagComesFrom) {
    EXPECT_EQ(render_lag(parsed(), false),
              "STORE          STATE        CAPTURE  DELIVERY  APPLY  TOTAL  P50/P95/P99 1H       "
              "BACKLOG  "
              "CATCHES UP  APPLIED  VERIFIED  FAILED\n"
              "database/app   streaming       0.2s      0.3s   1.3s   1.8s  0.3s/2.4s/5.0s  63 ev, "
              "18 kB         now       77        77       0\n"
              "blobs/uploads  catching-up     0.1s         ?      ?      ?               ?      18 "
              "ev, ?           ?       43        43       1\n"
              "Recovery point 14:40:05Z (2s ago)\n"
              "worker relay: connecting to nats: timeout, for 12s    Try: start nats-server\n"
              "blobs/uploads a/b.txt is parked: no space left on device (transient, 3 tries, for "
              "2m00s, next in 20s)\n");
}

TEST(StatusView, SaysHowLongWhatIsKeptLasts) {
    StatusReport report = parsed();
    EXPECT_THAT(render_lag(report, false), Not(HasSubstr("Stream"))) << "an older daemon";
    report.stream = RetentionRow{.seconds = 15'120, .bytes_per_second = 1.2e6};
    EXPECT_THAT(render_lag(report, false),
                HasSubstr("Stream: lasts 4h12m at 1.2 MB/s while nothing is applied, then this "
                          "site receives no more\n"));
    report.role = "primary";
    report.stores[0].slot = RetentionRow{.seconds = std::nullopt, .bytes_per_second = 800};
    report.stream = RetentionRow{};
    const std::string unknown_yet = render_lag(report, false);
    EXPECT_THAT(unknown_yet, HasSubstr("Stream: lasts for a time that is not known yet, then a "
                                       "site that is away compares files and repositories\n"));
    EXPECT_THAT(unknown_yet, HasSubstr("Slot of database/app: is limited by the disk alone at "
                                       "800 B/s, then a site that is away compares its tables\n"));
    report.stream->bytes_per_second = 0;
    EXPECT_THAT(render_lag(report, false), HasSubstr("lasts as long as nothing comes at 0 B/s"));
    report.sites[0].retention_seconds = 7200;
    EXPECT_THAT(render_status(report, "london", false),
                HasSubstr("what london keeps lasts 2h00m at the present rate\n"));
}

TEST(StatusView, SaysWhenAStoreCatchesUp) {
    StatusReport report = parsed();
    report.stores[1].apply_rate = 5;
    report.stores[1].catches_up_seconds = 372;
    EXPECT_THAT(render_lag(report, false), HasSubstr("    in 6m12s       43"));
    report.stores[1].catches_up_seconds.reset();
    EXPECT_THAT(render_lag(report, false), HasSubstr("  not at this rate       43"));
}

TEST(StatusView, NeverShowsAStaleReportInGreen) {
    StatusReport report = parsed();
    EXPECT_THAT(render_status(report, "london", true), HasSubstr("\x1b[32mserving"));
    report.now += std::chrono::minutes(1);
    EXPECT_THAT(render_status(report, "london", true), HasSubstr("\x1b[33mserving"));
    report.sites[0].report_at.reset();
    EXPECT_THAT(render_status(report, "london", false), HasSubstr("  never\n"));
}

TEST(StatusView, SaysWhyTheRecoveryPointIsUnknown) {
    StatusReport report = parsed();
    report.recovery_point.reset();
    report.recovery_point_reason = "initial copy of database/app";
    report.stores[0].copy = CopyRow{.tables_done = 1,
                                    .tables = 4,
                                    .rows = 1000,
                                    .bytes = 50'000,
                                    .bytes_per_second = 2'000'000,
                                    .remaining_seconds = 90,
                                    .table = "public.x"};
    const std::string text = render_status(report, std::nullopt, false);
    EXPECT_THAT(text, HasSubstr("recovery point of sydney is unknown: initial copy of "));
    report.sites[1].reason = "recovery point unknown: initial copy of database/app";
    EXPECT_EQ(count_of(render_status(report, std::nullopt, false), "unknown: initial"), 1U);
    EXPECT_THAT(text,
                HasSubstr("database/app: 1 of 4 tables copied, 1000 rows, 50 kB at 2.0 MB/s, about "
                          "1m30s left, now public.x\n"));
    report.stores[0].state = "copying";
    report.stores[0].reason = "initial copy";
    EXPECT_THAT(render_status(report, std::nullopt, false),
                HasSubstr("database/app: initial copy, 1 of 4 tables copied"));
}

TEST(StatusView, PrintsAProblemOnceWithAllThatItConcerns) {
    StatusReport report = parsed();
    report.exceptions.clear();
    report.workers.clear();
    const std::string missing = "opening /srv/uploads: No such file or directory";
    for (const char* name :
         {"apply blobs/uploads 1", "apply blobs/uploads 2", "pull 1", "pull 2"}) {
        report.workers.push_back({name, false, missing, "mount it", report.now});
    }
    report.stores[1].reason = missing;
    report.stores[1].next_step = "mount it";
    report.sites[1].reason = "blobs/uploads: " + missing;
    const std::string text = render_status(report, std::nullopt, false);
    EXPECT_THAT(text, HasSubstr("\nblobs/uploads: " + missing + ", for 0s    Try: mount it\n"));
    EXPECT_EQ(count_of(text, missing), 1U) << text;

    report.stores[1].reason.clear();
    report.sites[1].reason = missing;
    EXPECT_THAT(render_status(report, std::nullopt, false),
                HasSubstr("\nworkers apply blobs/uploads, pull: " + missing + ", for 0s"));
}

TEST(StatusView, PrintsOnceWhatAllStoresWaitFor) {
    StatusReport report = parsed();
    report.exceptions.clear();
    for (StoreRow& store : report.stores) {
        store.reason = "relay: connecting to nats: timeout";
    }
    report.workers.push_back({"receiver", false, "connecting to nats: timeout", "", report.now});
    report.sites[1].reason = "database/app: relay: connecting to nats: timeout";
    const std::string text = render_status(report, std::nullopt, false);
    EXPECT_THAT(text,
                HasSubstr("database/app, blobs/uploads: connecting to nats: timeout, for 12s    "
                          "Try: start nats-server\n"));
    EXPECT_EQ(count_of(text, "timeout"), 1U) << text;
}

TEST(StatusView, SaysWhatAMendedItemWaitsFor) {
    StatusReport report = parsed();
    report.exceptions[0].kind = "mended";
    report.exceptions[0].reason = "it is not here as the primary published it";
    EXPECT_THAT(render_status(report, std::nullopt, false),
                HasSubstr("blobs/uploads a/b.txt is right again; it holds the recovery point back "
                          "until the rows that were published before it are applied, by itself. It "
                          "was an exception: it is not here as the primary published it\n"));
    report.exceptions[0].kind = "expired";
    EXPECT_THAT(render_status(report, std::nullopt, false),
                HasSubstr("rows went on without blobs/uploads a/b.txt, which did not come within "
                          "max_hold: it is not here"));
}

TEST(StatusView, SaysWhatWasRefused) {
    StatusReport report = parsed();
    EXPECT_EQ(render_status(report, std::nullopt, false).find("refused"), std::string::npos);
    report.refused = {3, "another cluster's", "look at nats-server"};
    EXPECT_THAT(render_status(report, std::nullopt, false),
                HasSubstr("sydney refused 3 events of the primary's stream since it started, the "
                          "last one because: another cluster's    Try: look at nats-server\n"));
}

TEST(StatusView, ShowsTheNextStepOfAnException) {
    StatusReport report = parsed();
    report.exceptions[0].next_step = "make room";
    EXPECT_THAT(render_status(report, std::nullopt, false),
                HasSubstr("next in 20s)    Try: make room\n"));
}

TEST(StatusView, LimitsTheListOfExceptions) {
    StatusReport report = parsed();
    report.exceptions.assign(20, report.exceptions[0]);
    EXPECT_THAT(render_status(report, std::nullopt, false), HasSubstr("and 12 more exceptions"));
}

TEST(StatusReport, RefusesWhatIsNoStatus) {
    for (const char* text : {"", "<html>", "[]", "{}", R"({"schema":"antipode.status/2"})",
                             R"({"schema":"antipode.status/1","now_us":null})"}) {
        EXPECT_THROW(StatusReport::parse(text, "http://x"), CommandError) << text;
    }
    const auto least =
        StatusReport::parse(R"({"schema":"antipode.status/1","now_us":5,"sites":[{}, 3]})", "x");
    EXPECT_EQ(least.sites.size(), 1U);
    EXPECT_FALSE(least.sites[0].lag_seconds);
    EXPECT_FALSE(least.epoch);
}

TEST(ShowStatus, AsksTheOtherSitesWhenTheLocalDaemonIsDown) {
    Printed printed;
    EXPECT_EQ(show_status(config, only_sydney, clock_now, printed.table, std::nullopt),
              ExitCode::Unreachable);
    EXPECT_THAT(printed.error.str(),
                HasSubstr("antipode: no antipoded answers at http://127.0.0.1:8840: connection "
                          "refused\nTry: systemctl status antipoded, or antipode doctor\n"
                          "What sydney knows:\n"));
    EXPECT_THAT(printed.out.str(), HasSubstr("sydney*  secondary"));
}

TEST(ShowStatus, TellsWhatTheDaemonSaidLastWhenNobodyAnswers) {
    const test::TemporaryDirectory state;
    Config of_sydney = config;
    of_sydney.site = "sydney";
    of_sydney.state_dir = state.path();
    const Fetch nobody = [](const std::string&, std::chrono::milliseconds) -> Answer {
        throw Error(Reaction::Retry, "connection refused");
    };
    Printed printed;
    EXPECT_THROW(show_status(of_sydney, nobody, clock_now, printed.table, std::nullopt),
                 CommandError);
    test::write_file(state.path() / "status.json", sydney);
    EXPECT_EQ(show_status(of_sydney, nobody, clock_now, printed.table, std::nullopt),
              ExitCode::Unreachable);
    EXPECT_THAT(printed.error.str(), HasSubstr("What antipoded of sydney said last, at 14:40:07Z"));
    EXPECT_THAT(printed.out.str(),
                HasSubstr("sydney*  secondary  unknown  14:40:05Z (1m02s ago)    ?    99.17%       "
                          "1  1m00s STALE\n"));
    EXPECT_THAT(printed.out.str(), HasSubstr("sydney: it was degraded 1m00s ago: held back by "
                                             "blobs/uploads: 1 item    Try: make room"));
    EXPECT_THAT(printed.out.str(), HasSubstr("blobs/uploads a/b.txt is parked"));
    EXPECT_THAT(printed.out.str(), Not(HasSubstr("primary    serving")));
    EXPECT_EQ(show_status(of_sydney, nobody, clock_now, printed.json, std::nullopt),
              ExitCode::Unreachable);
    EXPECT_THAT(printed.out.str(), HasSubstr("\"saved_us\":1795358407000000"));
    test::write_file(state.path() / "status.json", "{\"schema\":");
    EXPECT_THROW(show_status(of_sydney, nobody, clock_now, printed.table, std::nullopt),
                 CommandError);
}

TEST(ShowStatus, FailsWhenNobodyAnswers) {
    Printed printed;
    const Fetch nobody = [](const std::string&, std::chrono::milliseconds) -> Answer {
        throw Error(Reaction::Retry, "connection refused");
    };
    EXPECT_THROW(show_status(config, nobody, clock_now, printed.table, std::nullopt), CommandError);
    EXPECT_THAT(printed.out.str(), IsEmpty());
}

TEST(ShowStatus, ShowsOneSite) {
    Printed printed;
    EXPECT_EQ(show_status(config, only_sydney, clock_now, printed.table, "sydney"), ExitCode::Ok);
    EXPECT_THAT(printed.out.str(), HasSubstr("\nsydney*"));
    EXPECT_THAT(printed.out.str(), testing::Not(HasSubstr("london")));
    EXPECT_THROW(show_status(config, only_sydney, clock_now, printed.table, "paris"), CommandError);
}

TEST(ShowStatus, PassesTheDaemonsJsonOn) {
    Printed printed;
    EXPECT_EQ(show_status(config, only_sydney, clock_now, printed.json, "sydney"), ExitCode::Ok);
    EXPECT_THAT(printed.out.str(), HasSubstr(R"({"schema":"antipode.status/1","cluster":"demo")"));
    EXPECT_THAT(printed.out.str(), HasSubstr(R"("sites":[{"site":"sydney")"));
    printed.out.str("");
    EXPECT_EQ(show_lag(config, only_sydney, printed.json, "sydney"), ExitCode::Ok);
    EXPECT_THAT(printed.out.str(), HasSubstr(R"({"schema":"antipode.lag/1","cluster":"demo")"));
    EXPECT_THAT(printed.out.str(), HasSubstr(R"("total_lag_seconds":null)"));
}

TEST(Daemon, PassesOnWhatTheDaemonSaysOfAnError) {
    const auto answering = [](unsigned status, const std::string& body) -> Fetch {
        return [=](const std::string&, std::chrono::milliseconds) { return Answer{status, body}; };
    };
    try {
        get(answering(503, R"({"error":{"message":"starting","next_step":"wait"}})"), "http://x",
            "/v1/status");
        FAIL();
    } catch (const CommandError& error) {
        EXPECT_EQ(error.code(), ExitCode::Unreachable);
        EXPECT_STREQ(error.what(), "http://x/v1/status answered 503: starting");
        EXPECT_EQ(error.next_step(), "wait");
    }
    try {
        get(answering(404, "<html>"), "http://x", "/v1/events");
        FAIL();
    } catch (const CommandError& error) {
        EXPECT_EQ(error.code(), ExitCode::Failed);
        EXPECT_EQ(error.next_step(), "antipode doctor");
    }
}

TEST(Report, SpeaksJsonUnderJson) {
    Printed printed;
    EXPECT_EQ(report(printed.json, CommandError(ExitCode::Conflict, "taken", "look")), 9);
    EXPECT_EQ(printed.error.str(),
              "{\"schema\":\"antipode.error/1\",\"error\":{\"code\":\"conflict\",\"exit_code\":9,"
              "\"message\":\"taken\",\"next_step\":\"look\"}}\n");
    EXPECT_THAT(printed.out.str(), IsEmpty());
}

}  // namespace
}  // namespace antipode::cli
