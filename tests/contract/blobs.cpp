#include <sys/stat.h>

#include "adapters/files/inotify_watch.hpp"
#include "adapters/files/posix_tree.hpp"
#include "primary/blobs/bulk.hpp"
#include "primary/blobs/capture.hpp"
#include "primary/bulk.hpp"
#include "secondary/blobs/apply.hpp"
#include "tests/contract/lane_under_test.hpp"
#include "tests/support/temporary_directory.hpp"
#include "verify/blob_digest.hpp"

namespace antipode::contract {
namespace {

namespace fs = std::filesystem;

class Blobs final : public LaneUnderTest {
  public:
    explicit Blobs(const fs::path& directory) : a_(directory / "a"), b_(directory / "b") {
        fs::create_directories(a_);
        fs::create_directories(b_);
        test::write_file(a_ / "always", "here");  // an emptied root is refused
    }

    const StoreId& store() const override { return store_; }

    void change(Chance& chance) override {
        const std::string directory = "d" + std::to_string(chance.below(3));
        const fs::path file = a_ / directory / std::to_string(chance.below(5));
        switch (chance.below(8)) {
            case 0:
                fs::remove(file);
                return;
            case 1:
                if (const fs::path moved = a_ / "moved"; fs::exists(a_ / directory)) {
                    fs::remove_all(moved);
                    fs::rename(a_ / directory, moved);
                }
                return;
            case 2:
                if (fs::exists(file)) {
                    chmod(file.c_str(), chance.one_in(2) ? 0600 : 0644);
                }
                return;
            default:
                break;
        }
        fs::create_directories(file.parent_path());
        // One in six does not travel in its event.
        const size_t size = chance.one_in(6) ? 300'000 + chance.below(50'000) : chance.below(5000);
        std::string bytes(size, '\0');
        for (char& byte : bytes) {
            byte = static_cast<char>(chance.next());
        }
        test::write_file(file, bytes);
    }

    Digests digests_of_a() override { return digests(a_); }
    Digests digests_of_b() override { return digests(b_); }

    void start_a(const primary::Inventory& inventory) override {
        source_.reset();
        source_ = std::make_unique<Source>(store_, a_, inventory, clock_);
    }
    void start_b() override {
        target_.reset();
        target_ = std::make_unique<Target>(store_, b_);
    }
    primary::ItemCapture* item_capture() override { return &source_->capture; }
    secondary::ItemApply* item_apply() override { return &target_->apply; }
    FileTree* tree_of_b() override { return &target_->tree; }
    BulkHandler& bulk() override { return source_->bulk; }

    std::string* carried(v1::Payload& payload) override {
        const bool inside = payload.blob_put().content().has_inline_();
        return inside ? payload.mutable_blob_put()->mutable_content()->mutable_inline_() : nullptr;
    }

  private:
    struct Source {
        Source(const StoreId& store, const fs::path& root, const primary::Inventory& inventory,
               const Clock& clock)
            : tree(root),
              watch(root, clock),
              capture(store, tree, watch, inventory, clock, {}),
              bulk(store, inventory,
                   std::make_shared<primary::BlobBulk>(tree, std::vector<std::string>{})) {}
        files::PosixTree tree;
        files::InotifyWatch watch;
        primary::BlobCapture capture;
        primary::ItemBulk bulk;
    };
    struct Target {
        Target(const StoreId& store, const fs::path& root) : tree(root), apply(store, tree) {}
        files::PosixTree tree;
        secondary::BlobApply apply;
    };

    static Digests digests(const fs::path& root) {
        Digests digests;
        fs::recursive_directory_iterator end;
        for (fs::recursive_directory_iterator at(root); at != end; ++at) {
            if (at->path().filename() == ".antipode") {
                at.disable_recursion_pending();
            } else if (at->is_regular_file()) {
                const std::string bytes = test::read_file(at->path());
                digests[at->path().lexically_relative(root)] =
                    verify::blob_digest(sha256(bytes), bytes.size()).to_string();
            }
        }
        return digests;
    }

    const StoreId store_{StoreKind::Blobs, "uploads"};
    const fs::path a_;
    const fs::path b_;
    SystemClock clock_;
    std::unique_ptr<Source> source_;
    std::unique_ptr<Target> target_;
};

}  // namespace

std::unique_ptr<LaneUnderTest> make_blobs(const fs::path& directory) {
    return std::make_unique<Blobs>(directory);
}

}  // namespace antipode::contract
