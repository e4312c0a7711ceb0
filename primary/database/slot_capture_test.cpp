#include "primary/database/slot_capture.hpp"

#include <deque>

#include <gtest/gtest.h>

#include "base/error.hpp"
#include "base/limits.hpp"

namespace antipode::primary {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// A server in memory: what decoding will say, and what it was told.
class FakeServer final : public ChangeSource,
                         public SourceControl,
                         public WalPosition,
                         public SequencePublisher {
  public:
    Lsn start() override {
        log.push_back("start");
        return confirmed;
    }
    void stop() override { log.push_back("stop"); }
    std::optional<Decoded> next(milliseconds wait) override {
        waits.push_back(wait);
        if (failing) {
            throw Error(Reaction::Retry, "connection lost");
        }
        if (decoded.empty()) {
            decoded.swap(later);
            return std::nullopt;
        }
        Decoded next = decoded.front();
        decoded.pop_front();
        return next;
    }
    void send_status(Lsn lsn, bool ask) override {
        EXPECT_GE(lsn, confirmed);
        confirmed = lsn;
        asked += ask ? 1 : 0;
        ++statuses;
    }
    void wake() override { ++woken; }

    SourceFacts facts() override {
        SourceFacts facts;
        facts.server_version = 150000;
        facts.may_publish = facts.may_replicate = true;
        facts.wal_level = "logical";
        facts.slots_most = facts.senders_most = 5;
        facts.database = "app";
        facts.tables = tables;
        if (has_slot) {
            facts.slot = {"pgoutput", "app", slot_lost ? "lost" : "reserved", false, confirmed};
        }
        facts.publication = publication;
        return facts;
    }
    std::vector<SourceTable> tables_without_identity() override {
        std::vector<SourceTable> without;
        for (const SourceTable& table : tables) {
            if (!table.identity_usable) {
                without.push_back(table);
            }
        }
        return without;
    }
    std::optional<SourceFacts::Slot> slot() override { return facts().slot; }
    void set_identity(const TableName& name, const std::optional<std::string>& index) override {
        if (locked) {
            throw Error(Reaction::Retry, "locked");
        }
        log.push_back("identity " + name.table + " " + index.value_or("full"));
        for (SourceTable& table : tables) {
            table.identity_usable = true;
        }
    }
    void create_publication() override {
        log.push_back("publication");
        publication = {true, true, false, false, {}, true};
    }
    void create_slot() override {
        log.push_back("slot");
        has_slot = true;
    }
    void record_slot() override {
        log.push_back("record");
        publication->slot_made = "slot";
    }
    void give_up_slot() override {
        log.push_back("give up");
        has_slot = false;
        slot_lost = false;
        publication->slot_made.clear();
    }
    Lsn flushed_end() override {
        if (failing) {
            throw Error(Reaction::Retry, "shutting down");
        }
        return wal_end;
    }
    void publish_moved() override {
        ++published;
        if (locked) {
            throw Error(Reaction::Retry, "locked");
        }
    }
    Lsn publish_all(bool exact) override {
        log.push_back(exact ? "exact sequences" : "sequences");
        return wal_end;
    }

    void commit(uint64_t lsn) {
        static const std::string row = protocol::encode_row({"1"});
        DecodedRow change;
        change.relation = 1;
        change.new_row = row;
        decoded.insert(decoded.end(),
                       {DecodedBegin{7, Lsn{lsn}, committed_at},
                        RelationShape{1, {"public", "t"}, 'd', {{"id", 23, -1, true}}}, change,
                        DecodedCommit{Lsn{lsn}, Lsn{lsn + 10}, committed_at}});
    }

    std::deque<Decoded> decoded;
    std::vector<SourceTable> tables;
    std::optional<SourceFacts::Publication> publication;
    std::vector<std::string> log;
    Lsn confirmed{100};
    Lsn wal_end{0};
    TimePoint committed_at{};
    std::vector<milliseconds> waits;  ///< for what is decoded
    bool has_slot = false;
    bool slot_lost = false;
    bool failing = false;
    bool locked = false;
    int asked = 0;
    int statuses = 0;
    int woken = 0;
    int published = 0;
    std::deque<Decoded> later;  ///< behind a next() that returns nothing
};

class Capture : public testing::Test {
  protected:
    std::vector<DatabaseEvent> poll() { return capture_.poll(milliseconds(10)); }
    static const v1::Transaction& transaction(const DatabaseEvent& event) {
        return std::get<CapturedTransaction>(event).transaction;
    }
    static Lsn through(const DatabaseEvent& event) { return std::get<DecodedThrough>(event).lsn; }

    FakeServer server_;
    ManualClock clock_;
    SlotCapture capture_{Config::Database{"app", "", "slot", "publication", "set"},
                         server_,
                         server_,
                         server_,
                         server_,
                         clock_};
};

TEST_F(Capture, PreparesInAnOrderThatACrashMayCutAnywhere) {
    server_.tables = {{{"public", "t"}, 'd', false, "t_key", false, true}};
    poll();
    EXPECT_EQ(server_.log, (std::vector<std::string>{"identity t t_key", "publication", "slot",
                                                     "record", "start"}));
}

TEST_F(Capture, MakesANewSlotForOneThatTheServerEnded) {
    poll();
    server_.log.clear();
    server_.slot_lost = true;
    server_.failing = true;
    EXPECT_THROW(poll(), Error);
    server_.failing = false;
    poll();
    EXPECT_EQ(server_.log,
              (std::vector<std::string>{"stop", "give up", "slot", "record", "start"}));
}

TEST_F(Capture, ReturnsTransactionsThenHowFarDecodingIs) {
    poll();
    server_.commit(200);
    server_.commit(300);
    server_.decoded.push_back(DecodedProgress{Lsn{400}, false});
    const auto events = poll();
    ASSERT_EQ(events.size(), 3U);
    EXPECT_EQ(transaction(events[0]).after_lsn(), 100U);
    EXPECT_EQ(transaction(events[1]).after_lsn(), 210U);
    EXPECT_EQ(through(events[2]), Lsn{400});
}

TEST_F(Capture, TransactionsThatShareAMessageAreConfirmedTogether) {
    poll();
    server_.commit(200);
    server_.commit(300);
    const auto described = std::find_if(
        server_.decoded.begin() + 4, server_.decoded.end(),
        [](const Decoded& next) { return std::holds_alternative<RelationShape>(next); });
    ASSERT_NE(described, server_.decoded.end());
    server_.decoded.erase(described);  // PostgreSQL describes a table once
    const auto events = poll();
    ASSERT_EQ(events.size(), 2U);
    EXPECT_EQ(transaction(events[0]).members_size(), 2);
    EXPECT_EQ(transaction(events[0]).end_lsn(), 310U);
    capture_.confirm(Lsn{210});
    poll();
    EXPECT_EQ(server_.confirmed, Lsn{100}) << "decoding must not begin inside a message";
    capture_.confirm(Lsn{310});
    poll();
    EXPECT_EQ(server_.confirmed, Lsn{310});
}

TEST_F(Capture, AConfirmationDoesNotPartTransactionsThatShareAMessage) {
    poll();
    server_.commit(200);
    poll();
    server_.commit(300);
    server_.decoded.swap(server_.later);
    server_.commit(400);
    server_.decoded.erase(server_.decoded.begin() + 1);  // PostgreSQL describes a table once
    server_.decoded.swap(server_.later);
    capture_.confirm(Lsn{210});
    const auto events = poll();
    ASSERT_EQ(events.size(), 2U);
    EXPECT_EQ(transaction(events[0]).members_size(), 2);
    EXPECT_EQ(server_.confirmed, Lsn{210});
}

TEST_F(Capture, ALoneTransactionNeverWaitsForOthers) {
    const auto wait_behind = [&](uint64_t lsn, milliseconds age) {
        server_.committed_at = clock_.now() - age;
        server_.commit(lsn);
        poll();
        return server_.waits.back();
    };
    poll();
    clock_.advance(seconds(1));
    EXPECT_EQ(wait_behind(200, milliseconds(0)), milliseconds(0));
    EXPECT_EQ(wait_behind(300, milliseconds(0)), milliseconds(2)) << "right behind another one";
    EXPECT_EQ(wait_behind(400, seconds(1)), milliseconds(25)) << "decoding is behind";
    clock_.advance(milliseconds(20));
    EXPECT_EQ(wait_behind(500, seconds(1)), milliseconds(5));
    clock_.advance(seconds(1));
    EXPECT_EQ(wait_behind(600, seconds(1)), milliseconds(0));
}

TEST_F(Capture, NeverConfirmsMoreThanItWasToldNorWhatNoTransactionEndsAt) {
    poll();
    server_.commit(200);
    server_.decoded.push_back(DecodedProgress{Lsn{5000}, true});
    poll();
    EXPECT_EQ(server_.confirmed, Lsn{100});
    capture_.confirm(Lsn{150});
    poll();
    EXPECT_EQ(server_.confirmed, Lsn{100}) << "no transaction ends at 150: nobody stands there";
    capture_.confirm(Lsn{210});
    poll();
    EXPECT_EQ(server_.confirmed, Lsn{210});
    capture_.confirm(Lsn{5000});
    poll();
    EXPECT_EQ(server_.confirmed, Lsn{210}) << "the end of the last transaction";
    EXPECT_GE(server_.woken, 2);
}

TEST_F(Capture, MovesOnWithoutChangesWhereNothingIsReplicated) {
    poll();
    server_.decoded.push_back(DecodedProgress{Lsn{500}, false});
    EXPECT_EQ(poll().size(), 1U) << "too early";
    clock_.advance(seconds(11));
    const auto events = poll();
    ASSERT_EQ(events.size(), 1U);
    EXPECT_EQ(transaction(events[0]).end_lsn(), 500U);
    EXPECT_EQ(transaction(events[0]).after_lsn(), 100U);
    clock_.advance(seconds(11));
    EXPECT_TRUE(poll().empty()) << "nothing was written since";
    server_.decoded.push_back(DecodedProgress{Lsn{500 + 2 * limits::mib}, false});
    EXPECT_EQ(poll().size(), 2U) << "much was written";
    capture_.confirm(Lsn{500});
    poll();
    EXPECT_EQ(server_.confirmed, Lsn{100}) << "a marker may have said so, without the transaction";
    capture_.confirm(Lsn{501});
    poll();
    EXPECT_EQ(server_.confirmed, Lsn{500});
}

TEST_F(Capture, AsksOftenOnlyWhileSomebodyWaits) {
    poll();
    const int before = server_.asked;
    clock_.advance(milliseconds(20));
    poll();
    EXPECT_EQ(server_.asked, before);
    server_.wal_end = Lsn{700};
    EXPECT_EQ(capture_.wal_position(), Lsn{700});
    poll();
    EXPECT_EQ(server_.asked, before + 1);
    server_.decoded.push_back(DecodedProgress{Lsn{700}, false});
    poll();
    clock_.advance(milliseconds(20));
    poll();
    EXPECT_EQ(server_.asked, before + 1) << "nobody waits any more";
    clock_.advance(seconds(1));
    poll();
    EXPECT_EQ(server_.asked, before + 2);
}

TEST_F(Capture, StartsAgainAfterAnErrorAndOnDemand) {
    poll();
    server_.failing = true;
    EXPECT_THROW(poll(), Error);
    server_.failing = false;
    server_.log.clear();
    poll();
    EXPECT_EQ(server_.log, (std::vector<std::string>{"start"}));
    capture_.restart();
    poll();
    EXPECT_EQ(server_.log, (std::vector<std::string>{"start", "stop", "start"}));
}

TEST_F(Capture, LetsGoOfAServerThatShutsDown) {
    poll();
    server_.failing = true;
    EXPECT_THROW(capture_.wal_position(), Error);
    server_.log.clear();
    EXPECT_THROW(poll(), Error);
    EXPECT_EQ(server_.log.front(), "stop");
}

TEST_F(Capture, SaysThatTheSlotVanished) {
    poll();
    server_.has_slot = false;
    capture_.restart();
    try {
        poll();
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Stop);
        EXPECT_NE(std::string(error.what()).find("is gone"), std::string::npos);
    }
}

TEST_F(Capture, GivesNewTablesAnIdentityAndToleratesLockedOnes) {
    poll();
    server_.tables = {{{"public", "fresh"}, 'd', false, std::nullopt, false, true}};
    server_.locked = true;
    clock_.advance(seconds(6));
    poll();
    server_.locked = false;
    clock_.advance(seconds(6));
    poll();
    EXPECT_EQ(server_.log.back(), "identity fresh full");
}

TEST_F(Capture, StaysAliveWhileDownstreamIsFull) {
    capture_.keep_alive();
    EXPECT_EQ(server_.statuses, 0) << "no connection yet";
    poll();
    const int before = server_.statuses;
    capture_.keep_alive();
    EXPECT_EQ(server_.statuses, before);
    clock_.advance(seconds(2));
    capture_.keep_alive();
    EXPECT_EQ(server_.statuses, before + 1);
}

TEST_F(Capture, ReturnsABoundedAmount) {
    poll();
    for (uint64_t i = 0; i < 2000; ++i) {
        server_.commit(1000 + 20 * i);
    }
    const auto events = poll();
    EXPECT_LE(events.size(), 600U);
    EXPECT_EQ(through(events.back()), Lsn{transaction(events[events.size() - 2]).end_lsn()});
}

}  // namespace
}  // namespace antipode::primary
