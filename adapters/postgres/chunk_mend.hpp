#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "adapters/postgres/copy_in.hpp"
#include "base/seams/chunks.hpp"

namespace antipode::postgres {

class Connection;

/// Makes the rows of some chunks of a mirror's table what the primary says that they are, in the
/// connection's open transaction: takes the primary's rows, finds by digest which keys differ, and
/// replaces the rows of those alone. Triggers and foreign keys must not fire in the session.
/// Everything throws as Connection does.
class ChunkMend {
  public:
    ChunkMend(Connection& connection, ChunkPlan plan);

    /// The primary's rows of the chunks in COPY's text format.
    void write(std::string_view bytes) { copy_->write(bytes); }
    /// Rows whose keys are in `touched` are left as they are.
    MendedRows finish(const std::set<uint32_t>& chunks, const TouchedRows& touched);

  private:
    void find_differing(const std::set<uint32_t>& chunks, const TouchedKeys& touched);

    Connection& connection_;
    const ChunkPlan plan_;
    const std::string doing_;
    std::optional<CopyIn> copy_;
};

}  // namespace antipode::postgres
