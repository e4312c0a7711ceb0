#pragma once

#include <functional>
#include <set>
#include <string>

#include "adapters/postgres/table_fill.hpp"
#include "base/seams/structure.hpp"

namespace antipode::postgres {

/// Edits the structure in the open transaction of a connection. What cannot be done is undone at
/// once, and the transaction goes on.
class SavepointEditor final : public StructureEditor {
  public:
    /// `settle`: sets again what the session relies on, after code of users.
    SavepointEditor(TableFill::Place place, std::function<void()> settle)
        : place_(std::move(place)), settle_(std::move(settle)) {}

    Structure structure() override;
    Recipes recipes() override;
    std::string run(const std::string& sql, const MayLose& may_lose,
                    const std::string& role) override;
    void copy_again(const std::string& table) override;

  private:
    std::map<std::string, std::string> columns();
    /// Why it cannot be acted as that role; empty: nothing is known against it.
    std::string why_not_as(const std::string& role);
    void execute(const std::string& sql, const std::string& role);
    TableFill::Place place_;
    std::function<void()> settle_;
};

}  // namespace antipode::postgres
