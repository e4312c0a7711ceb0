#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/seams/database.hpp"

/// Moves a database's sequences ahead of what a primary that was lost may have given out of them.
namespace antipode::postgres {

struct SequenceRange {
    int64_t increment = 1;  ///< never 0
    int64_t least = 1;
    int64_t most = INT64_MAX;
    bool cycles = false;
};

/// What nextval() would have returned last after so many calls (1 or more) more, as PostgreSQL
/// counts (sequence.c). nullopt: there are not that many left, or, where it begins anew, not that
/// many at all.
std::optional<int64_t> moved_ahead(const SequenceRange& range, const SequenceValue& at,
                                   uint64_t calls);

/// One sequence's way. `to` is what nextval() returned last.
struct SequenceMove {
    SequenceValue from;
    int64_t to = 0;
};

struct SequenceHeadroom {
    struct Left {
        TableName name;
        std::string why;
    };
    std::vector<SequenceMove> moves;
    std::vector<Left> left;  ///< where they stand
};

/// What is to be done: changes nothing. Of the same sequences as SequenceLog. `calls`: 1 or more.
/// Throws Error: Retry, Stop.
SequenceHeadroom plan_headroom(const std::string& url, const std::string& application_name,
                               uint64_t calls);

/// Does it; those that are there, or further, stay. Durable when it returns. Throws Error{Retry}.
void move_ahead(const std::string& url, const std::string& application_name,
                std::span<const SequenceMove> moves);

}  // namespace antipode::postgres
