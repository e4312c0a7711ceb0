#include "primary/database/requirements.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"

namespace antipode::primary {
namespace {

using testing::HasSubstr;

const Config::Database config{.name = "app",
                              .url = {},
                              .slot = "antipode_slot",
                              .publication = "antipode_app",
                              .replica_identity = "set"};

SourceTable table(const std::string& name, bool usable, bool owned = true) {
    SourceTable result;
    result.name = {"public", name};
    result.identity_usable = usable;
    result.owned = owned;
    result.published = true;
    return result;
}

SourceFacts ready() {
    SourceFacts facts;
    facts.server_version = 150004;
    facts.role = "capture";
    facts.superuser = facts.may_publish = true;
    facts.may_replicate = true;
    facts.wal_level = "logical";
    facts.slots_most = 10;
    facts.senders_most = 10;
    facts.database = "app";
    facts.tables = {table("a", true)};
    return facts;
}

/// The one need that `change` leaves unmet.
std::string need_of(const std::function<void(SourceFacts&)>& change,
                    const std::string& identity = "set") {
    SourceFacts facts = ready();
    change(facts);
    Config::Database changed = config;
    changed.replica_identity = identity;
    const auto needs = unmet_needs(facts, changed);
    EXPECT_EQ(needs.size(), 1U);
    if (needs.empty()) {
        return {};
    }
    EXPECT_FALSE(needs.front().remedy.empty());
    return needs.front().what;
}

TEST(SlotProblem, IsWhatTheSlotKeepsOrMayLose) {
    SourceFacts::Slot slot{"pgoutput", "app", "extended", true, Lsn{1}};
    slot.retained_bytes = (16ULL << 30) - 1;
    EXPECT_FALSE(slot_problem(slot, config));
    slot.retained_bytes = 16ULL << 30;
    EXPECT_THAT(slot_problem(slot, config)->what, HasSubstr("keeps 16.0 GiB"));
    slot.retained_bytes = 5;
    slot.wal_status = "unreserved";
    EXPECT_THAT(slot_problem(slot, config)->remedy, HasSubstr("max_slot_wal_keep_size"));
    slot.wal_status = "lost";
    EXPECT_THAT(slot_problem(slot, config)->remedy, HasSubstr("it makes a new one"));
}

TEST(SynchronousProblem, IsWhereTheTwoSidesDisagree) {
    SourceFacts facts = ready();
    Config::Database store = config;
    EXPECT_FALSE(synchronous_problem(facts, store));
    facts.synchronous_standby_names = "FIRST 1 (\"antipode_app\", other)";
    EXPECT_THAT(synchronous_problem(facts, store)->what, HasSubstr("synchronous is false"));
    store.synchronous = true;
    EXPECT_FALSE(synchronous_problem(facts, store));
    facts.synchronous_standby_names = "other";
    EXPECT_THAT(synchronous_problem(facts, store)->remedy,
                HasSubstr("synchronous_standby_names = '\"antipode_app\"'"));
}

TEST(Requirements, AreMetByAServerThatIsReady) {
    EXPECT_TRUE(unmet_needs(ready(), config).empty());
    refuse_unmet({});
}

TEST(Requirements, NameEachNeedOnItsOwn) {
    EXPECT_THAT(need_of([](auto& f) { f.server_version = 130000; }), HasSubstr("PostgreSQL 14"));
    EXPECT_THAT(need_of([](auto& f) { f.in_recovery = true; }), HasSubstr("standby"));
    EXPECT_THAT(need_of([](auto& f) { f.wal_level = "replica"; }), HasSubstr("wal_level"));
    EXPECT_THAT(need_of([](auto& f) { f.may_replicate = false; }), HasSubstr("\"capture\""));
    EXPECT_THAT(need_of([](auto& f) { f.senders_used = 10; }), HasSubstr("max_wal_senders"));
    EXPECT_THAT(need_of([](auto& f) { f.slots_used = 10; }), HasSubstr("max_replication_slots"));
    EXPECT_THAT(need_of([](auto& f) { f.may_publish = false; }), HasSubstr("publication"));
    EXPECT_THAT(need_of([](auto& f) {
                    f.slot = {"test_decoding", "app", "reserved", false, {}};
                }),
                HasSubstr("test_decoding"));
    EXPECT_THAT(
        need_of([](auto& f) { f.publication = {true, true, false, false, "antipode_slot", true}; }),
        HasSubstr("is gone"));
    EXPECT_THAT(need_of([](auto& f) { f.publication = {true, false, false, false, {}, true}; }),
                HasSubstr("leaves out operations"));
    EXPECT_THAT(need_of([](auto& f) {
                    f.publication = {false, true, false, false, {}, true};
                    f.tables[0].published = false;
                }),
                HasSubstr("leaves out \"public\".\"a\""));
}

TEST(Requirements, IdentitiesAreMendedOnlyWhenAllowedAndOwned) {
    const auto without = [](SourceFacts& facts) { facts.tables.push_back(table("b", false)); };
    SourceFacts facts = ready();
    without(facts);
    EXPECT_TRUE(unmet_needs(facts, config).empty());
    EXPECT_THAT(need_of(without, "check"), HasSubstr("\"public\".\"b\""));
    EXPECT_THAT(need_of([](auto& f) { f.tables.push_back(table("b", false, false)); }),
                HasSubstr("\"public\".\"b\""));
    facts.tables.back().candidate = "b_key";
    facts.tables.push_back(table("c", false));
    const auto changes = missing_identities(facts.tables);
    ASSERT_EQ(changes.size(), 2U);
    EXPECT_EQ(changes[0].index, "b_key");
    EXPECT_EQ(changes[1].index, std::nullopt);
}

TEST(KeylessNote, NamesTablesWhoseRowsTravelWhole) {
    SourceFacts facts = ready();
    EXPECT_EQ(keyless_note(facts), "");
    facts.tables.push_back(table("full", true));
    facts.tables.back().replica_identity = 'f';
    facts.tables.push_back(table("not_yet", false));
    // An identity of its own will be set.
    facts.tables.push_back(table("indexed", false));
    facts.tables.back().candidate = "indexed_key";
    EXPECT_THAT(keyless_note(facts),
                HasSubstr("apart of \"public\".\"full\", \"public\".\"not_yet\": each row"));
    EXPECT_EQ(keyless_note(facts).find("indexed"), std::string::npos);
    facts.tables[1].candidate = "full_pkey";
    EXPECT_THAT(keyless_note(facts), HasSubstr("apart of \"public\".\"not_yet\": each row"));
    EXPECT_THAT(keyless_note(facts), HasSubstr("apart of \"public\".\"full\" (ALTER TABLE"));
}

TEST(Requirements, ManyTablesAreCountedNotListed) {
    EXPECT_THAT(need_of(
                    [](auto& f) {
                        for (int i = 0; i < 100; ++i) {
                            f.tables.push_back(table("t" + std::to_string(i), false));
                        }
                    },
                    "check"),
                HasSubstr("and 95 more"));
}

TEST(Requirements, AreRefusedTogether) {
    try {
        refuse_unmet({{"first", "do this"}, {"second", "do that"}});
        FAIL();
    } catch (const Error& error) {
        EXPECT_EQ(error.reaction(), Reaction::Stop);
        EXPECT_THAT(error.what(), HasSubstr("first; second"));
        EXPECT_EQ(error.next_step(), "do this; do that");
    }
}

}  // namespace
}  // namespace antipode::primary
