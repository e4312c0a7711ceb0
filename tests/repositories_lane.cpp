#include "tests/repositories_lane.hpp"

#include <fstream>

#include "base/error.hpp"
#include "tests/support/process.hpp"
#include "verify/refs.hpp"

namespace antipode::test {
namespace {

const StoreId store{StoreKind::Repositories, "code"};

std::string describe(const std::filesystem::path& repository) {
    const std::string place = repository.string();
    return "HEAD " + run({"git", "-C", place, "symbolic-ref", "HEAD"}).output +
           must_run({"cat", place + "/HEAD"}) + "\n" +
           git({"-C", place, "for-each-ref", "--format=%(refname) %(objectname) %(symref)"});
}

}  // namespace

RepositoriesLane::RepositoriesLane() {
    std::filesystem::create_directories(root_);
    std::filesystem::create_directories(mirror_);
    source_ = std::make_unique<git::GitRepositories>(
        git::GitRepositories::Options{root_, directory_ / "packs/code"}, clock_);
    target_ =
        std::make_unique<git::GitRepositories>(git::GitRepositories::Options{mirror_, {}}, clock_);
    spool_ = std::make_unique<git::ChangeSpool>(
        git::ChangeSpool::Options{spool_file_, root_, hook_settings().program});
    capture_ = std::make_unique<primary::RepositoryCapture>(store, *source_, *spool_, inventory_);
    packs_ = std::make_unique<primary::PackService>(*source_);
    apply_ = std::make_unique<secondary::RepositoryApply>(store, *target_);
}

git::HookSettings RepositoriesLane::hook_settings() const {
    return {ANTIPODE_GIT_HOOK, spool_file_};
}

void RepositoriesLane::create(const std::string& name, const std::vector<std::string>& options) {
    std::vector<std::string> arguments{"init", "--quiet", "--bare"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    arguments.push_back(on_primary(name).string());
    git(arguments);
}

void RepositoriesLane::install_hooks() {
    for (const auto& report :
         git::for_all_hooks(root_, hook_settings(), git::HookAction::Install)) {
        EXPECT_EQ(report.status, git::HookStatus::Installed) << report.problem;
    }
}

std::filesystem::path RepositoriesLane::work_tree(const std::string& name) {
    const std::filesystem::path tree = directory_ / ("work/" + name);
    if (!std::filesystem::exists(tree)) {
        git({"clone", "--quiet", on_primary(name).string(), tree.string()});
    }
    return tree;
}

std::string RepositoriesLane::commit(const std::string& name, const std::string& branch,
                                     const std::string& content, const std::string& file) {
    const std::filesystem::path tree = work_tree(name);
    git({"-C", tree.string(), "checkout", "--quiet", "-B", branch});
    write_file(tree / file, content);
    git({"-C", tree.string(), "add", "--all"});
    git({"-C", tree.string(), "commit", "--quiet", "--allow-empty", "--message", "a change"});
    return git({"-C", tree.string(), "rev-parse", "HEAD"});
}

void RepositoriesLane::push(const std::string& name, const std::vector<std::string>& arguments) {
    std::vector<std::string> command{"-C", work_tree(name).string(), "push", "--quiet", "origin"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    git(command);
}

std::optional<protocol::Event> RepositoriesLane::capture(const std::string& item, bool whole) {
    auto reading = capture_->read(item, whole, stop_);
    if (!reading) {
        return std::nullopt;
    }
    const primary::Inventory::Record record{store, item, reading->published, {1, 1, ++number_}};
    inventory_.record(std::span(&record, 1));
    // Over the wire and back.
    protocol::Event event;
    event.position = record.position;
    event.store = store;
    EXPECT_TRUE(event.payload.ParseFromString(reading->payload.SerializeAsString()));
    return event;
}

secondary::Result RepositoriesLane::apply(const protocol::Event& event) {
    secondary::ItemTask task{&event, {}};
    for (const v1::Content* content : protocol::pulled_contents(event.payload)) {
        const v1::Content& pack = *content;
        const auto body =
            packs_->open({"repositories/code/content", {{"ref", to_hex(pack.pull())}}});
        if (!body) {
            throw Error(Reaction::Retry, "the pack is not kept any more");
        }
        std::string bytes(pack.size() + 1, '\0');
        size_t size = 0;
        while (const size_t count = body->read(std::span(bytes).subspan(size))) {
            size += count;
        }
        bytes.resize(size);
        EXPECT_EQ(std::string(view(sha256(bytes))), pack.sha256());
        const auto file = apply_->incoming_directory() / to_hex(pack.sha256());
        std::filesystem::remove(file);
        write_file(file, bytes);
        const v1::RefUpdate& update = event.payload.ref_update();
        (content == &update.base()         ? task.base
         : content == &update.base_index() ? task.base_index
                                           : task.content) = file;
    }
    return apply_->apply(std::span(&task, 1), stop_).front();
}

void RepositoriesLane::apply_until_done(const protocol::Event& event) {
    secondary::Result result;
    const bool done = eventually([&] {
        result = apply(event);
        if (result.kind == secondary::Result::Kind::Failed) {
            make_locks_old();
        }
        return result.kind != secondary::Result::Kind::Failed;
    });
    EXPECT_TRUE(done) << result.reason;
    EXPECT_NE(result.kind, secondary::Result::Kind::NeedsWhole) << result.reason;
    EXPECT_EQ(result.digest.value, event.payload.ref_update().digest_after());
}

/// Those of processes that ended some seconds ago.
void RepositoriesLane::make_locks_old() const {
    using FileClock = std::filesystem::file_time_type::clock;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(mirror_)) {
        if (entry.path().extension() == ".lock" &&
            FileClock::now() - entry.last_write_time() > std::chrono::seconds(3)) {
            std::filesystem::last_write_time(entry.path(),
                                             entry.last_write_time() - std::chrono::hours(1));
        }
    }
}

void RepositoriesLane::replicate(const std::string& item) {
    const auto event = capture(item);
    if (!event) {
        return;
    }
    secondary::Result result = apply(*event);
    if (result.kind == secondary::Result::Kind::NeedsWhole) {
        const auto whole = capture(item, true);
        ASSERT_TRUE(whole.has_value());
        result = apply(*whole);
    }
    ASSERT_TRUE(result.kind == secondary::Result::Kind::Applied ||
                result.kind == secondary::Result::Kind::Unneeded)
        << item << ": " << result.reason;
    ASSERT_EQ(result.digest, inventory_.find(store, item)->digest) << item;
}

std::vector<std::string> RepositoriesLane::replicate_noticed() {
    const primary::Noticed noticed = capture_->drain();
    EXPECT_TRUE(noticed.complete);
    std::vector<std::string> all = noticed.changed;
    all.insert(all.end(), noticed.removed.begin(), noticed.removed.end());
    for (const std::string& item : all) {
        replicate(item);
    }
    return all;
}

std::vector<std::string> RepositoriesLane::replicate_reconciled() {
    const primary::Noticed noticed = capture_->reconcile(stop_);
    std::vector<std::string> all = noticed.changed;
    all.insert(all.end(), noticed.removed.begin(), noticed.removed.end());
    for (const std::string& item : all) {
        replicate(item);
    }
    return all;
}

void RepositoriesLane::expect_equal_refs(const std::string& name) {
    EXPECT_EQ(describe(on_primary(name)), describe(on_secondary(name))) << name;
    EXPECT_EQ(verify::refs_digest(*source_->read_refs(name)),
              verify::refs_digest(*target_->read_refs(name)));
}

void RepositoriesLane::expect_equal(const std::string& name) {
    expect_equal_refs(name);
    const CommandResult fsck =
        run({"git", "-C", on_secondary(name).string(), "fsck", "--full", "--strict"}, {},
            git_environment());
    EXPECT_EQ(fsck.status, 0) << fsck.error << fsck.output;
    EXPECT_EQ(fsck.output.find("missing"), std::string::npos) << fsck.output;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(on_secondary(name))) {
        EXPECT_NE(entry.path().extension(), ".lock") << entry.path();
        EXPECT_EQ(entry.path().string().find("tmp_"), std::string::npos) << entry.path();
    }
}

}  // namespace antipode::test
