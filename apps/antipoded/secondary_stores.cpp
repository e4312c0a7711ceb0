#include "apps/antipoded/secondary_stores.hpp"

#include <mutex>
#include <set>

#include <spdlog/spdlog.h>

#include "adapters/files/posix_tree.hpp"
#include "adapters/git/repositories.hpp"
#include "adapters/postgres/replica_session.hpp"
#include "apps/antipoded/store_bucket.hpp"
#include "base/digest.hpp"
#include "base/files.hpp"
#include "base/places.hpp"
#include "base/worker.hpp"
#include "primary/blobs/filter.hpp"
#include "secondary/blobs/apply.hpp"
#include "secondary/blobs/deleted.hpp"
#include "secondary/blobs/places.hpp"
#include "secondary/database/transaction_apply.hpp"
#include "secondary/repositories/apply.hpp"
#include "secondary/repositories/housekeeping.hpp"
#include "secondary/repositories/names.hpp"
#include "secondary/repositories/places.hpp"
#include "verify/blob_digest.hpp"

namespace antipode {
namespace {

/// Until then who is in the way has been ended.
constexpr std::chrono::seconds after_grace(30);
/// What was deleted and is kept is looked at so often.
constexpr std::chrono::seconds forget_interval(10);
/// A mirror that is not changed by us gets its hook back so often.
constexpr std::chrono::minutes guard_interval(10);
constexpr std::chrono::seconds guard_look(1);
/// Of items with one content: others are looked at when the first are not what they should be.
constexpr size_t same_content_looked_at = 4;

class PostgresSecondary final : public SecondaryDatabase {
  public:
    PostgresSecondary(const Config& config, const Config::Database& store, const Clock& clock)
        : name_("antipode " + config.cluster + " " + config.site + " " + store.name),
          session_({store.url, StoreId{StoreKind::Database, store.name}.to_string(),
                    name_ + " apply", 0, store.lock_grace + after_grace}),
          watch_(StoreId{StoreKind::Database, store.name}.to_string(),
                 {store.url, name_ + " watch", name_ + " apply", store.lock_grace},
                 {store.url, name_ + " fence", store.readers}),
          checks_(
              {{StoreKind::Database, store.name}, store.url, name_ + " check", store.check_every},
              clock),
          apply_({StoreKind::Database, store.name}, session_,
                 store.ddl == "halt" ? secondary::DdlPolicy::Halt : secondary::DdlPolicy::Apply,
                 {.workers = config.tuning.copy_workers}, &checks_.observer()) {}

    secondary::DatabaseApply& apply() override { return apply_; }
    DatabaseWatch& watch() override { return watch_; }
    DatabaseChecks& checks() override { return checks_; }

  private:
    const std::string name_;
    postgres::ReplicaWriter session_;
    DatabaseWatch watch_;
    DatabaseChecks checks_;
    secondary::TransactionApply apply_;
};

/// Looks at the root only when there is something to apply: a root that is missing stops its own
/// store, and nothing else.
class GitApply final : public secondary::ItemApply, public secondary::ItemLook {
  public:
    GitApply(StoreId store, std::filesystem::path root, git::HookSettings hook,
             const secondary::Registry& registry, const Clock& clock)
        : store_(std::move(store)),
          root_(std::move(root)),
          hook_(std::move(hook)),
          registry_(registry),
          clock_(clock) {}

    const StoreId& store() const override { return store_; }
    std::filesystem::path incoming_directory() const override {
        return root_ / ".antipode" / "incoming";
    }
    std::vector<secondary::Result> apply(std::span<const secondary::ItemTask> tasks,
                                         const std::stop_token& stop) override {
        return ready().apply(tasks, stop);
    }
    secondary::Look look(const std::string& item, const secondary::Pace& pace,
                         const std::stop_token& stop) override {
        return ready().look(item, pace, stop);
    }
    void for_each(const std::function<bool(const std::string& name)>& use,
                  const std::stop_token& stop) override {
        ready().for_each(use, stop);
    }
    void keep_house(const std::stop_token& stop) {
        ready();
        housekeeping_->step(stop);
    }
    std::unique_ptr<secondary::MirrorPlaces> places(FileTree& tree,
                                                    const secondary::Registry& registry) {
        ready();
        return std::make_unique<secondary::RepositoryPlaces>(
            store_, tree, *repositories_, registry,
            [this](const std::string& name, TimePoint since) {
                return housekeeping_->kept_since(name, since);
            });
    }
    /// Repositories that were there before, or that somebody put there.
    void guard_all(const std::stop_token& stop) {
        // A step that waits for the next round would count as not done, and the site as not ready.
        if (clock_.steady_now() < guard_at_) {
            sleep_unless_stopped(guard_look, stop);
            return;
        }
        for (const git::HookReport& report :
             git::for_all_hooks(root_, hook_, git::HookAction::Guard, stop)) {
            if (!report.problem.empty()) {
                spdlog::warn("pushes to {} may not be refused: {}", printable(report.repository),
                             report.problem);
            }
        }
        guard_at_ = clock_.steady_now() + guard_interval;
    }

  private:
    secondary::RepositoryApply& ready() {
        std::scoped_lock lock(mutex_);
        if (!apply_) {
            auto repositories = std::make_unique<git::GitRepositories>(
                git::GitRepositories::Options{
                    .root = root_, .packs_directory = {}, .strict_objects = false, .hook = hook_},
                clock_);
            housekeeping_ = std::make_unique<secondary::Housekeeping>(
                *repositories, clock_,
                [this](const std::string& name) { return apply_->is_unproven(name); });
            const auto unproven = registry_.unproven_items(store_);
            apply_ = std::make_unique<secondary::RepositoryApply>(
                store_, *repositories,
                [this](const std::string& name, uint64_t bytes) {
                    housekeeping_->note(name, bytes);
                },
                std::set<std::string>(unproven.begin(), unproven.end()));
            repositories->clean_leftovers();
            repositories_ = std::move(repositories);
        }
        return *apply_;
    }

    StoreId store_;
    SteadyTime guard_at_{};  ///< guard_all()'s
    std::filesystem::path root_;
    const git::HookSettings hook_;
    const secondary::Registry& registry_;
    const Clock& clock_;
    std::mutex mutex_;
    std::unique_ptr<git::GitRepositories> repositories_;
    std::unique_ptr<secondary::Housekeeping> housekeeping_;
    std::unique_ptr<secondary::RepositoryApply> apply_;
};

class GitSecondary final : public SecondaryItems {
  public:
    GitSecondary(const Config& config, const Config::Repositories& store,
                 const secondary::Registry& registry, const Clock& clock)
        : tree_(store.root),
          contents_({StoreKind::Repositories, store.name}, tree_, ".antipode/incoming"),
          apply_({StoreKind::Repositories, store.name}, store.root,
                 {hook_program(), hook_spool(config, store.name)}, registry, clock),
          check_every_(store.check_every) {}

    secondary::ItemApply& apply() override { return apply_; }
    secondary::ContentStore& contents() override { return contents_; }
    secondary::ItemLook& looks() override { return apply_; }
    std::chrono::milliseconds check_every() const override { return check_every_; }
    std::vector<Chore> chores() override {
        return {{"housekeeping", [this](const auto& stop) { apply_.keep_house(stop); }},
                {"hooks", [this](const auto& stop) { apply_.guard_all(stop); }}};
    }
    std::unique_ptr<secondary::MirrorPlaces> places(FileTree& tree,
                                                    const secondary::Registry& registry) override {
        return apply_.places(tree, registry);
    }
    std::filesystem::path root() const override { return tree_.root(); }

    std::string why_no_item(const std::string& item) const override {
        return secondary::refuse_repository_name(item);
    }

  private:
    files::PosixTree tree_;
    secondary::ContentStore contents_;
    GitApply apply_;
    const std::chrono::milliseconds check_every_;
};

/// Files of a tree, wherever that is.
class TreeSecondary : public SecondaryItems {
  public:
    /// `tree` and `registry` must outlive the object.
    TreeSecondary(const Config::Blobs& store, FileTree& tree, const secondary::Registry& registry,
                  const Clock& clock)
        : contents_({StoreKind::Blobs, store.name}, tree, secondary::BlobApply::incoming_name(),
                    [&registry, id = StoreId{StoreKind::Blobs, store.name}](const Sha256& hash,
                                                                            uint64_t size) {
                        return registry.with_content(id, verify::blob_digest(hash, size),
                                                     same_content_looked_at);
                    }),
          deleted_(tree, clock, store.keep_deleted),
          keeps_deleted_(store.keep_deleted.count() > 0),
          apply_({StoreKind::Blobs, store.name}, tree, keeps_deleted_ ? &deleted_ : nullptr,
                 store.all_directories()),
          check_every_(store.check_every),
          directories_(store.all_directories()),
          filter_(store.exclude, store.include) {}

    secondary::ItemApply& apply() override { return apply_; }
    secondary::ContentStore& contents() override { return contents_; }
    secondary::ItemLook& looks() override { return apply_; }
    std::chrono::milliseconds check_every() const override { return check_every_; }
    bool excludes(const std::string& item) const override {
        const std::string path = path_of(item);
        return names_directory(item) ? filter_.excludes(path) : !filter_.includes(path);
    }
    std::string why_no_item(const std::string& item) const override {
        if (const auto objection = why_no_path(directories_ ? path_of(item) : item)) {
            return *objection;
        }
        return excludes(item) ? "it is not replicated (include, exclude)" : "";
    }
    std::vector<Chore> chores() override {
        if (!keeps_deleted_) {
            return {};
        }
        return {{"kept deletions", [this](const auto& stop) {
                     deleted_.forget_old(stop);
                     sleep_unless_stopped(forget_interval, stop);
                 }}};
    }

  private:
    secondary::ContentStore contents_;
    secondary::DeletedFiles deleted_;
    const bool keeps_deleted_;
    secondary::BlobApply apply_;
    const std::chrono::milliseconds check_every_;
    const bool directories_;
    const primary::PathFilter filter_;  // the one by which the primary captures
};

struct Root {
    files::PosixTree tree;
};

class FilesSecondary final : private Root, public TreeSecondary {
  public:
    FilesSecondary(const Config::Blobs& store, const secondary::Registry& registry,
                   const Clock& clock)
        : Root{files::PosixTree(store.root, store.owner_ids)},
          TreeSecondary(store, tree, registry, clock),
          directories_(store.all_directories()) {}

    std::unique_ptr<secondary::MirrorPlaces> places(FileTree& files,
                                                    const secondary::Registry&) override {
        return std::make_unique<secondary::BlobPlaces>(
            files, directories_, [this](const std::string& item) { return excludes(item); });
    }
    std::filesystem::path root() const override { return tree.root(); }

  private:
    const bool directories_;
};

class BucketSecondary final : private StoreBucket, public TreeSecondary {
  public:
    BucketSecondary(const Config& config, const Config::Blobs& store,
                    const secondary::Registry& registry, const Clock& clock)
        : StoreBucket(config, store, clock), TreeSecondary(store, tree(), registry, clock) {}
    void interrupt() override { StoreBucket::interrupt(); }
};

}  // namespace

SecondaryStores make_secondary_stores(const Config& config, const secondary::Registry& registry,
                                      const Clock& clock) {
    SecondaryStores stores;
    for (const Config::Database& store : config.databases) {
        stores.databases.push_back(std::make_unique<PostgresSecondary>(config, store, clock));
    }
    for (const Config::Repositories& store : config.repositories) {
        stores.items.push_back(std::make_unique<GitSecondary>(config, store, registry, clock));
    }
    for (const Config::Blobs& store : config.blobs) {
        if (store.bucket) {
            stores.items.push_back(
                std::make_unique<BucketSecondary>(config, store, registry, clock));
        } else {
            stores.items.push_back(std::make_unique<FilesSecondary>(store, registry, clock));
        }
    }
    return stores;
}

}  // namespace antipode
