#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "base/seams/repositories.hpp"
#include "base/synchronized.hpp"
#include "secondary/apply.hpp"
#include "secondary/look.hpp"

namespace antipode::secondary {

/// Applies ref updates to the repositories below one root: names checked, objects taken in through
/// quarantine and proven complete, then the refs moved from their expected old values. An update
/// that was cut short by a crash is finished when it is applied again: a ref that has its new value
/// already counts as one that has its old value. Owner: whoever wires the secondary; threads as in
/// ItemApply.
class RepositoryApply final : public ItemApply, public ItemLook {
  public:
    /// By how many bytes; UINT64_MAX: all may be different.
    using OnChange = std::function<void(const std::string& name, uint64_t bytes)>;
    /// Makes `repositories`' incoming directory. Throws Error{Retry} when the root is missing.
    /// `on_change` is called with the name of each repository that got something, of one whose
    /// objects were believed as soon as look() has read them; any thread. `unproven`: what earlier
    /// runs applied and nobody has read yet.
    RepositoryApply(StoreId store, Repositories& repositories, OnChange on_change = {},
                    std::set<std::string> unproven = {});

    const StoreId& store() const override { return store_; }
    std::filesystem::path incoming_directory() const override { return incoming_directory_; }
    std::vector<Result> apply(std::span<const ItemTask> tasks,
                              const std::stop_token& stop) override;

    /// Refs, and all objects, read by git. Not paced but for the refs: it is one program.
    Look look(const std::string& item, const Pace& pace, const std::stop_token& stop) override;
    void for_each(const std::function<bool(const std::string& name)>& use,
                  const std::stop_token& stop) override;

    /// Its objects, or those that it borrows, were believed, and not read since. Any thread.
    bool is_unproven(const std::string& name) const;

  private:
    Result apply_one(const ItemTask& task, const std::stop_token& stop);
    void note_change(const std::string& name, const Result& result, const v1::RefUpdate& update);
    Result update(const v1::RefUpdate& update, const ItemTask& task, const std::stop_token& stop);
    Result update_whole(const v1::RefUpdate& update, const ItemTask& task,
                        const std::stop_token& stop);
    /// `name`: the update's repository, or the one that takes its place.
    Result take_in_and_move(const std::string& name, const v1::RefUpdate& update,
                            const ItemTask& task, const RefMap& here, const RefMap& wanted,
                            const std::stop_token& stop);
    /// The pool of what has these refs.
    bool is_pool_unproven(const RefMap& refs) const;
    /// Something cannot be taken in: is it the primary's fault?
    Result blame(const v1::RefUpdate& update, const RefMap& wanted, const Intake& intake);
    bool is_broken(const v1::RefUpdate& update, const std::stop_token& stop);
    /// What git says against the objects that are here; empty: nothing. It is remembered.
    std::string defect(const std::string& name, const std::stop_token& stop);
    Result rebuild(const v1::RefUpdate& update, const ItemTask& task, const RepositoryRefs& wanted,
                   const std::stop_token& stop);
    Result remove(const std::string& name);
    /// What stands in the way of a repository at this place; nullopt: nothing.
    std::optional<Result> obstacle(const std::string& name);
    RepositoryRefs make_ready(const std::string& name, const std::string& object_format,
                              const std::stop_token& stop);

    const StoreId store_;
    Repositories& repositories_;
    const OnChange on_change_;
    std::filesystem::path incoming_directory_;
    /// Repositories with a defect: made anew by the next update that brings them whole.
    Synchronized<std::set<std::string>> broken_;
    /// What was applied and not proven yet.
    Synchronized<std::set<std::string>> unproven_;
};

}  // namespace antipode::secondary
