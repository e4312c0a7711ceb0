#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/settable_clock.hpp"
#include "primary/sequencer.hpp"

namespace antipode::primary {
using testing::ElementsAre;
using testing::IsEmpty;

inline const StoreId database_id{StoreKind::Database, "app"};
inline const StoreId blobs_id{StoreKind::Blobs, "files"};

class FakeItems final : public ItemCapture {
  public:
    const StoreId& store() const override { return blobs_id; }
    Noticed drain() override { return std::exchange(noticed, {}); }
    Noticed reconcile(const std::stop_token&) override { return {}; }
    std::optional<Reading> read(const std::string&, bool, const std::stop_token&) override {
        return std::nullopt;
    }
    bool notices_everything() const override { return watched; }

    Noticed noticed;
    bool watched = true;
};

class FakeDatabase final : public DatabaseCapture {
  public:
    const StoreId& store() const override { return database_id; }
    std::vector<DatabaseEvent> poll(std::chrono::milliseconds) override { return {}; }
    void confirm(Lsn) override {}
    void keep_alive() override {}
    void restart() override {}
    Lsn forgotten() const override { return {}; }
    Lsn wal_position() override {
        if (away) {
            throw Error(Reaction::Retry, "the server is away");
        }
        return wal;
    }
    Lsn publish_sequences(bool) override { return wal; }

    Lsn wal{100};
    bool away = false;
};

/// What the sequencer emitted, in words: "announce a b", "put a [2,5]", "row 30", ...
inline std::string words_of(const protocol::Event& event) {
    const v1::Payload& payload = event.payload;
    const auto fulfilled = [&] {
        const v1::Fulfils* fulfils = protocol::fulfils(payload);
        return *protocol::item_of(payload) + " [" + std::to_string(fulfils->first()) + "," +
               std::to_string(fulfils->through()) + "]";
    };
    switch (payload.kind_case()) {
        case v1::Payload::kSessionStart:
            return "session";
        case v1::Payload::kAnnouncement: {
            std::string words = payload.announcement().removals() ? "announce gone" : "announce";
            for (const std::string& item : payload.announcement().items()) {
                words += " " + (item == protocol::whole_store ? "everything" : item);
            }
            return words;
        }
        case v1::Payload::kTransaction:
            return "row " + std::to_string(payload.transaction().end_lsn());
        case v1::Payload::kBlobPut:
            return "put " + fulfilled();
        case v1::Payload::kBlobRemoved:
            return "remove " + fulfilled();
        case v1::Payload::kUnchanged:
            return (payload.unchanged().removal_follows() ? "gone later " : "unchanged ") +
                   fulfilled();
        case v1::Payload::kReconciled:
            return payload.reconciled().has_fulfils() ? "reconciled" : "reconciled so far";
        case v1::Payload::kUnreadable:
            return "unreadable " + fulfilled() + ": " + payload.unreadable().reason();
        case v1::Payload::kMarker:
            return "marker";
        default:
            return "?";
    }
}

class SequencerTest : public testing::Test {
  protected:
    void SetUp() override { begin(); }

    void begin(std::optional<protocol::ChainPoint> joins = std::nullopt) {
        Sequencer::Options options;
        options.cluster = "test";
        options.site = "here";
        options.epoch = 1;
        options.session = 7;
        options.joins = joins;
        options.deletion_limits[blobs_id] = limits_;
        sequencer_ =
            std::make_unique<Sequencer>(options, std::vector<DatabaseCapture*>{&database_},
                                        std::vector<ItemCapture*>{&items_}, inventory_, clock_);
    }
    /// The session's start and the first reconcile are over, a marker has just been made.
    void settle() {
        EXPECT_THAT(sequencer_->begin_reconciles(), ElementsAre(blobs_id));
        reconciled({});
        sequencer_->look_around();
        decode(100);
        out();
    }
    void reconciled(Noticed noticed) {
        sequencer_->add(ReconcileOutcome{blobs_id, 7, std::move(noticed), {}, {}});
    }
    void decode(uint64_t lsn) { sequencer_->add(database_id, {DecodedThrough{{lsn}}}); }
    static CapturedTransaction row(uint64_t end, bool last = true) {
        CapturedTransaction captured;
        captured.transaction.set_commit_lsn(end - 5);
        captured.transaction.set_end_lsn(last ? end : 0);
        captured.transaction.set_last(last);
        return captured;
    }
    void add_row(uint64_t end) { sequencer_->add(database_id, {row(end)}); }

    std::vector<protocol::Event> events() {
        std::vector<protocol::Event> events;
        protocol::Assembler assembler;
        for (const OutgoingMessage& message : sequencer_->take_outgoing()) {
            auto opened = protocol::open(message.bytes, "test", 1);
            auto added = assembler.add(std::get<protocol::Message>(opened));
            for (auto& event : std::get<std::vector<protocol::Event>>(added)) {
                events.push_back(std::move(event));
            }
        }
        return events;
    }
    /// What came out since the last call, without markers.
    std::vector<std::string> out() {
        std::vector<std::string> words;
        for (const protocol::Event& event : events()) {
            if (!event.payload.has_marker()) {
                words.push_back(words_of(event));
            }
        }
        sequencer_->stored();
        return words;
    }
    std::optional<v1::Marker> marker() {
        std::optional<v1::Marker> newest;
        for (protocol::Event& event : events()) {
            if (event.payload.has_marker()) {
                newest = event.payload.marker();
            }
        }
        sequencer_->stored();
        return newest;
    }
    std::optional<v1::Marker> next_marker() {
        clock_.advance(std::chrono::seconds(1));
        sequencer_->look_around();
        return marker();
    }
    static v1::Marker::Lane lane_of(const v1::Marker& marker, const StoreId& store) {
        for (const v1::Marker::Lane& lane : marker.lanes()) {
            if (lane.store() == store.to_string()) {
                return lane;
            }
        }
        return {};
    }

    void notice(std::vector<std::string> changed, std::vector<std::string> removed = {}) {
        items_.noticed = {std::move(changed), std::move(removed), true, false};
        sequencer_->look_around();
    }
    ReadTask task() { return sequencer_->next_read(blobs_id).value(); }
    void put(const ReadTask& task) {
        Reading reading;
        reading.payload.mutable_blob_put()->set_path(task.item);
        reading.published = {"state", {"blob-1", "digest"}};
        sequencer_->add(ReadOutcome{task, reading, {}, {}});
    }
    void gone(const ReadTask& task) {
        Reading reading;
        reading.payload.mutable_blob_removed()->set_path(task.item);
        sequencer_->add(ReadOutcome{task, reading, {}, {}});
    }
    void unchanged(const ReadTask& task) {
        sequencer_->add(ReadOutcome{task, std::nullopt, {}, {}});
    }
    void failed(const ReadTask& task) {
        sequencer_->add(ReadOutcome{task, std::nullopt, "permission denied", {}});
    }

    SettableClock clock_;
    DeletionLimits limits_;
    Inventory inventory_{""};
    FakeItems items_;
    FakeDatabase database_;
    std::unique_ptr<Sequencer> sequencer_;
};

}  // namespace antipode::primary
