#include "secondary/database/barriers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.hpp"
#include "protocol/rows.hpp"

namespace antipode::secondary {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using Fields = std::vector<std::optional<std::string>>;

class BarriersMeet : public testing::Test {
  protected:
    static v1::Barrier barrier(const std::string& snapshot) {
        v1::Barrier barrier;
        barrier.set_check("id");
        barrier.set_snapshot(snapshot);
        return barrier;
    }
    /// Table t: id is the key, v is not.
    static v1::Transaction message() {
        v1::Transaction message;
        v1::Relation& relation = *message.add_relations();
        relation.set_id(1);
        relation.set_schema("public");
        relation.set_table("t");
        for (const char* name : {"id", "v"}) {
            v1::Column& column = *relation.add_columns();
            column.set_name(name);
            column.set_key(std::string_view(name) == "id");
        }
        return message;
    }
    void apply(uint32_t xid, protocol::ChangeWriter writer) {
        barriers_.applied(message(), xid, writer.take());
    }
    static protocol::ChangeWriter insert(const std::string& id) {
        protocol::ChangeWriter writer;
        writer.insert(1, protocol::encode_row({id, "v"}));
        return writer;
    }
    void expect() {
        barriers_.expect("id", [this](const Touched& touched, ReplicaSession&) {
            ++actions_;
            touched_ = touched;
        });
    }
    /// The session is handed on, and nothing else.
    void reach(const std::string& snapshot, bool whole = true) {
        auto* const nobody = reinterpret_cast<ReplicaSession*>(this);
        barriers_.reached(barrier(snapshot), *nobody, whole);
    }
    /// What is wrong; empty: it was done.
    std::string result() {
        std::string problem;
        const bool done = barriers_.wait(milliseconds(0), {}, problem);
        EXPECT_EQ(done, problem.empty());
        return problem;
    }

    Barriers barriers_;
    Touched touched_;
    int actions_ = 0;
};

const TableName table{"public", "t"};

TEST_F(BarriersMeet, NamesTheRowsOfWhatTheSnapshotDoesNotSee) {
    expect();
    reach("");
    apply(10, insert("seen"));
    protocol::ChangeWriter writer;
    writer.update(1, protocol::OldRow::Key, protocol::encode_row({"old", std::nullopt}),
                  protocol::encode_row({"new", "v"}));
    writer.update(1, protocol::OldRow::None, {}, protocol::encode_row({"kept", "v"}));
    writer.remove(1, protocol::OldRow::Key, protocol::encode_row({"gone", std::nullopt}));
    apply(12, std::move(writer));
    reach("12:13:12");
    EXPECT_EQ(result(), "");
    ASSERT_EQ(actions_, 1);
    EXPECT_EQ(touched_.at(table).columns, (std::vector<std::string>{"id"}));
    EXPECT_EQ(touched_.at(table).rows, (std::vector<Fields>{{"old"}, {"new"}, {"kept"}, {"gone"}}));
    EXPECT_FALSE(touched_.at(table).all);
}

TEST_F(BarriersMeet, OneThatIsStoppedLeavesApplyAlone) {
    barriers_.expect("id", [](const Touched&, ReplicaSession&) { throw Stopped{}; });
    reach("");
    EXPECT_NO_THROW(reach("12:12:"));
    EXPECT_EQ(result(), "stopped");
}

TEST_F(BarriersMeet, ATruncationTouchesTheWholeTable) {
    expect();
    reach("");
    protocol::ChangeWriter writer;
    writer.truncate({1}, false, false);
    apply(12, std::move(writer));
    reach("12:12:");
    EXPECT_EQ(result(), "");
    EXPECT_TRUE(touched_.at(table).all);
}

TEST_F(BarriersMeet, ServesNotWhenSomethingFromBeforeIsNotVisibleYet) {
    apply(11, insert("early"));
    expect();
    reach("");
    reach("11:14:11");
    EXPECT_THAT(result(), HasSubstr("not visible"));
    expect();
    reach("");
    reach("14:14:");
    EXPECT_EQ(result(), "");
    // What came between one check's barriers came before the next one's.
    expect();
    reach("");
    apply(20, insert("between"));
    reach("20:21:20");
    EXPECT_EQ(result(), "");
    expect();
    reach("");
    reach("20:22:20");
    EXPECT_THAT(result(), HasSubstr("not visible"));
}

TEST_F(BarriersMeet, ServesNotWithoutTheFirstBarrierNorBeforeTheCopyIsPassedNorOverDdl) {
    expect();
    reach("14:14:");
    EXPECT_THAT(result(), HasSubstr("first barrier"));
    expect();
    reach("");
    reach("14:14:", false);
    EXPECT_THAT(result(), HasSubstr("initial copy"));
    expect();
    reach("");
    v1::Transaction changed = message();
    changed.add_statements()->set_sql("ALTER TABLE t ADD w int");
    barriers_.applied(changed, 15, {});
    reach("15:15:");
    EXPECT_THAT(result(), HasSubstr("structure"));
    EXPECT_EQ(actions_, 0);
}

TEST_F(BarriersMeet, PassesBarriersThatNobodyHereAskedFor) {
    reach("14:14:");
    expect();
    barriers_.forget();
    reach("");
    reach("14:14:");
    EXPECT_EQ(actions_, 0);
    expect();
    std::string problem;
    EXPECT_THROW(barriers_.wait(milliseconds(0), {}, problem), Error) << "none came";
}

}  // namespace
}  // namespace antipode::secondary
