#include "adapters/git/repositories.hpp"

#include "adapters/files/inotify_watch.hpp"
#include "adapters/files/posix_tree.hpp"
#include "adapters/git/change_spool.hpp"
#include "primary/bulk.hpp"
#include "primary/repositories/capture.hpp"
#include "primary/repositories/watch.hpp"
#include "secondary/repositories/apply.hpp"
#include "tests/contract/lane_under_test.hpp"
#include "tests/support/git_program.hpp"
#include "verify/refs.hpp"

namespace antipode::contract {
namespace {

namespace fs = std::filesystem;
using test::git;

class Repositories final : public LaneUnderTest {
  public:
    explicit Repositories(const fs::path& directory)
        : directory_(directory), a_(directory / "a"), b_(directory / "b") {
        fs::create_directories(a_);
        fs::create_directories(b_);
        create(a_ / "always.git");  // an emptied root is refused
    }

    const StoreId& store() const override { return store_; }

    void change(Chance& chance) override {
        const fs::path repository = a_ / ("r" + std::to_string(chance.below(3)) + ".git");
        const std::string branch = "refs/heads/b" + std::to_string(chance.below(3));
        if (!fs::exists(repository)) {
            create(repository);
        }
        switch (chance.below(9)) {
            case 0:
                fs::remove_all(repository);
                return;
            case 1:
                git({"-C", repository, "update-ref", "-d", branch});
                return;
            case 2:
                git({"-C", repository, "symbolic-ref", "HEAD", branch});
                return;
            case 3:  // no descendant of what was there
                git({"-C", repository, "update-ref", branch, commit(repository, chance, {})});
                return;
            default:
                break;
        }
        const auto parent =
            test::run({"git", "-C", repository, "rev-parse", "-q", "--verify", branch}, {},
                      test::git_environment());
        std::vector<std::string> parents;
        if (parent.status == 0) {
            parents = {"-p", parent.output.substr(0, parent.output.find('\n'))};
        }
        git({"-C", repository, "update-ref", branch, commit(repository, chance, parents)});
    }

    Digests digests_of_a() override { return digests(read_a_); }
    Digests digests_of_b() override { return digests(read_b_); }
    std::string problems_of_b() override {
        std::string problems;
        for (const auto& [name, digest] : digests_of_b()) {
            const std::string damage = test::damage_of(b_ / name);
            problems += damage.empty() ? "" : name + ": " + damage;
        }
        return problems;
    }

    void start_a(const primary::Inventory& inventory) override {
        source_.reset();
        source_ = std::make_unique<Source>(store_, directory_, a_, inventory, clock_);
    }
    void start_b() override {
        target_.reset();
        target_ = std::make_unique<Target>(store_, b_, clock_);
    }
    primary::ItemCapture* item_capture() override { return &source_->capture; }
    secondary::ItemApply* item_apply() override { return &target_->apply; }
    FileTree* tree_of_b() override { return &target_->tree; }
    BulkHandler& bulk() override { return source_->bulk; }

    std::string* carried(v1::Payload& payload) override {
        const bool inside = payload.ref_update().pack().has_inline_();
        return inside ? payload.mutable_ref_update()->mutable_pack()->mutable_inline_() : nullptr;
    }

  private:
    struct Source {
        Source(const StoreId& store, const fs::path& state, const fs::path& root,
               const primary::Inventory& inventory, const Clock& clock)
            : repositories({.root = root, .packs_directory = state / "packs"}, clock),
              spool({.file = state / "spool/changes", .root = root, .program = {}}),
              tree(root),
              watch(root, clock),
              changes(spool, tree, watch),
              capture(store, repositories, changes, inventory),
              bulk(store, inventory, std::make_shared<primary::PackService>(repositories)) {
            repositories.clean_leftovers();
        }
        git::GitRepositories repositories;
        git::ChangeSpool spool;
        files::PosixTree tree;
        files::InotifyWatch watch;
        primary::RepositoryWatch changes;
        primary::RepositoryCapture capture;
        primary::ItemBulk bulk;
    };
    struct Target {
        Target(const StoreId& store, const fs::path& root, const Clock& clock)
            : repositories({.root = root, .packs_directory = {}}, clock),
              tree(root),
              apply(store, repositories) {
            repositories.clean_leftovers();
        }
        git::GitRepositories repositories;
        files::PosixTree tree;
        secondary::RepositoryApply apply;
    };

    static void create(const fs::path& repository) {
        git({"init", "--quiet", "--bare", repository});
    }

    /// A commit with a file of its own; one in six is too large to travel in its event.
    static std::string commit(const fs::path& repository, Chance& chance,
                              const std::vector<std::string>& parents) {
        std::string bytes(chance.one_in(6) ? 300'000 : 10 + chance.below(2000), '\0');
        for (char& byte : bytes) {
            byte = static_cast<char>(chance.next());
        }
        const std::string blob = git({"-C", repository, "hash-object", "-w", "--stdin"}, bytes);
        const std::string tree =
            git({"-C", repository, "mktree"}, "100644 blob " + blob + "\tfile\n");
        std::vector<std::string> command{"-C", repository, "commit-tree", "-m", "a change"};
        command.insert(command.end(), parents.begin(), parents.end());
        command.push_back(tree);
        return git(command);
    }

    static Digests digests(git::GitRepositories& repositories) {
        Digests digests;
        for (const std::string& name : repositories.discover({}).found) {
            const auto refs = repositories.read_refs(name);
            digests[name] = refs ? verify::refs_digest(*refs).to_string() : "cannot be read";
        }
        return digests;
    }

    const StoreId store_{StoreKind::Repositories, "code"};
    const fs::path directory_;
    const fs::path a_;
    const fs::path b_;
    SystemClock clock_;
    git::GitRepositories read_a_{{.root = a_, .packs_directory = {}}, clock_};
    git::GitRepositories read_b_{{.root = b_, .packs_directory = {}}, clock_};
    std::unique_ptr<Source> source_;
    std::unique_ptr<Target> target_;
};

}  // namespace

std::unique_ptr<LaneUnderTest> make_repositories(const fs::path& directory) {
    return std::make_unique<Repositories>(directory);
}

}  // namespace antipode::contract
