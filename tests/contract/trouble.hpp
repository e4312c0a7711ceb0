#pragma once

#include <memory>
#include <vector>

#include "base/seams/stream.hpp"
#include "secondary/apply.hpp"
#include "tests/simulation/chance.hpp"
#include "tests/support/memory_stream.hpp"

namespace antipode::contract {

using simulation::Chance;

/// A stream whose reader gets something else than what it holds, as often as it is told: messages
/// that are lost, repeated, out of order or cut short on the way. What it holds stays right.
class TroubledStream final : public Stream {
  public:
    TroubledStream(test::MemoryStream& real, Chance& chance) : real_(real), chance_(chance) {}

    Info info() override { return real_.info(); }
    std::optional<StoredMessage> get(uint64_t sequence) override { return real_.get(sequence); }
    uint64_t append(uint64_t expected_last, std::span<const OutgoingMessage> messages) override {
        return real_.append(expected_last, messages);
    }
    std::vector<StoredMessage> read(uint64_t sequence, std::chrono::milliseconds wait) override;
    void sync() override { real_.sync(); }
    void purge_below(uint64_t sequence) override { real_.purge_below(sequence); }
    void make_anew() override { real_.make_anew(); }

    size_t troubles = 0;  ///< reads that are still to be spoilt

  private:
    test::MemoryStream& real_;
    Chance& chance_;
};

/// Spoils what is stored: one message is lost, changes places with the next, is cut short, or
/// stands once more at the end.
void spoil(test::MemoryStream& stream, Chance& chance);

/// Applies everything twice, and holds the second time to what the first one said.
std::unique_ptr<secondary::ItemApply> twice(secondary::ItemApply& real);
std::unique_ptr<secondary::DatabaseApply> twice(secondary::DatabaseApply& real);

}  // namespace antipode::contract
