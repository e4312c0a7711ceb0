#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "secondary/apply_order.hpp"

namespace antipode::secondary {
using testing::ElementsAre;
using testing::IsEmpty;

inline const StoreId rows{StoreKind::Database, "app"};
inline const StoreId blobs{StoreKind::Blobs, "files"};
inline const StoreId repositories{StoreKind::Repositories, "git"};

inline Position at(uint64_t number, uint64_t session = 1) {
    return {1, session, number};
}

inline Digest expected_digest(const v1::Payload& payload) {
    return protocol::is_removal(payload) ? Digest{} : Digest{"test-1", "right"};
}

class ApplyOrderTest : public testing::Test {
  protected:
    void SetUp() override { begin({}); }

    void begin(ApplyOrder::Options options) {
        options.max_hold = std::chrono::minutes(10);
        order_ = std::make_unique<ApplyOrder>(options, std::vector{rows, blobs, repositories},
                                              registry_, expected_digest, clock_);
        order_->begin({});
        order_->recovery().applied(rows, {});
        session_ = 1;
        number_ = 0;
    }

    /// Accepts the next event of the stream; returns its number.
    uint64_t accept(const std::optional<StoreId>& store, const v1::Payload& payload,
                    size_t bytes = 100) {
        order_->accept({at(++number_, session_), store, clock_.now(), payload}, bytes);
        return number_;
    }
    void new_session() {
        ++session_;
        number_ = 0;
    }
    uint64_t announce(const std::vector<std::string>& items, bool removals = false,
                      const StoreId& store = blobs) {
        v1::Payload payload;
        payload.mutable_announcement()->set_removals(removals);
        for (const std::string& item : items) {
            payload.mutable_announcement()->add_items(item);
        }
        return accept(store, payload);
    }
    uint64_t put(const std::string& item, uint64_t first, uint64_t through, size_t bytes = 100) {
        v1::Payload payload;
        payload.mutable_blob_put()->set_path(item);
        payload.mutable_blob_put()->mutable_fulfils()->set_first(first);
        payload.mutable_blob_put()->mutable_fulfils()->set_through(through);
        return accept(blobs, payload, bytes);
    }
    uint64_t copy(const std::string& item, const std::string& source, uint64_t announced) {
        v1::Payload payload;
        payload.mutable_blob_put()->set_path(item);
        payload.mutable_blob_put()->set_copy_of(source);
        payload.mutable_blob_put()->mutable_fulfils()->set_first(announced);
        payload.mutable_blob_put()->mutable_fulfils()->set_through(announced);
        return accept(blobs, payload);
    }
    uint64_t remove(const std::string& item, uint64_t announced) {
        v1::Payload payload;
        payload.mutable_blob_removed()->set_path(item);
        payload.mutable_blob_removed()->mutable_fulfils()->set_first(announced);
        payload.mutable_blob_removed()->mutable_fulfils()->set_through(announced);
        return accept(blobs, payload);
    }
    uint64_t row(bool last = true, size_t bytes = 100) {
        v1::Payload payload;
        payload.mutable_transaction()->set_last(last);
        return accept(rows, payload, bytes);
    }
    uint64_t marker(uint64_t open_from = 1, int64_t seconds = 100, uint64_t last_commit = 0) {
        v1::Payload payload;
        payload.mutable_marker()->set_clock_us(seconds * 1'000'000);
        for (const StoreId& store : {rows, blobs, repositories}) {
            v1::Marker::Lane& lane = *payload.mutable_marker()->add_lanes();
            lane.set_store(store.to_string());
            lane.set_captured_through_us(seconds * 1'000'000);
            lane.set_open_from(open_from);
            lane.set_last_commit_lsn(store == rows ? last_commit : 0);
        }
        return accept(std::nullopt, payload);
    }
    /// A marker proves that no row that was committed before it is still to come.
    void prove_rows() {
        marker(number_ + 1);
        order_->update_recovery();
        order_->update_recovery();
    }
    /// `everything`: the announcement of the whole store that it fulfils; 0: none.
    uint64_t reconciled(uint64_t everything = 0) {
        v1::Payload payload;
        v1::Reconciled& reconciled = *payload.mutable_reconciled();
        if (everything != 0) {
            reconciled.mutable_fulfils()->set_through(everything);
        }
        return accept(blobs, payload);
    }
    uint64_t unreadable(const std::string& item, uint64_t announced) {
        v1::Payload payload;
        payload.mutable_unreadable()->set_item(item);
        payload.mutable_unreadable()->mutable_fulfils()->set_first(announced);
        payload.mutable_unreadable()->mutable_fulfils()->set_through(announced);
        payload.mutable_unreadable()->set_reason("it is broken");
        return accept(blobs, payload);
    }
    /// As expected_digest() says that it was published.
    uint64_t unchanged(const std::string& item) {
        v1::Payload payload;
        payload.mutable_unchanged()->set_item(item);
        payload.mutable_unchanged()->set_digest_algorithm("test-1");
        payload.mutable_unchanged()->set_digest("right");
        return accept(blobs, payload);
    }
    /// A row's transaction that was committed at `lsn`, behind the one at `after`.
    uint64_t row_at(uint64_t lsn, uint64_t after) {
        v1::Payload payload;
        payload.mutable_transaction()->set_commit_lsn(lsn);
        payload.mutable_transaction()->set_end_lsn(lsn + 1);
        payload.mutable_transaction()->set_after_lsn(after + 1);
        payload.mutable_transaction()->set_last(true);
        return accept(rows, payload);
    }
    /// A part of one large transaction.
    uint64_t part(uint32_t number, bool last) {
        v1::Payload payload;
        payload.mutable_transaction()->set_commit_lsn(700);
        payload.mutable_transaction()->set_part(number);
        payload.mutable_transaction()->set_last(last);
        return accept(rows, payload);
    }

    std::vector<ApplyOrder::Task> take() {
        return order_->take_items(blobs, 100, SIZE_MAX, [&](const protocol::Event& event) {
            return content_is_here_ || !event.payload.has_blob_put();
        });
    }
    static std::vector<uint64_t> numbers(const std::vector<ApplyOrder::Task>& tasks) {
        std::vector<uint64_t> numbers;
        for (const ApplyOrder::Task& task : tasks) {
            numbers.push_back(task.event->position.number);
        }
        return numbers;
    }
    void finish(const ApplyOrder::Task& task) {
        finish(task, Result::applied(expected_digest(task.event->payload)));
    }
    void finish(const ApplyOrder::Task& task, const Result& result) {
        order_->finish_items(blobs, {{task, result}});
    }
    /// Applies all items that may be applied; returns their events' numbers.
    std::vector<uint64_t> apply_items() {
        std::vector<uint64_t> applied;
        while (true) {
            const auto tasks = take();
            if (tasks.empty()) {
                return applied;
            }
            for (const ApplyOrder::Task& task : tasks) {
                applied.push_back(task.event->position.number);
                finish(task);
            }
        }
    }
    std::vector<uint64_t> take_rows() {
        std::vector<uint64_t> taken;
        for (const protocol::Event* event : order_->take_transactions(rows, 100, 1 << 20)) {
            taken.push_back(event->position.number);
        }
        return taken;
    }
    std::vector<uint64_t> apply_rows() {
        auto taken = take_rows();
        order_->finish_transactions(rows);
        return taken;
    }
    Position finished(const StoreId& store) { return order_->finished().at(store); }

    ManualClock clock_;
    Registry registry_{"", clock_};
    std::unique_ptr<ApplyOrder> order_;
    uint64_t session_ = 1;
    uint64_t number_ = 0;
    bool content_is_here_ = true;
};

}  // namespace antipode::secondary
