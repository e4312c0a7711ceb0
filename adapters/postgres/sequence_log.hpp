#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/seams/database.hpp"

namespace antipode::postgres {

class Connection;
class Control;

/// Publishes where a primary's sequences stand, on a connection of its own: reads them, and writes
/// those that moved into the log as transactional messages (sequence_message.hpp).
///
/// What was read is a little older than its message: rows committed between the two may have used
/// more. Mirrors therefore only move on to what such a message says, and rows move them on too. A
/// sequence that went back is published as exact; and then again as it was read after that, so that
/// what happened in between is not lost. Left out: temporary and unlogged ones. Thread-safe.
class SequenceLog final : public SequencePublisher {
  public:
    SequenceLog(std::string url, std::string application_name);
    ~SequenceLog() override;

    void publish_moved() override;
    Lsn publish_all(bool exact) override;

  private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Where every sequence stands that is replicated. Throws Error{Stop} when one cannot be read.
std::vector<SequenceValue> read_sequences(Connection& connection);
/// The same in several transactions, however many there are.
std::vector<SequenceValue> read_sequences(Control& control);

}  // namespace antipode::postgres
