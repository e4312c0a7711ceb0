#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/seams/repositories.hpp"

namespace antipode::test {

/// Repositories in memory: an object is an id and the ids it leads to. Packs are the texts of
/// objects, one a line. One thread.
class MemoryRepositories : public Repositories {
  public:
    using Objects = std::map<std::string, std::vector<std::string>>;
    struct Stored {
        RepositoryRefs refs;
        Objects objects;
        uint64_t version = 1;  ///< what the fingerprint is made of
        bool damaged = false;
    };

    std::map<std::string, Stored> stored;
    bool root_missing = false;
    std::vector<std::string> unreadable;
    size_t inline_bytes = 256 * 1024;
    bool has_bases = false;
    unsigned ref_reads = 0;
    Needed needed;  ///< of the last take_in()
    /// Called before a step that changes something; may throw, as a crash would cut it short.
    std::function<void(const std::string& step)> before_step;

    /// Adds an object that leads to `links`; returns its id, made from `label`.
    std::string add_object(const std::string& repository, const std::string& label,
                           const std::vector<std::string>& links = {});
    void set_ref(const std::string& repository, const std::string& ref, const RefValue& value);

    std::string root() const override { return "/memory"; }
    Discovery discover(const std::stop_token& stop) override;
    void require_root() override { check_root(); }
    bool root_is_empty() override;
    Presence presence(const std::string& name) override;
    std::string fingerprint(const std::string& name) override;
    std::optional<RepositoryRefs> read_refs(const std::string& name) override;
    std::string pool_of(const std::string&) override { return {}; }
    std::string defect(const std::string& name, const std::stop_token&) override {
        return stored.at(name).damaged ? "damaged" : "";
    }
    void sync(const std::string& name) override;
    std::optional<Pack> make_pack(const std::string& name, const std::vector<std::string>& wants,
                                  const std::vector<std::string>& haves,
                                  const std::stop_token& stop) override;
    /// No base, or, where `has_bases`, everything is in one.
    WholePacks make_whole_packs(const std::string& name, const std::vector<std::string>& wants,
                                const std::vector<std::string>& haves,
                                const std::stop_token& stop) override;
    std::unique_ptr<BulkBody> open_kept_pack(const Sha256& hash) override;
    size_t drop_kept_packs_before(TimePoint time) override;
    std::filesystem::path incoming_directory() override { return "/memory/incoming"; }
    void create(const std::string& name, const std::string& object_format,
                const std::stop_token& stop) override;
    Intake take_in(const std::string& name, const PackInput& pack, const Needed& needed,
                   const std::stop_token& stop) override;
    void update_refs(const std::string& name, const std::vector<RefChange>& changes,
                     const std::stop_token& stop) override;
    bool keep_house(const std::string&, const std::stop_token&) override { return false; }
    void replace(const std::string& name, const std::string& by) override;
    void remove(const std::string& name) override;

  private:
    void check_root() const;
    void step(const std::string& name) const;

    std::map<Sha256, std::string> kept_;
};

class MemoryChanges final : public RepositoryChanges {
  public:
    std::set<std::string> names;
    std::set<std::string> gone_directories;
    bool complete = true;
    std::set<std::string> uncovered;
    std::string trouble;
    unsigned covered = 0;  ///< how often

    Taken take() override;
    void cover(const std::stop_token&) override { ++covered; }
    bool covers(const std::string& name) override { return !uncovered.contains(name); }
    std::string problem() const override { return trouble; }
};

}  // namespace antipode::test
