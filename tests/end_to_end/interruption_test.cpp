// A process of the site that acts is killed (-9) in each step of a change of the primary, planned
// and unplanned, in both directions. A part of the cases runs each day, another one the next day;
// with ANTIPODE_INTERRUPTIONS=all every one.
#include <ctime>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/end_to_end/two_primaries.hpp"

namespace antipode::test {
namespace {

using namespace std::chrono_literals;

/// Of all cases, each day.
constexpr size_t parts = 8;

struct Interruption {
    bool planned;
    bool at_old_primary;
    const char* state;    ///< that its journal has just named
    const char* process;  ///< of that site

    std::string to_string() const {
        return std::string(planned ? "switchover, " : "promote, ") +
               (at_old_primary ? "old primary, " : "new primary, ") + state + ": " + process;
    }
};

std::vector<Interruption> all_interruptions() {
    std::vector<Interruption> all;
    for (const char* const process : {"antipoded", "nats-server", "postgres"}) {
        for (const char* const state :
             {"fencing", "capturing", "handed-off", "confirming", "committing", "yielding"}) {
            all.push_back({true, true, state, process});
        }
        for (const char* const state : {"catching-up", "ready", "preparing", "opening"}) {
            all.push_back({true, false, state, process});
        }
        for (const char* const state : {"cutting", "claiming", "preparing", "opening"}) {
            all.push_back({false, false, state, process});
        }
    }
    return all;
}

std::vector<Interruption> todays_interruptions() {
    const std::vector<Interruption> all = all_interruptions();
    const char* const wanted = std::getenv("ANTIPODE_INTERRUPTIONS");
    if (wanted != nullptr && std::string(wanted) == "all") {
        return all;
    }
    const auto day = static_cast<size_t>(std::time(nullptr) / 86400);
    std::vector<Interruption> some;
    for (size_t i = day % parts; i < all.size(); i += parts) {
        some.push_back(all[i]);
    }
    return some;
}

void kill_and_start(Site& site, const std::string& process) {
    if (process == "antipoded") {
        site.kill();
        site.start();
    } else if (process == "nats-server") {
        site.nats.kill();
        site.nats.start();
    } else {
        site.postgres.kill();
        site.postgres.start();
    }
}

class Interruptions : public testing::Test {
  protected:
    void SetUp() override {
        write();
        ASSERT_TRUE(pair_.caught_up(pair_.sydney)) << pair_.describe();
        ASSERT_EQ(pair_.sydney.antipode({"database", "setup"}).status, 0);
    }
    void write() {
        ASSERT_TRUE(eventually([&] { return writer_.write(); })) << pair_.describe();
    }
    Site& to() { return pair_.other(*primary_); }

    void interrupt(const Interruption& one) {
        Site& victim = one.at_old_primary ? *primary_ : to();
        const size_t before = read_file(journal_of(victim)).size();
        std::vector<std::string> command = {
            ANTIPODE,  "--config",    (to().directory / "antipode.toml").string(),
            "promote", to().name,     "--confirm",
            to().name, "--fenced-by", "by hand"};
        if (one.planned) {
            command = {command[0], command[1], command[2], "switchover",
                       "--to",     to().name,  "--yes"};
        }
        Process asked(command, {});
        const std::string step = "\"state\":\"" + std::string(one.state) + "\"";
        ASSERT_TRUE(eventually([&] {
            return read_file(journal_of(victim)).find(step, before) != std::string::npos;
        })) << pair_.describe();
        kill_and_start(victim, one.process);
        asked.kill();
    }

    /// Goes on, or is given up while it can be; never anything between.
    void switch_over(const Interruption& one) {
        ASSERT_TRUE(pair_.ready(to())) << pair_.describe();
        interrupt(one);
        const CommandResult ended = to().antipode({"op", "wait", "--timeout", "90"});
        ASSERT_TRUE(ended.status == 0 || ended.status == 1) << ended.error << pair_.describe();
        given_up_ += ended.status;
        if (ended.status == 0) {
            primary_ = &to();
        }
        ASSERT_TRUE(eventually([&] { return pair_.has_roles(*primary_); }, 60s))
            << pair_.describe();
    }

    void promote(const Interruption& one) {
        Site& old = *primary_;
        old.kill();
        old.nats.kill();
        old.postgres.kill();
        std::filesystem::remove(Pair::opened(old));
        ASSERT_TRUE(eventually([&] {
            return to().antipode({"preflight", "--to", to().name, "--mode", "failover"}).status ==
                   0;
        })) << pair_.describe();
        interrupt(one);
        const CommandResult ended = to().antipode({"op", "wait", "--timeout", "90"});
        ASSERT_EQ(ended.status, 0) << ended.error << pair_.describe();
        primary_ = &to();
        EXPECT_EQ(writer_.missing(*primary_), -1) << "it was safe there";
        old.nats.start();
        old.postgres.start();
        old.start();
        ASSERT_TRUE(eventually([&] { return old.status(".failover.state") == "quarantined"; }, 60s))
            << pair_.describe();
        const CommandResult rejoined = old.antipode({"rejoin", old.name, "--yes"});
        ASSERT_EQ(rejoined.status, 0) << rejoined.error << pair_.describe();
    }

    Pair pair_{"switchover_timeout = \"30s\"\n"};
    Writer writer_{pair_};
    Site* primary_ = &pair_.london;
    int given_up_ = 0;
};

TEST_F(Interruptions, EndWithOnePrimaryThatHasEverythingAndAnEqualSecondary) {
    const auto cases = todays_interruptions();
    for (const Interruption& one : cases) {
        SCOPED_TRACE(one.to_string() + ", from " + primary_->name);
        std::cout << one.to_string() << ", from " << primary_->name << std::endl;
        write();
        ASSERT_TRUE(pair_.caught_up(to())) << pair_.describe();
        ASSERT_NO_FATAL_FAILURE(one.planned ? switch_over(one) : promote(one));
        EXPECT_EQ(pair_.open_site(), primary_) << pair_.describe();
        write();
        ASSERT_TRUE(pair_.caught_up(to())) << pair_.describe();
        EXPECT_EQ(writer_.missing(*primary_), -1);
        EXPECT_EQ(writer_.missing(to()), -1);
        pair_.expect_equal();
    }
    std::cout << cases.size() << " of " << all_interruptions().size() << " cases, " << given_up_
              << " were given up\n";
}

}  // namespace
}  // namespace antipode::test
