#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "apps/antipoded/database_checks.hpp"
#include "apps/antipoded/database_watch.hpp"
#include "base/clock.hpp"
#include "base/config.hpp"
#include "secondary/apply.hpp"
#include "secondary/content.hpp"
#include "secondary/look.hpp"
#include "secondary/mirror_watch.hpp"
#include "secondary/registry.hpp"

/// The one place that knows which stores a secondary can apply: a new kind is one line in
/// make_secondary_stores().
namespace antipode {

class SecondaryDatabase {
  public:
    virtual ~SecondaryDatabase() = default;
    virtual secondary::DatabaseApply& apply() = 0;
    virtual DatabaseWatch& watch() = 0;
    virtual DatabaseChecks& checks() = 0;
};

class SecondaryItems {
  public:
    virtual ~SecondaryItems() = default;
    virtual secondary::ItemApply& apply() = 0;
    virtual secondary::ContentStore& contents() = 0;
    virtual secondary::ItemLook& looks() = 0;
    virtual std::chrono::milliseconds check_every() const = 0;
    /// It is not replicated, whatever it is.
    virtual bool excludes(const std::string&) const { return false; }
    /// It is about to end: what waits for a server gives up. Any thread.
    virtual void interrupt() {}
    /// Why there cannot be such an item; empty: there can.
    virtual std::string why_no_item(const std::string& item) const = 0;
    /// What the store wants done beside everything else, again and again, each on a thread.
    struct Chore {
        std::string name;
        std::function<void(const std::stop_token& stop)> step;
    };
    virtual std::vector<Chore> chores() { return {}; }
    /// What a watch of its files needs; nullptr: they cannot be watched. Throws Error{Retry}.
    virtual std::unique_ptr<secondary::MirrorPlaces> places(FileTree&, const secondary::Registry&) {
        return nullptr;
    }
    virtual std::filesystem::path root() const { return {}; }
};

struct SecondaryStores {
    std::vector<std::unique_ptr<SecondaryDatabase>> databases;
    std::vector<std::unique_ptr<SecondaryItems>> items;

    /// They are about to end. Any thread.
    void interrupt() const {
        for (const auto& store : items) {
            store->interrupt();
        }
    }
};

SecondaryStores make_secondary_stores(const Config& config, const secondary::Registry& registry,
                                      const Clock& clock);

}  // namespace antipode
