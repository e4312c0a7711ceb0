#include "apps/antipoded/primary_stores.hpp"

#include <spdlog/spdlog.h>

#include "adapters/files/inotify_watch.hpp"
#include "adapters/files/posix_tree.hpp"
#include "adapters/git/change_spool.hpp"
#include "adapters/git/repositories.hpp"
#include "adapters/postgres/change_source.hpp"
#include "adapters/postgres/sequence_log.hpp"
#include "adapters/postgres/source_check.hpp"
#include "adapters/postgres/source_control.hpp"
#include "adapters/postgres/source_export.hpp"
#include "adapters/s3/notifications.hpp"
#include "apps/antipoded/store_bucket.hpp"
#include "base/error.hpp"
#include "base/files.hpp"
#include "base/places.hpp"
#include "base/worker.hpp"
#include "primary/blobs/bulk.hpp"
#include "primary/blobs/capture.hpp"
#include "primary/bulk.hpp"
#include "primary/database/bulk.hpp"
#include "primary/database/slot_capture.hpp"
#include "primary/database/wal_probe.hpp"
#include "primary/repositories/capture.hpp"
#include "primary/repositories/watch.hpp"

namespace antipode {
namespace {

/// A file is made, written and closed, or renamed, in a moment: one look finds all of that, and
/// what changes meanwhile shares its syncs on both sites (bench/RESULTS.md has what it costs and
/// saves). A transaction does not wait for it: it has a look of its own.
constexpr std::chrono::milliseconds gathering(14);
/// What changes in a repository's files its hook reports in a moment, once it is durable: then both
/// are one change, which is read once.
constexpr std::chrono::milliseconds hook_time(25);
/// Packs are kept for ten minutes more than they need be anyway.
constexpr std::chrono::minutes drop_interval(1);

primary::PathFilter filter_of(const Config::Blobs& store) {
    return {store.exclude, store.include};
}

/// What this site was pulling when it was a secondary nobody wants any more: what had come whole is
/// applied, or named in the loss report. Through the tree, which follows no links: whoever writes
/// below the root must not choose what is deleted. A failure keeps nobody from serving.
void drop_incoming(FileTree& tree) {
    const std::string directory = std::string(private_directory) + "/incoming";
    try {
        for (const FileTree::Entry& entry :
             tree.list(directory).value_or(std::vector<FileTree::Entry>())) {
            tree.remove(directory + "/" + entry.name);
        }
    } catch (const Error& error) {
        spdlog::warn("what was being pulled before stays in {}: {}", directory, error.what());
    }
}

class PostgresPrimary final : public PrimaryDatabase {
  public:
    PostgresPrimary(const Config& config, const Config::Database& store, const Clock& clock)
        : name_("antipode " + config.cluster + " " + config.site + " " + store.name),
          source_({store.url, store.slot, store.publication,
                   store.synchronous ? store.standby_name() : name_ + " capture",
                   config.state_dir}),
          control_({store.url, store.slot, store.publication, name_ + " control"}),
          wal_(store.url, name_ + " wal"),
          probe_(wal_, clock),
          sequences_(store.url, name_ + " sequences"),
          capture_(store, source_, control_, probe_, sequences_, clock),
          export_({store.url, store.slot, name_ + " copy", {}}),
          checks_({store.url, name_ + " check", {}}),
          bulk_({StoreKind::Database, store.name}, export_, checks_, clock) {}

    primary::DatabaseCapture& capture() override { return capture_; }
    BulkHandler& bulk() override { return bulk_; }

  private:
    std::string name_;
    postgres::SlotSource source_;
    postgres::SourceSetup control_;
    postgres::WalEnd wal_;
    primary::WalProbe probe_;
    postgres::SequenceLog sequences_;
    primary::SlotCapture capture_;
    postgres::TableExport export_;
    postgres::SnapshotChecks checks_;
    primary::DatabaseBulk bulk_;
};

class GitPrimary final : public PrimaryItems {
  public:
    GitPrimary(const Config& config, const Config::Repositories& store,
               const std::shared_ptr<primary::Inventory>& inventory, const Clock& clock)
        : check_every_(store.check_every),
          inventory_(inventory),
          repositories_({.root = store.root,
                         .packs_directory = config.state_dir / "packs" / store.name,
                         .strict_objects = false},
                        clock),
          spool_({.file = hook_spool(config, store.name),
                  .root = store.root,
                  .program = hook_program()}),
          spool_watch_(spool_.file().parent_path(), clock),
          tree_(store.root),
          watch_(store.root, clock),
          changes_(spool_, tree_, watch_),
          capture_({StoreKind::Repositories, store.name}, repositories_, changes_, *inventory),
          bulk_(capture_.store(), *inventory,
                std::make_shared<primary::PackService>(repositories_)) {
        repositories_.clean_leftovers();
        drop_incoming(tree_);
        spool_watch_.cover("");
    }

    primary::ItemCapture& capture() override { return capture_; }
    BulkHandler& bulk() override { return bulk_; }
    std::vector<Notifier> notifiers() override {
        return {{"files of",
                 [this](auto timeout, const auto& stop) {
                     return watch_.wait(timeout, stop) && !sleep_unless_stopped(hook_time, stop);
                 }},
                {"hooks of", [this](auto timeout, const auto& stop) {
                     const bool changed = spool_watch_.wait(timeout, stop);
                     spool_watch_.drain();
                     return changed;
                 }}};
    }
    std::string remark() const override {
        const std::string problem = capture_.problem();
        const std::string packing = repositories_.packing();
        return problem.empty() || packing.empty() ? problem + packing : problem + "; " + packing;
    }
    std::chrono::milliseconds check_every() const override { return check_every_; }
    /// Each look costs a call for every pack that is kept, as many as there are repositories
    /// behind an initial sync.
    void applied_everywhere(TimePoint time) override {
        const bool clock_was_set_back = time < dropped_before_;
        if (clock_was_set_back || time - dropped_before_ >= drop_interval) {
            repositories_.drop_kept_packs_before(time);
            dropped_before_ = time;
        }
    }

  private:
    const std::chrono::milliseconds check_every_;
    std::shared_ptr<primary::Inventory> inventory_;
    git::GitRepositories repositories_;
    git::ChangeSpool spool_;
    files::InotifyWatch spool_watch_;
    files::PosixTree tree_;
    files::InotifyWatch watch_;
    primary::RepositoryWatch changes_;
    primary::RepositoryCapture capture_;
    primary::ItemBulk bulk_;
    TimePoint dropped_before_{};
};

class FilesPrimary final : public PrimaryItems {
  public:
    FilesPrimary(const Config::Blobs& store, const std::shared_ptr<primary::Inventory>& inventory,
                 const Clock& clock)
        : check_every_(store.check_every),
          inventory_(inventory),
          tree_(store.root),
          watch_(store.root, clock),
          capture_({StoreKind::Blobs, store.name}, tree_, watch_, *inventory, clock,
                   filter_of(store), store.all_directories()),
          bulk_(capture_.store(), *inventory,
                std::make_shared<primary::BlobBulk>(tree_, filter_of(store))) {
        drop_incoming(tree_);
    }

    primary::ItemCapture& capture() override { return capture_; }
    BulkHandler& bulk() override { return bulk_; }
    std::vector<Notifier> notifiers() override {
        return {{"files of", [this](auto timeout, const auto& stop) {
                     return watch_.wait(timeout, stop) && !sleep_unless_stopped(gathering, stop);
                 }}};
    }
    std::string remark() const override { return capture_.problem(); }
    std::chrono::milliseconds check_every() const override { return check_every_; }
    void applied_everywhere(TimePoint) override {}

  private:
    const std::chrono::milliseconds check_every_;
    std::shared_ptr<primary::Inventory> inventory_;
    files::PosixTree tree_;
    files::InotifyWatch watch_;
    primary::BlobCapture capture_;
    primary::ItemBulk bulk_;
};

class BucketPrimary final : public PrimaryItems {
  public:
    BucketPrimary(const Config& config, const Config::Blobs& store,
                  const std::shared_ptr<primary::Inventory>& inventory, const Clock& clock)
        : check_every_(store.check_every),
          inventory_(inventory),
          place_(*store.bucket),
          bucket_(config, store, clock),
          capture_({StoreKind::Blobs, store.name}, bucket_.tree(), notifications_, *inventory,
                   clock, filter_of(store)),
          bulk_(capture_.store(), *inventory,
                std::make_shared<primary::BlobBulk>(bucket_.tree(), filter_of(store))) {}

    primary::ItemCapture& capture() override { return capture_; }
    BulkHandler& bulk() override { return bulk_; }
    std::vector<Notifier> notifiers() override {
        return {{"notifications of", [this](auto timeout, const auto& stop) {
                     return notifications_.wait(timeout, stop);
                 }}};
    }
    std::string remark() const override { return capture_.problem(); }
    std::chrono::milliseconds check_every() const override { return check_every_; }
    std::function<void(const std::string& body)> notification_handler() override {
        return [this](const std::string& body) {
            notifications_.add(s3::changed_paths(body, place_.bucket, place_.prefix));
        };
    }
    void interrupt() override { bucket_.interrupt(); }
    void applied_everywhere(TimePoint) override {}

  private:
    const std::chrono::milliseconds check_every_;
    std::shared_ptr<primary::Inventory> inventory_;
    const Config::Bucket place_;
    StoreBucket bucket_;
    s3::Notifications notifications_;
    primary::BlobCapture capture_;
    primary::ItemBulk bulk_;
};

}  // namespace

PrimaryStores make_primary_stores(const Config& config,
                                  const std::shared_ptr<primary::Inventory>& inventory,
                                  const Clock& clock) {
    PrimaryStores stores;
    for (const Config::Database& store : config.databases) {
        stores.databases.push_back(std::make_shared<PostgresPrimary>(config, store, clock));
    }
    for (const Config::Repositories& store : config.repositories) {
        stores.items.push_back(std::make_shared<GitPrimary>(config, store, inventory, clock));
    }
    for (const Config::Blobs& store : config.blobs) {
        if (store.bucket) {
            stores.items.push_back(
                std::make_shared<BucketPrimary>(config, store, inventory, clock));
        } else {
            stores.items.push_back(std::make_shared<FilesPrimary>(store, inventory, clock));
        }
    }
    return stores;
}

}  // namespace antipode
