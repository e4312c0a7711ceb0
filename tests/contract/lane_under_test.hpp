#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "base/seams/bulk.hpp"
#include "base/seams/files.hpp"
#include "primary/capture.hpp"
#include "primary/inventory.hpp"
#include "secondary/apply.hpp"
#include "tests/simulation/chance.hpp"

/// What the contract suite needs of a store: one small file for each. A store that has it is held
/// to all that contract_test.cpp promises.
namespace antipode::contract {

using simulation::Chance;

/// The digest of each item (database: of each table), as verify/ computes it from what is there.
using Digests = std::map<std::string, std::string>;

/// One store on two sites, A and B, with everything about it real. What a daemon holds is made by
/// start_a() and start_b(), and made anew whenever a daemon starts again; what is on the disks
/// stays.
class LaneUnderTest {
  public:
    virtual ~LaneUnderTest() = default;
    virtual const StoreId& store() const = 0;

    /// An application does one thing on A.
    virtual void change(Chance& chance) = 0;
    virtual Digests digests_of_a() = 0;
    virtual Digests digests_of_b() = 0;
    /// What else is wrong with B, by the store's own means; empty: nothing.
    virtual std::string problems_of_b() { return {}; }

    virtual void start_a(const primary::Inventory& inventory) = 0;
    virtual void start_b() = 0;

    // As started last. A store is a database or has items: the others are null.
    virtual primary::DatabaseCapture* database_capture() { return nullptr; }
    virtual secondary::DatabaseApply* database_apply() { return nullptr; }
    virtual primary::ItemCapture* item_capture() { return nullptr; }
    virtual secondary::ItemApply* item_apply() { return nullptr; }
    /// Where B puts the content that is pulled; null: nothing is.
    virtual FileTree* tree_of_b() { return nullptr; }
    /// A's side of the bulk service.
    virtual BulkHandler& bulk() = 0;

    /// The bytes of the application that an event carries; null: it carries none.
    virtual std::string* carried(v1::Payload& payload) = 0;
};

// One line for each store.
std::unique_ptr<LaneUnderTest> make_database(const std::filesystem::path& directory);
std::unique_ptr<LaneUnderTest> make_repositories(const std::filesystem::path& directory);
std::unique_ptr<LaneUnderTest> make_blobs(const std::filesystem::path& directory);

}  // namespace antipode::contract
