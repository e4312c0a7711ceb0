#pragma once

#include <optional>
#include <set>
#include <string>

#include "base/seams/database.hpp"
#include "protocol/antipode.pb.h"

namespace antipode::secondary {

/// What a transaction that the operator has skipped would have changed, for the record that is
/// kept of it. Needs no table here. Bounded: of very many changes the first ones' keys are kept.
class LeftOut {
  public:
    /// `only`: of this table, all else is applied.
    void add(const v1::Transaction& message, std::string_view changes,
             const std::optional<TableName>& only);

    SkippedTransaction record(const SkipRequest& request, uint32_t xid) const;

  private:
    void note(const std::string& line);
    void note_structure(const v1::Ddl& statement);

    std::set<TableName> tables_;
    uint64_t changes_ = 0;
    std::string keys_;
    bool cut_ = false;
};

}  // namespace antipode::secondary
