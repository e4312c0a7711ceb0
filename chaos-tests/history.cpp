#include "chaos-tests/history.hpp"

#include <chrono>

#include <nlohmann/json.hpp>

namespace antipode::chaos {
namespace {

const char* name_of(Operation::Kind kind) {
    switch (kind) {
        case Operation::Kind::Put:
            return "put";
        case Operation::Kind::Remove:
            return "remove";
        case Operation::Kind::Transfer:
            return "transfer";
        case Operation::Kind::Move:
            return "move";
        case Operation::Kind::Overwrite:
            return "overwrite";
        case Operation::Kind::Structure:
            return "structure";
        case Operation::Kind::LargeObject:
            return "large object";
    }
    return "";
}

const char* name_of(Operation::Outcome outcome) {
    switch (outcome) {
        case Operation::Outcome::Pending:
            return "pending";
        case Operation::Outcome::Ok:
            return "ok";
        case Operation::Outcome::Failed:
            return "failed";
        case Operation::Outcome::Unknown:
            return "unknown";
    }
    return "";
}

}  // namespace

int64_t now_us() {
    return std::chrono::duration_cast<std::chrono::microseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

size_t History::begin(Operation operation) {
    const std::lock_guard lock(mutex_);
    operation.invoked_us = clock_(operation.site);
    operation.began_us = now_us();
    operations_.push_back(std::move(operation));
    return operations_.size() - 1;
}

void History::end(size_t place, const Operation& operation) {
    const std::lock_guard lock(mutex_);
    const Operation begun = operations_.at(place);
    Operation& ended = operations_[place];
    ended = operation;
    ended.invoked_us = begun.invoked_us;
    ended.began_us = begun.began_us;
    ended.done_us = clock_(operation.site);
    ended.ended_us = now_us();
}

std::vector<Operation> History::operations() const {
    const std::lock_guard lock(mutex_);
    return operations_;
}

size_t History::lose(Loss loss) {
    const std::lock_guard lock(mutex_);
    losses_.push_back(std::move(loss));
    return losses_.size() - 1;
}

void History::learn(size_t place, Loss loss) {
    const std::lock_guard lock(mutex_);
    losses_.at(place) = std::move(loss);
}

std::vector<Loss> History::losses() const {
    const std::lock_guard lock(mutex_);
    return losses_;
}

std::string to_json_lines(const std::vector<Operation>& operations) {
    std::string lines;
    for (const Operation& operation : operations) {
        const nlohmann::json line = {{"kind", name_of(operation.kind)},
                                     {"writer", operation.writer},
                                     {"number", operation.number},
                                     {"site", operation.site},
                                     {"invoked_us", operation.invoked_us},
                                     {"done_us", operation.done_us},
                                     {"outcome", name_of(operation.outcome)},
                                     {"repository", operation.repository},
                                     {"path", operation.path},
                                     {"sha256", operation.sha256},
                                     {"bytes", operation.bytes},
                                     {"commit", operation.commit},
                                     {"structure", operation.structure},
                                     {"note", operation.note},
                                     {"ticket", operation.ticket},
                                     {"xid", operation.xid},
                                     {"error", operation.error}};
        // What programs said may hold any bytes.
        lines += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    }
    return lines;
}

}  // namespace antipode::chaos
