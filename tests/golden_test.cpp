#include <filesystem>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include "protocol/message.hpp"
#include "protocol/rows.hpp"
#include "tests/support/temporary_directory.hpp"

/// Old bytes that every later version must still read, and the schema as it was released. To add to
/// them after a deliberate addition: ANTIPODE_WRITE_GOLDEN=1 golden_test, then look at the
/// difference.
namespace antipode::protocol {
namespace {

namespace pb = google::protobuf;

const std::filesystem::path golden = ANTIPODE_GOLDEN;
const bool writing = std::getenv("ANTIPODE_WRITE_GOLDEN") != nullptr;
const TimePoint captured = from_microseconds(1'700'000'000'123'456);
const StoreId database{StoreKind::Database, "app"};
const StoreId repositories{StoreKind::Repositories, "git"};
const StoreId blobs{StoreKind::Blobs, "uploads"};

struct Sample {
    std::string name;
    std::optional<StoreId> store;
    v1::Payload payload;
};

void set_fulfils(v1::Fulfils& fulfils) {
    fulfils.set_first(2);
    fulfils.set_through(3);
}

v1::Payload transaction() {
    v1::Payload payload;
    v1::Transaction& transaction = *payload.mutable_transaction();
    transaction.set_xid(741);
    transaction.set_commit_lsn(0x16B3748);
    transaction.set_end_lsn(0x16B3778);
    transaction.set_after_lsn(0x16B3600);
    transaction.set_commit_time_us(to_microseconds(captured));
    transaction.set_last(true);
    v1::Relation& relation = *transaction.add_relations();
    relation.set_id(1);
    relation.set_schema("public");
    relation.set_table("uploads");
    relation.set_replica_identity("d");
    v1::Column& column = *relation.add_columns();
    column.set_name("id");
    column.set_type_oid(23);
    column.set_type_modifier(-1);
    column.set_key(true);
    ChangeWriter changes;
    changes.insert(1, encode_row({"42"}));
    transaction.set_change_count(changes.count());
    transaction.set_changes(changes.take());
    return payload;
}

v1::Payload structure() {
    v1::Payload payload = transaction();
    v1::Ddl& ddl = *payload.mutable_transaction()->add_statements();
    ddl.set_sql("ALTER TABLE uploads ADD made timestamptz DEFAULT now()");
    ddl.set_tag("ALTER TABLE");
    ddl.add_objects("table public.uploads");
    ddl.set_role("app");
    v1::Ddl::Setting& setting = *ddl.add_settings();
    setting.set_name("search_path");
    setting.set_value("public");
    v1::Ddl::Fill& fill = *ddl.add_fills();
    fill.set_schema("public");
    fill.set_table("uploads");
    fill.set_column("made");
    fill.set_value("2026-01-02 03:04:05+00");
    ddl.set_problem("none");
    return payload;
}

v1::Payload ref_update() {
    v1::Payload payload;
    v1::RefUpdate& update = *payload.mutable_ref_update();
    update.set_repository("team/app.git");
    set_fulfils(*update.mutable_fulfils());
    update.set_object_format("sha1");
    update.set_digest_before(std::string(32, '\x01'));
    update.set_digest_after(std::string(32, '\x02'));
    v1::Ref& ref = *update.add_refs();
    ref.set_name("refs/heads/main");
    ref.set_old_oid(std::string(20, '\x0a'));
    ref.set_new_oid(std::string(20, '\x0b'));
    update.mutable_pack()->set_sha256(std::string(32, '\x03'));
    update.mutable_pack()->set_size(4);
    update.mutable_pack()->set_inline_("PACK");
    return payload;
}

v1::Payload blob_put() {
    v1::Payload payload;
    v1::BlobPut& put = *payload.mutable_blob_put();
    put.set_path("a/\xff.bin");
    set_fulfils(*put.mutable_fulfils());
    put.mutable_content()->set_sha256(std::string(32, '\x04'));
    put.mutable_content()->set_size(5'000'000);
    put.mutable_content()->set_pull("reference");
    put.set_mode(0644);
    put.set_mtime_ns(1'700'000'000'123'456'789);
    return payload;
}

v1::Payload marker() {
    v1::Payload payload;
    payload.mutable_marker()->set_clock_us(to_microseconds(captured));
    v1::Marker::Lane& lane = *payload.mutable_marker()->add_lanes();
    lane.set_store("database/app");
    lane.set_head(4);
    lane.set_captured_through_us(to_microseconds(captured));
    lane.set_decoded_through_lsn(0x16B3778);
    lane.set_last_commit_lsn(0x16B3778);
    return payload;
}

std::vector<Sample> samples() {
    std::vector<Sample> all;
    v1::Payload start;
    start.mutable_session_start()->set_site("london");
    start.mutable_session_start()->set_version("0.1.0");
    all.push_back({"session_start", {}, start});
    v1::Payload announcement;
    announcement.mutable_announcement()->add_items("team/app.git");
    all.push_back({"announcement", repositories, announcement});
    v1::Payload files;
    files.mutable_announcement()->add_items("a/\xff.bin");
    all.push_back({"announcement_of_files", blobs, files});
    all.push_back({"transaction", database, transaction()});
    all.push_back({"ref_update", repositories, ref_update()});
    all.push_back({"blob_put", blobs, blob_put()});
    v1::Payload removed;
    removed.mutable_blob_removed()->set_path("b");
    set_fulfils(*removed.mutable_blob_removed()->mutable_fulfils());
    all.push_back({"blob_removed", blobs, removed});
    v1::Payload gone;
    gone.mutable_repository_removed()->set_repository("old.git");
    set_fulfils(*gone.mutable_repository_removed()->mutable_fulfils());
    all.push_back({"repository_removed", repositories, gone});
    v1::Payload unchanged;
    unchanged.mutable_unchanged()->set_item("c");
    set_fulfils(*unchanged.mutable_unchanged()->mutable_fulfils());
    all.push_back({"unchanged", blobs, unchanged});
    v1::Payload reconciled;
    reconciled.mutable_reconciled();
    all.push_back({"reconciled", blobs, reconciled});
    all.push_back({"marker", {}, marker()});
    v1::Payload unreadable;
    unreadable.mutable_unreadable()->set_item("broken.git");
    set_fulfils(*unreadable.mutable_unreadable()->mutable_fulfils());
    unreadable.mutable_unreadable()->set_reason("ref refs/heads/other is broken");
    unreadable.mutable_unreadable()->set_next_step("git fsck");
    all.push_back({"unreadable", repositories, unreadable});
    v1::Payload whole;
    set_fulfils(*whole.mutable_reconciled()->mutable_fulfils());
    all.push_back({"reconciled_whole", blobs, whole});
    v1::Payload as_before;
    as_before.mutable_unchanged()->set_item("c");
    as_before.mutable_unchanged()->set_digest_algorithm("blob-1");
    as_before.mutable_unchanged()->set_digest(std::string(32, '\x05'));
    all.push_back({"unchanged_digest", blobs, as_before});
    all.push_back({"structure", database, structure()});
    return all;
}

TEST(Golden, MessagesOfEveryKindAreStillRead) {
    Sealer sealer("demo", 1, 1'700'000'000'000'000, std::nullopt);
    std::optional<ChainPoint> last;
    for (const Sample& sample : samples()) {
        const auto file = golden / (sample.name + ".bin");
        if (writing) {
            test::write_file(file, sealer.seal(sample.store, captured, sample.payload)[0].bytes);
        }
        auto opened = open(test::read_file(file), "demo", 1);
        ASSERT_TRUE(std::holds_alternative<Message>(opened)) << sample.name;
        const Message& message = std::get<Message>(opened);
        EXPECT_EQ(continuity(last, message), Continuity::Joins) << sample.name;
        last = ChainPoint{message.position(), message.hash};
        Assembler assembler;
        const auto events = std::get<std::vector<Event>>(assembler.add(message));
        ASSERT_EQ(events.size(), 1U) << sample.name;
        EXPECT_EQ(events[0].store, sample.store);
        EXPECT_EQ(events[0].captured_at, captured);
        EXPECT_EQ(events[0].payload.SerializeAsString(), sample.payload.SerializeAsString())
            << sample.name;
    }
}

TEST(Golden, AMessageThatSeveralEventsShareIsStillRead) {
    const auto file = golden / "shared.bin";
    if (writing) {
        Sealer sealer("demo", 1, 1'700'000'000'000'000, std::nullopt);
        sealer.add(blobs, captured, blob_put());
        sealer.add(blobs, captured, blob_put());
        test::write_file(file, sealer.take().front().bytes);
    }
    auto opened = open(test::read_file(file), "demo", 1);
    ASSERT_TRUE(std::holds_alternative<Message>(opened));
    EXPECT_EQ(std::get<Message>(opened).first().number, 1U);
    Assembler assembler;
    const auto events = std::get<std::vector<Event>>(assembler.add(std::get<Message>(opened)));
    ASSERT_EQ(events.size(), 2U);
    for (uint64_t i = 0; i < 2; ++i) {
        EXPECT_EQ(events[i].position.number, i + 1);
        EXPECT_EQ(events[i].payload.SerializeAsString(), blob_put().SerializeAsString());
    }
}

/// Every message type, nested ones too.
void collect(const pb::DescriptorProto& type, const std::string& prefix,
             std::map<std::string, pb::DescriptorProto>& types) {
    types[prefix + type.name()] = type;
    for (const auto& nested : type.nested_type()) {
        collect(nested, prefix + type.name() + ".", types);
    }
}

std::map<std::string, pb::DescriptorProto> types_of(const pb::FileDescriptorProto& file) {
    std::map<std::string, pb::DescriptorProto> types;
    for (const auto& type : file.message_type()) {
        collect(type, "", types);
    }
    return types;
}

TEST(Golden, NoReleasedFieldChangesItsNumberOrType) {
    pb::FileDescriptorProto now;
    v1::Envelope::descriptor()->file()->CopyTo(&now);
    const auto file = golden / "antipode.v1.descriptor";
    if (writing) {
        test::write_file(file, now.SerializeAsString());
    }
    pb::FileDescriptorProto released;
    ASSERT_TRUE(released.ParseFromString(test::read_file(file)));
    const auto types = types_of(now);
    for (const auto& [name, type] : types_of(released)) {
        ASSERT_TRUE(types.contains(name)) << name << " is gone";
        for (const auto& field : type.field()) {
            const auto& fields = types.at(name).field();
            const auto same = std::find_if(fields.begin(), fields.end(), [&](const auto& other) {
                return other.number() == field.number();
            });
            ASSERT_NE(same, fields.end()) << name << "." << field.name() << " is gone";
            EXPECT_EQ(same->name(), field.name()) << name;
            EXPECT_EQ(same->type(), field.type()) << name << "." << field.name();
            EXPECT_EQ(same->label(), field.label()) << name << "." << field.name();
        }
    }
}

}  // namespace
}  // namespace antipode::protocol
