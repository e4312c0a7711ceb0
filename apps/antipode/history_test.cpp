#include "apps/antipode/history.hpp"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/error.hpp"

namespace antipode::cli {
namespace {

using failover::JournalEntry;
using failover::State;
using testing::HasSubstr;
using Json = nlohmann::ordered_json;

class History : public testing::Test {
  protected:
    void step(const std::string& site, State state, uint64_t epoch, const std::string& operation,
              const std::string& event = "done", const std::string& detail = {}) {
        std::vector<JournalEntry>& journal = journals_[site];
        journal.push_back({journal.size() + 1, from_microseconds(time_ += 1'000'000), epoch,
                           operation, state, event, detail});
    }
    void switch_over() {
        step("london", State::Fencing, 1, "switchover-1", "asked", "sydney");
        step("london", State::HandedOff, 1, "switchover-1");
        step("sydney", State::CatchingUp, 1, "switchover-1", "handoff-seen");
        step("london", State::Committing, 1, "switchover-1");
        step("london", State::Yielding, 2, "switchover-1");
        step("sydney", State::Preparing, 2, "switchover-1", "named");
        step("sydney", State::Opening, 2, "switchover-1");
        step("sydney", State::Serving, 2, "switchover-1");
        step("london", State::Following, 2, "switchover-1");
    }
    void lose_sydney() {
        step("london", State::Cutting, 2, "promote-2", "asked-claim");
        step("london", State::Claiming, 2, "promote-2");
        step("london", State::Preparing, 3, "promote-2");
        step("london", State::Opening, 3, "promote-2");
        step("london", State::Serving, 3, "promote-2");
        // It has not heard of that operation, and remembers its own.
        step("sydney", State::Fenced, 3, "switchover-1", "superseded", "london is the primary");
        step("sydney", State::Quarantining, 3, "promote-2", "returned");
    }

    int64_t time_ = 1'600'000'000'000'000;
    std::map<std::string, std::vector<JournalEntry>> journals_ = {{"london", {}}, {"sydney", {}}};
};

TEST_F(History, PutsTheStepsOfBothSitesTogetherByOperation) {
    step("london", State::Serving, 1, "", "began");
    switch_over();
    lose_sydney();
    const auto found = operations_of(journals_);
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].id, "switchover-1");
    EXPECT_EQ(found[0].steps.size(), 9U);
    EXPECT_EQ(found[0].steps[2].site, "sydney");
    EXPECT_EQ(found[0].outcome, OperationOutcome::Done);
    EXPECT_EQ(found[0].primary, "sydney");
    EXPECT_EQ(found[0].epoch, 2U);
    EXPECT_EQ(found[0].ended - found[0].steps[0].entry.at, std::chrono::seconds(7));
    EXPECT_EQ(found[1].id, "promote-2");
    EXPECT_EQ(found[1].steps.size(), 7U) << "what it did to sydney belongs to it";
    EXPECT_EQ(found[1].primary, "london");
}

TEST_F(History, TellsWhoHasSeenIt) {
    switch_over();
    const std::string seen = "london has applied the new epoch, 1.2 s after writes opened";
    EXPECT_EQ(operations_of(journals_)[0].seen, "");
    step("sydney", State::Serving, 2, "switchover-1", failover::seen_event, seen);
    lose_sydney();
    step("london", State::Serving, 3, "promote-2", failover::seen_event, "nobody has");
    const auto found = operations_of(journals_);
    EXPECT_EQ(found[0].ended - found[0].steps[0].entry.at, std::chrono::seconds(7))
        << "it was over before";
    EXPECT_EQ(outcome_of(found[0]), "sydney is the primary of epoch 2; " + seen);
    EXPECT_EQ(to_json(found[0], {})["seen"], seen);
    EXPECT_EQ(found[1].seen, "nobody has");
}

TEST_F(History, TellsWhyOneWasGivenUpAndWhichRuns) {
    step("london", State::Fencing, 1, "switchover-1", "asked", "sydney");
    step("london", State::RollingBack, 1, "switchover-1", "failed", "it took too long");
    step("london", State::Serving, 1, "switchover-1");
    step("sydney", State::Cutting, 1, "promote-2", "asked-claim");
    step("sydney", State::Following, 1, "promote-2", "failed");
    step("sydney", State::Cutting, 1, "promote-3", "asked-claim");
    const auto found = operations_of(journals_);
    ASSERT_EQ(found.size(), 3U);
    EXPECT_EQ(found[0].outcome, OperationOutcome::GivenUp);
    EXPECT_EQ(found[0].reason, "it took too long");
    EXPECT_EQ(found[1].outcome, OperationOutcome::GivenUp);
    EXPECT_EQ(found[2].outcome, OperationOutcome::Runs);
}

TEST_F(History, DoesNotSayThatOneRunsWhichAnotherCameAfter) {
    step("london", State::Fencing, 1, "switchover-1", "asked", "sydney");
    step("sydney", State::Cutting, 1, "promote-2", "asked-claim");
    step("sydney", State::Preparing, 2, "promote-2");
    step("sydney", State::Opening, 2, "promote-2");
    step("sydney", State::Serving, 2, "promote-2");
    step("london", State::Fenced, 2, "switchover-1", "superseded");
    const auto found = operations_of(journals_);
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].outcome, OperationOutcome::Unknown);
    EXPECT_EQ(found[0].reason, "promote-2 came after it");
    EXPECT_EQ(found[1].outcome, OperationOutcome::Done);
}

/// As the daemons give their journals.
class HistoryCommand : public History {
  protected:
    HistoryCommand() {
        config_.cluster = "demo";
        config_.site = "paris";
        config_.sites = {{"london", "nats://a:1", "http://london:1"},
                         {"sydney", "nats://b:1", "http://sydney:1"}};
    }
    std::string lines(const std::string& site) const {
        std::string text;
        for (const JournalEntry& entry : journals_.at(site)) {
            text += Json{{"number", entry.number},
                         {"at_us", to_microseconds(entry.at)},
                         {"epoch", entry.epoch},
                         {"operation", entry.operation},
                         {"state", failover::to_string(entry.state)},
                         {"event", entry.event},
                         {"detail", entry.detail}}
                        .dump() +
                    "\n";
        }
        return text;
    }

    Config config_;
    std::set<std::string> silent_;
    std::ostringstream out_;
    std::ostringstream error_;
    Output output_{out_, error_};
    Fetch fetch_ = [this](const std::string& url, std::chrono::milliseconds) -> Answer {
        const std::string site = url.find("london") != std::string::npos ? "london" : "sydney";
        if (silent_.contains(site)) {
            throw Error(Reaction::Retry, "connection refused");
        }
        return {200, lines(site)};
    };
};

TEST_F(HistoryCommand, ListsOperationsAndTheStepsOfOne) {
    EXPECT_EQ(show_history(config_, fetch_, output_), ExitCode::Ok);
    EXPECT_THAT(out_.str(), HasSubstr("never changed"));
    EXPECT_THROW(show_operation(config_, fetch_, output_, ""), CommandError);
    switch_over();
    lose_sydney();
    out_.str({});
    EXPECT_EQ(show_history(config_, fetch_, output_), ExitCode::Ok);
    EXPECT_THAT(out_.str(), HasSubstr("sydney is the primary of epoch 2"));
    EXPECT_THAT(out_.str(), HasSubstr("london is the primary of epoch 3"));
    out_.str({});
    EXPECT_EQ(list_operations(config_, fetch_, output_), ExitCode::Ok);
    EXPECT_THAT(out_.str(), HasSubstr("switchover-1"));
    EXPECT_THAT(out_.str(), HasSubstr("london is the primary of epoch 3"));
    out_.str({});
    EXPECT_EQ(show_operation(config_, fetch_, output_, "switchover-1"), ExitCode::Ok);
    EXPECT_THAT(out_.str(), HasSubstr("handoff-seen"));
    EXPECT_THROW(show_operation(config_, fetch_, output_, "switchover-9"), CommandError);
    output_.format = Format::Json;
    out_.str({});
    EXPECT_EQ(show_operation(config_, fetch_, output_, ""), ExitCode::Ok);
    const Json newest = Json::parse(out_.str());
    EXPECT_EQ(newest["operation"], "promote-2");
    EXPECT_EQ(newest["outcome"], "done");
    EXPECT_EQ(newest["steps"][6]["state"], "quarantining");
    out_.str({});
    EXPECT_EQ(list_operations(config_, fetch_, output_), ExitCode::Ok);
    const Json all = Json::parse(out_.str());
    EXPECT_EQ(all["schema"], "antipode.operations/1");
    EXPECT_EQ(all["operations"].size(), 2U);
    EXPECT_FALSE(all.contains("drills"));
}

TEST_F(HistoryCommand, NamesASiteThatDoesNotAnswer) {
    switch_over();
    silent_ = {"london"};
    EXPECT_EQ(show_history(config_, fetch_, output_), ExitCode::Ok);
    EXPECT_THAT(out_.str(), HasSubstr("sydney is the primary of epoch 2"));
    EXPECT_THAT(error_.str(), HasSubstr("london does not answer"));
    silent_ = {"london", "sydney"};
    EXPECT_THROW(show_history(config_, fetch_, output_), CommandError);
}

}  // namespace
}  // namespace antipode::cli
