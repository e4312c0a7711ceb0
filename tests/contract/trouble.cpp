#include "tests/contract/trouble.hpp"

#include <gtest/gtest.h>

namespace antipode::contract {
namespace {

using secondary::Result;

class TwiceItems final : public secondary::ItemApply {
  public:
    explicit TwiceItems(secondary::ItemApply& real) : real_(real) {}
    const StoreId& store() const override { return real_.store(); }
    std::filesystem::path incoming_directory() const override { return real_.incoming_directory(); }
    std::vector<Result> apply(std::span<const secondary::ItemTask> tasks,
                              const std::stop_token& stop) override {
        // The store may take a pulled content away: the second time it is pulled again.
        for (const secondary::ItemTask& task : tasks) {
            if (!task.content.empty()) {
                std::filesystem::copy_file(task.content, kept(task.content));
            }
        }
        std::vector<Result> first = real_.apply(tasks, stop);
        for (const secondary::ItemTask& task : tasks) {
            if (!task.content.empty()) {
                std::filesystem::rename(kept(task.content), task.content);
            }
        }
        const std::vector<Result> second = real_.apply(tasks, stop);
        for (size_t i = 0; i < tasks.size(); ++i) {
            if (first[i].kind == Result::Kind::Applied || first[i].kind == Result::Kind::Unneeded) {
                EXPECT_TRUE(second[i].kind == Result::Kind::Applied ||
                            second[i].kind == Result::Kind::Unneeded)
                    << second[i].reason;
                EXPECT_EQ(first[i].digest.to_string(), second[i].digest.to_string());
            }
        }
        return first;
    }

  private:
    static std::filesystem::path kept(const std::filesystem::path& content) {
        return content.string() + ".kept";
    }
    secondary::ItemApply& real_;
};

class TwiceRows final : public secondary::DatabaseApply {
  public:
    explicit TwiceRows(secondary::DatabaseApply& real) : real_(real) {}
    const StoreId& store() const override { return real_.store(); }
    secondary::DatabasePosition position() override { return real_.position(); }
    void initial_copy(BulkSource& primary,
                      const std::function<void(secondary::CopyProgress)>& report,
                      const std::stop_token& stop) override {
        real_.initial_copy(primary, report, stop);
    }
    void compare_anew() override { real_.compare_anew(); }
    secondary::DatabasePosition apply(std::span<const protocol::Event* const> events) override {
        const auto first = real_.apply(events);
        // What begins in the middle of a large transaction cannot begin there once more.
        if (events.front()->payload.transaction().part() == 0) {
            const auto second = real_.apply(events);
            EXPECT_EQ(first.position, second.position);
            EXPECT_EQ(first.lsn, second.lsn);
            EXPECT_EQ(first.transactions, second.transactions);
        }
        return first;
    }

  private:
    secondary::DatabaseApply& real_;
};

}  // namespace

std::vector<StoredMessage> TroubledStream::read(uint64_t sequence, std::chrono::milliseconds wait) {
    auto messages = real_.read(sequence, wait);
    if (messages.empty() || troubles == 0) {
        return messages;
    }
    --troubles;
    const size_t at = chance_.below(messages.size());
    const size_t other = chance_.below(messages.size());
    switch (chance_.below(5)) {
        case 0:
            messages.erase(messages.begin() + static_cast<ptrdiff_t>(at));
            break;
        case 1:
            messages[at].bytes = messages[other].bytes;
            break;
        case 2:
            std::swap(messages[at].bytes, messages[other].bytes);
            break;
        case 3:
            for (size_t i = messages.size(); i > 1; --i) {
                std::swap(messages[i - 1].bytes, messages[chance_.below(i)].bytes);
            }
            break;
        default:
            messages[at].bytes.resize(chance_.below(messages[at].bytes.size()));
    }
    return messages;
}

void spoil(test::MemoryStream& stream, Chance& chance) {
    const size_t count = stream.messages().size();
    if (count < 2) {
        return;
    }
    auto at = stream.messages().begin();
    std::advance(at, static_cast<ptrdiff_t>(chance.below(count - 1)));
    const auto next = std::next(at);
    const uint64_t sequence = at->first;
    const std::string bytes = at->second;
    switch (chance.below(4)) {
        case 0:
            stream.lose(sequence);
            break;
        case 1: {
            const uint64_t next_sequence = next->first;
            stream.replace(sequence, std::string(next->second));
            stream.replace(next_sequence, bytes);
            break;
        }
        case 2:
            stream.replace(sequence, bytes.substr(0, chance.below(bytes.size())));
            break;
        default:
            stream.put(bytes);
    }
}

std::unique_ptr<secondary::ItemApply> twice(secondary::ItemApply& real) {
    return std::make_unique<TwiceItems>(real);
}

std::unique_ptr<secondary::DatabaseApply> twice(secondary::DatabaseApply& real) {
    return std::make_unique<TwiceRows>(real);
}

}  // namespace antipode::contract
