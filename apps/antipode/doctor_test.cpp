#include "apps/antipode/doctor.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apps/antipode/nats_greeting.hpp"
#include "base/error.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::cli {

void PrintTo(const Finding& finding, std::ostream* out) {
    *out << finding.check << " " << finding.subject << ": " << finding.text;
}

namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;
using Verdict = Finding::Verdict;

auto is(Verdict verdict, const std::string& check, const std::string& text) {
    return AllOf(Field(&Finding::verdict, verdict), Field(&Finding::check, check),
                 Field(&Finding::text, HasSubstr(text)));
}

/// A site whose directories exist.
struct Site {
    test::TemporaryDirectory directory;
    Config config;
    ManualClock clock;

    Site() {
        std::filesystem::create_directories(directory / "state");
        std::filesystem::create_directories(directory / "git");
        std::filesystem::create_directories(directory / "nats" / "jetstream");
        config.cluster = "demo";
        config.site = "london";
        config.state_dir = directory / "state";
        config.nats.url = "nats://127.0.0.1:4222";
        config.nats.store_dir = directory / "nats";
        config.sites = {{"london", "nats://127.0.0.1:4222", "http://127.0.0.1:8840"},
                        {"sydney", "nats://sydney:4222", "http://sydney:8840"}};
        config.repositories = {{"git", directory / "git"}};
    }

    Findings look(const std::vector<Check>& checks) const {
        Findings findings;
        for (const Check& check : checks) {
            for (const Finding& finding : check.look(config)) {
                findings.push_back(finding);
            }
        }
        return findings;
    }

    Findings look_at_servers(const Fetch& fetch, const Greet& greet) const {
        return look(server_checks(fetch, greet, clock));
    }

    /// Daemons that tell the right sites, with clocks that are off by `skew`.
    Fetch daemons(std::chrono::microseconds skew = {}) const {
        return [this, skew](const std::string& url, std::chrono::milliseconds) {
            const bool sydney = url.find("sydney") != std::string::npos;
            const auto now = to_microseconds(clock.now() + (sydney ? skew : skew * 0));
            return Answer{200, R"({"schema":"antipode.status/1","cluster":"demo","site":")" +
                                   std::string(sydney ? "sydney" : "london") +
                                   R"(","role":"primary","version":"0.1.0","now_us":)" +
                                   std::to_string(now) + "}"};
        };
    }
    /// The same, of which that of sydney says more.
    Fetch daemons_with(const std::string& more) const {
        return [this, more](const std::string& url, std::chrono::milliseconds timeout) {
            Answer answer = daemons()(url, timeout);
            if (url.find("sydney") != std::string::npos) {
                answer.body.back() = ',';
                answer.body += more + "}";
            }
            return answer;
        };
    }
};

NatsGreeting debian_server(const std::string&) {
    return {"2.9.10", true};
}

TEST(Doctor, FindsNothingOnAGoodMachine) {
    const Site site;
    for (const Finding& finding : site.look(local_checks())) {
        // How full this machine is, and what else watches its files, is not this test's matter.
        const bool watches = finding.check == "inotify" && finding.subject.empty();
        if (finding.check != "space" && !watches) {
            EXPECT_EQ(finding.verdict, Verdict::Good) << finding.check << " " << finding.text;
        }
    }
    for (const Finding& finding : site.look_at_servers(site.daemons(), debian_server)) {
        EXPECT_EQ(finding.verdict, Verdict::Good) << finding.check << " " << finding.text;
    }
}

TEST(Doctor, FindsMissingDirectories) {
    Site site;
    site.config.state_dir = site.directory / "none";
    site.config.blobs = {{"uploads", site.directory / "missing", {}, {}}};
    const Findings findings = site.look(local_checks());
    EXPECT_THAT(findings, Contains(is(Verdict::Bad, "state", "is no directory")));
    EXPECT_THAT(findings, Contains(is(Verdict::Bad, "root", "cannot be read")));
    EXPECT_THAT(findings, Contains(is(Verdict::Good, "root", "can be written, empty")));
}

TEST(Doctor, FindsSecretsThatAreNone) {
    Site site;
    site.config.http.token_file = site.directory / "token";
    EXPECT_THAT(site.look(local_checks()), Contains(is(Verdict::Bad, "secret", "No such file")));
    test::write_file(site.directory / "token", "secret");
    chmod(site.config.http.token_file.c_str(), 0644);
    EXPECT_THAT(site.look(local_checks()), Contains(is(Verdict::Bad, "secret", "by others")));
    chmod(site.config.http.token_file.c_str(), 0600);
    EXPECT_THAT(site.look(local_checks()), Contains(is(Verdict::Good, "secret", "is private")));
}

/// Puts a variable of the environment back.
class Environment {
  public:
    Environment(const char* name, const std::string& value)
        : name_(name), before_(std::getenv(name)) {
        setenv(name, value.c_str(), 1);
    }
    ~Environment() { setenv(name_, before_.c_str(), 1); }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;

  private:
    const char* name_;
    std::string before_;
};

TEST(Doctor, FindsAGitThatDoesNotSync) {
    Site site;
    EXPECT_THAT(site.look(local_checks()), Contains(is(Verdict::Good, "git", "git version 2.")));
    const auto git = site.directory / "bin/git";
    test::write_file(git, "#!/bin/sh\necho git version 2.35.7\n");
    chmod(git.c_str(), 0755);
    const Environment path("PATH", (site.directory / "bin").string() + ":" + std::getenv("PATH"));
    EXPECT_THAT(site.look(local_checks()), Contains(is(Verdict::Bad, "git", "version 2.35.7")));
    test::write_file(git, "#!/bin/sh\necho broken >&2; exit 1\n");
    EXPECT_THAT(site.look(local_checks()), Contains(is(Verdict::Bad, "git", "tell its version")));
    site.config.repositories.clear();
    EXPECT_THAT(site.look(local_checks()), Not(Contains(Field(&Finding::check, "git"))));
}

TEST(Doctor, FindsThatNoMoreWatchesCanBeMade) {
    const Site site;
    std::vector<Check> checks = local_checks();
    std::erase_if(checks, [](const Check& check) { return check.name != "inotify"; });
    EXPECT_THAT(site.look(checks), Contains(is(Verdict::Good, "inotify", "2 of 2 can be made")));
    // The kernel's answer is the same where a user has max_user_instances of them.
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    const int next = dup(0);
    close(next);
    rlimit tight = before;
    tight.rlim_cur = static_cast<rlim_t>(next) + 1;
    setrlimit(RLIMIT_NOFILE, &tight);
    const Findings findings = site.look(checks);
    setrlimit(RLIMIT_NOFILE, &before);
    EXPECT_THAT(findings,
                Contains(AllOf(is(Verdict::Bad, "inotify", "1 of 2 can be made"),
                               Field(&Finding::next_step, HasSubstr("max_user_instances")))));
}

TEST(Doctor, FindsDaemonsThatMayOpenTooFewFiles) {
    const Site site;
    const auto look = [&](const std::string& open_files, const std::string& limit) {
        return site.look_at_servers(
            site.daemons_with("\"open_files\":" + open_files + ",\"open_files_limit\":" + limit),
            debian_server);
    };
    EXPECT_THAT(look("60", "1024"), Contains(is(Verdict::Good, "files", "has 60 of 1024 open")));
    EXPECT_THAT(look("60", "100"),
                Contains(AllOf(is(Verdict::Bad, "files", "has 60 of 100 open, 256 may be needed"),
                               Field(&Finding::subject, "sydney"),
                               Field(&Finding::next_step, HasSubstr("LimitNOFILE")))));
    EXPECT_THAT(look("900", "1024"), Contains(is(Verdict::Bad, "files", "has 900 of 1024 open")));
    EXPECT_THAT(look("null", "null"), Not(Contains(Field(&Finding::check, "files"))));
}

TEST(Doctor, FindsVersionsThatDifferBetweenSites) {
    const Site site;
    const auto of = [](const std::string& subject, Verdict verdict, const std::string& text) {
        return AllOf(is(verdict, "version", text), Field(&Finding::subject, subject));
    };
    const Findings alike = site.look_at_servers(site.daemons(), debian_server);
    EXPECT_THAT(alike, Contains(of("antipoded", Verdict::Good, "0.1.0 on every site")));
    EXPECT_THAT(alike, Contains(of("nats-server", Verdict::Good, "2.9 on every site")));

    const auto database = [](const std::string& version) {
        return R"("stores":[{"store":"database/app","server_version":")" + version + "\"}]";
    };
    const Fetch other = [&](const std::string& url, std::chrono::milliseconds timeout) {
        const bool sydney = url.find("sydney") != std::string::npos;
        Answer answer = site.daemons()(url, timeout);
        answer.body.back() = ',';
        answer.body += database(sydney ? "16.1" : "15.4") + R"(,"version":")" +
                       (sydney ? "0.2.0" : "0.1.0") + "\"}";
        return answer;
    };
    const Greet newer = [](const std::string& url) {
        return NatsGreeting{url.find("sydney") != std::string::npos ? "2.10.2" : "2.9.10", true};
    };
    const Findings differing = site.look_at_servers(other, newer);
    EXPECT_THAT(differing,
                Contains(of("antipoded", Verdict::Bad, "0.1.0 on london, 0.2.0 on syd")));
    EXPECT_THAT(differing, Contains(of("nats-server", Verdict::Bad, "2.9 on london, 2.10 on syd")));
    EXPECT_THAT(
        differing,
        Contains(AllOf(of("PostgreSQL of database/app", Verdict::Bad, "15 on london, 16 on sydney"),
                       Field(&Finding::next_step, HasSubstr("upgrade")))));
    // One site alone differs from nobody.
    const Fetch alone = [&](const std::string& url, std::chrono::milliseconds timeout) {
        if (url.find("sydney") != std::string::npos) {
            throw Error(Reaction::Retry, "connection refused");
        }
        return site.daemons()(url, timeout);
    };
    EXPECT_THAT(site.look_at_servers(alone, debian_server),
                Not(Contains(Field(&Finding::subject, "antipoded"))));
}

TEST(Doctor, FindsAStreamThatDoesNotFit) {
    Site site;
    site.config.nats.stream_max_bytes = 1 << 20;
    EXPECT_THAT(site.look(local_checks()),
                Contains(is(Verdict::Good, "space", "nats.stream_max_bytes is 1.0 MB")));
    site.config.nats.stream_max_bytes = uint64_t{1} << 60;
    const Findings findings = site.look(local_checks());
    EXPECT_THAT(findings,
                Contains(AllOf(is(Verdict::Bad, "space", "nats.stream_max_bytes is 1.2 EB"),
                               Field(&Finding::next_step, HasSubstr("max_file_store")))));
}

TEST(Doctor, NamesWhatTheDaemonOfThisMachineCannotDoOnce) {
    Site site;
    const Fetch fetch = [&](const std::string& url, std::chrono::milliseconds timeout) {
        Answer answer = site.daemons()(url, timeout);
        answer.body.pop_back();
        const std::string problem = R"("healthy":false,"problem":"the stream does not fit",)";
        answer.body += R"(,"workers":[{"name":"publisher",)" + problem +
                       R"("next_step":"raise max_file_store"},{"name":"reports",)" + problem +
                       R"("next_step":""},{"name":"wants","healthy":true,"problem":""}]})";
        return answer;
    };
    EXPECT_THAT(site.look_at_servers(fetch, debian_server),
                Contains(AllOf(is(Verdict::Bad, "daemon", "publisher: the stream does not fit"),
                               Field(&Finding::next_step, "raise max_file_store")))
                    .Times(1));
    EXPECT_THAT(site.look_at_servers(fetch, debian_server),
                Contains(Field(&Finding::verdict, Verdict::Bad)).Times(1));
}

TEST(Doctor, SaysHowWellItKnowsTheClock) {
    const Site site;
    EXPECT_THAT(site.look_at_servers(site.daemons(), debian_server),
                Contains(is(Verdict::Good, "clock", "differs by less than 0.1s")).Times(2));
}

TEST(Doctor, FindsServersThatDoNotAnswerOrCannotServe) {
    Site site;
    const Fetch no_daemon = [](const std::string&, std::chrono::milliseconds) -> Answer {
        throw Error(Reaction::Retry, "connection refused");
    };
    const Greet no_nats = [](const std::string&) -> NatsGreeting {
        throw Error(Reaction::Retry, "connection refused");
    };
    const Findings silent = site.look_at_servers(no_daemon, no_nats);
    EXPECT_THAT(silent, Contains(is(Verdict::Bad, "nats", "connection refused")).Times(2));
    EXPECT_THAT(silent, Contains(is(Verdict::Bad, "daemon", "no antipoded answers")).Times(2));
    EXPECT_THAT(silent, Contains(Field(&Finding::subject, "sydney")).Times(2)) << "not the address";

    const Greet plain = [](const std::string&) { return NatsGreeting{"2.9.10", false}; };
    EXPECT_THAT(site.look_at_servers(site.daemons(), plain),
                Contains(is(Verdict::Bad, "nats", "without JetStream")).Times(2));

    site.config.nats.store_dir.clear();
    EXPECT_THAT(site.look_at_servers(site.daemons(), debian_server),
                Contains(is(Verdict::Bad, "nats", "syncs every two minutes")));
    const Greet newer = [](const std::string&) { return NatsGreeting{"2.10.2", true}; };
    EXPECT_THAT(site.look_at_servers(site.daemons(), newer),
                Not(Contains(Field(&Finding::verdict, Verdict::Bad))));
    site.config.witness = Config::Witness{"nats://w:secret@witness:4222", {}};
    EXPECT_THAT(site.look_at_servers(no_daemon, no_nats),
                Contains(AllOf(is(Verdict::Bad, "nats", "connection refused"),
                               testing::Field(&Finding::subject, "witness"))));
    site.config.witness.reset();
    site.config.nats.store_dir = site.directory / "state";
    EXPECT_THAT(site.look_at_servers(site.daemons(), debian_server),
                Contains(is(Verdict::Bad, "nats", "cannot be read")));
}

TEST(Doctor, FindsClocksThatDifferAndDaemonsOfOthers) {
    Site site;
    using std::chrono::seconds;
    EXPECT_THAT(site.look_at_servers(site.daemons(seconds(-5)), debian_server),
                Contains(is(Verdict::Bad, "clock", "differs by 5.0s")));
    site.config.sites[1].name = "tokyo";
    EXPECT_THAT(site.look_at_servers(site.daemons(), debian_server),
                Contains(is(Verdict::Bad, "daemon", "belongs to site sydney of cluster demo")));
}

TEST(Doctor, FindsWhatADatabaseLacks) {
    Site site;
    site.config.databases = {{.name = "app",
                              .url = "dbname=app",
                              .slot = "antipode_demo_app",
                              .publication = "antipode_app"}};
    const OpenBucket no_nats = [](const Config::Site&, bool) -> std::unique_ptr<KeyValue> {
        throw Error(Reaction::Retry, "connection refused");
    };
    SourceFacts facts;
    facts.server_version = 150004;
    facts.role = "antipode";
    facts.superuser = facts.may_publish = true;
    facts.may_replicate = true;
    facts.wal_level = "logical";
    facts.slots_most = 10;
    facts.senders_most = 10;
    facts.ddl_captured = true;
    const LookAtDatabase look = [&](const Config::Database&) { return facts; };
    EXPECT_THAT(site.look({database_check(look, no_nats)}),
                UnorderedElementsAre(
                    is(Verdict::Skipped, "space", "GRANT pg_read_all_settings TO \"antipode\""),
                    is(Verdict::Good, "database", "PostgreSQL 15.4, as role antipode"),
                    AllOf(is(Verdict::Bad, "database", "nothing caps the write-ahead log"),
                          Field(&Finding::next_step, HasSubstr("slot_max_bytes")))));
    facts.data_directory = site.directory.path();
    EXPECT_THAT(
        site.look({database_check(look, no_nats)}),
        Contains(AllOf(Field(&Finding::check, "space"), Field(&Finding::subject, "database/app"),
                       Field(&Finding::text, HasSubstr("at " + facts.data_directory)))));
    facts.data_directory.clear();
    site.config.databases.front().slot_max_bytes = 1 << 30;
    EXPECT_THAT(site.look({database_check(look, no_nats)}),
                Not(Contains(Field(&Finding::verdict, Verdict::Bad))));
    site.config.databases.front().slot_max_bytes = 0;
    facts.log_is_capped = true;
    facts.tables.resize(1);
    facts.tables[0].name = {"public", "log"};
    facts.tables[0].replica_identity = 'f';
    facts.tables[0].identity_usable = facts.tables[0].published = true;
    EXPECT_THAT(site.look({database_check(look, no_nats)}),
                ElementsAre(is(Verdict::Skipped, "space", "not known"),
                            is(Verdict::Good, "database", "can be captured"),
                            is(Verdict::Good, "database", "apart of \"public\".\"log\"")));
    facts.tables.clear();
    facts.large_objects = true;
    EXPECT_THAT(site.look({database_check(look, no_nats)}),
                Contains(is(Verdict::Good, "database", "has large objects, of whose changes")));
    facts.large_objects = false;
    facts.slot = SourceFacts::Slot{"pgoutput", "", "reserved", true, {}};
    facts.slot->retained_bytes = 20ULL << 30;
    EXPECT_THAT(site.look({database_check(look, no_nats)}),
                Contains(is(Verdict::Bad, "database", "keeps 20.0 GiB of log")));
    facts.slot.reset();
    facts.ddl_captured = false;
    EXPECT_THAT(site.look({database_check(look, no_nats)}),
                Contains(is(Verdict::Bad, "database", "(DDL) are not captured")));
    facts.ddl_captured = true;
    facts.unreadable_sequences = {{"public", "s"}};
    EXPECT_THAT(site.look({database_check(look, no_nats)}),
                Contains(is(Verdict::Bad, "database", "may not read the sequences \"public\".")));
    facts.unreadable_sequences.clear();
    facts.wal_level = "replica";
    facts.may_replicate = false;
    EXPECT_THAT(site.look({database_check(look, no_nats)}),
                UnorderedElementsAre(is(Verdict::Skipped, "space", "not known"),
                                     is(Verdict::Bad, "database", "wal_level is \"replica\""),
                                     is(Verdict::Bad, "database", "may not replicate")));
    const LookAtDatabase down = [](const Config::Database&) -> SourceFacts {
        throw Error(Reaction::Retry, "connection refused");
    };
    EXPECT_THAT(site.look({database_check(down, no_nats)}),
                ElementsAre(is(Verdict::Bad, "database", "connection refused")));
}

TEST(Doctor, PrintsRemediesAndEndsWithFindings) {
    const Config config;
    std::ostringstream out;
    std::ostringstream error;
    const std::vector<Check> checks = {
        {"a", [](const Config&) { return Findings{bad("a", "x", "is off", "turn it on")}; }},
        {"b", [](const Config&) -> Findings { throw Error(Reaction::Retry, "no", "wait"); }},
        {"c", [](const Config&) { return Findings{good("c", "", "fine")}; }}};
    EXPECT_EQ(run_doctor(config, checks, {out, error}), ExitCode::Findings);
    EXPECT_EQ(out.str(),
              "ok       c: fine\n"
              "FINDING  a x: is off\n"
              "         Try: turn it on\n"
              "FINDING  b: no\n"
              "         Try: wait\n"
              "2 to mend\n");
    out.str("");
    EXPECT_EQ(run_doctor(config, {checks[2]}, {out, error, Format::Json}), ExitCode::Ok);
    EXPECT_EQ(out.str(),
              "{\"schema\":\"antipode.doctor/1\",\"findings\":[{\"check\":\"c\",\"subject\":\"\","
              "\"verdict\":\"good\",\"text\":\"fine\",\"next_step\":\"\"}]}\n");
}

TEST(NatsGreeting, UnderstandsAddressesAndGreetings) {
    EXPECT_EQ(NatsAddress::parse("nats://127.0.0.1:4333").port, 4333);
    EXPECT_EQ(NatsAddress::parse("nats://a:b@host").host, "host");
    EXPECT_EQ(NatsAddress::parse("host").port, 4222);
    EXPECT_EQ(NatsAddress::parse("nats://[::1]:4333").host, "::1");
    EXPECT_EQ(NatsAddress::parse("nats://[::1]").port, 4222);
    for (const char* url : {"", "http://host", "nats://", "nats://host:", "nats://host:99999"}) {
        EXPECT_THROW(NatsAddress::parse(url), Error) << url;
    }
    EXPECT_EQ(parse_nats_info(R"(INFO {"version":"2.9.10","jetstream":true})").version, "2.9.10");
    EXPECT_FALSE(parse_nats_info(R"(INFO {"version":"2.9.10"})").jetstream);
    for (const char* line : {"", "HTTP/1.1 400 Bad Request", "INFO {", "INFO []", "INFO {}"}) {
        EXPECT_THROW(parse_nats_info(line), Error) << line;
    }
}

}  // namespace
}  // namespace antipode::cli
