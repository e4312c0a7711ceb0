#include "tests/end_to_end/damage.hpp"

#include <fstream>

namespace antipode::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* files_store = "blobs/uploads";
constexpr const char* git_store = "repositories/git";

fs::path a_pack_of(const fs::path& repository) {
    for (const auto& entry : fs::directory_iterator(repository / "objects/pack")) {
        if (entry.path().extension() == ".pack") {
            return entry.path();
        }
    }
    throw std::runtime_error("no pack in " + repository.string());
}

std::vector<Damage> damage_of_files(const fs::path& root) {
    std::vector<Damage> all;
    const auto add = [&](const std::string& item, const std::string& named,
                         const std::function<void(const fs::path&)>& make) {
        all.push_back({files_store, item, [make, file = root / item] { make(file); }, named});
    };
    const std::string other = "its content here is blob-1:";
    add("flipped", other, flip);
    add("cut", other, [](const fs::path& file) { fs::resize_file(file, 100); });
    add("grown", other, [](const fs::path& file) { std::ofstream(file, std::ios::app) << "x"; });
    add("of the same size", other,
        [](const fs::path& file) { write_file(file, std::string(fs::file_size(file), 'x')); });
    add("empty", other, [](const fs::path& file) { fs::resize_file(file, 0); });
    add("missing", "it is missing here", [](const fs::path& file) { fs::remove(file); });
    add("linked", "something that is no plain file", [](const fs::path& file) {
        fs::remove(file);
        fs::create_symlink("flipped", file);
    });
    add("dir/below", "it is missing here",
        [](const fs::path& file) { fs::remove_all(file.parent_path()); });
    add("of another mode", "it has mode 0600, ", [](const fs::path& file) {
        must_run({"chmod", "0600", file.string()});
    });
    add("touched", "time 2001-02-0", [](const fs::path& file) {
        must_run({"touch", "-d", "2001-02-03", file.string()});
    });
    return all;
}

std::vector<Damage> damage_of_repositories(const fs::path& root) {
    std::vector<Damage> all;
    const auto add = [&](const std::string& item, const std::string& named,
                         const std::function<void(const fs::path&)>& make) {
        all.push_back({git_store, item, [make, place = root / item] { make(place); }, named});
    };
    add("flipped.git", "git fsck: ", [](const fs::path& place) { flip(a_pack_of(place)); });
    add("cut.git", "git fsck: ", [](const fs::path& place) {
        const fs::path pack = a_pack_of(place);
        must_run({"chmod", "u+w", pack.string()});
        fs::resize_file(pack, 40);
    });
    add("no-pack.git", "git fsck: ", [](const fs::path& place) {
        // Two while housekeeping is about to replace one by the other.
        for (const auto& entry : fs::directory_iterator(place / "objects/pack")) {
            if (entry.path().extension() == ".pack") {
                fs::remove(entry.path());
            }
        }
    });
    add("index.git", "git fsck: ", [](const fs::path& place) {
        flip(fs::path(a_pack_of(place)).replace_extension(".idx"));
    });
    add("no-objects.git", "no git repository",
        [](const fs::path& place) { fs::remove_all(place / "objects"); });
    const std::string other = "its content here is refs-1:";
    add("extra-ref.git", other, [](const fs::path& place) {
        git_without_hooks(place, {"branch", "extra", "main"});
    });
    add("moved.git", other, [](const fs::path& place) {
        git_without_hooks(place, {"branch", "-f", "old", "main"});
    });
    add("lost-ref.git", other, [](const fs::path& place) {
        git_without_hooks(place, {"tag", "-d", "v1"});
    });
    add("head.git", other, [](const fs::path& place) {
        git_without_hooks(place, {"symbolic-ref", "HEAD", "refs/heads/old"});
    });
    add("no-head.git", "no git repository",
        [](const fs::path& place) { fs::remove(place / "HEAD"); });
    add("garbage-ref.git", "refs/heads/main",
        [](const fs::path& place) { write_file(place / "refs/heads/main", "garbage\n"); });
    add("missing.git", "it is missing here", [](const fs::path& place) { fs::remove_all(place); });
    return all;
}

}  // namespace

void make_repository(const Site& site, const std::string& name) {
    const fs::path clone = site.directory / ("clone of " + name);
    const std::string there = (site.git_root / name).string();
    must_run({"git", "init", "-q", "--bare", "-b", "main", there});
    must_run({"git", "init", "-q", "-b", "main", clone.string()});
    Process::Options options;
    options.directory = clone;
    const auto git = [&](std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(),
                         {"git", "-c", "user.name=Test", "-c", "user.email=test@example.org"});
        must_run(arguments, {}, options);
    };
    for (int i = 0; i < 3; ++i) {
        write_file(clone / ("file " + std::to_string(i)), name + std::to_string(i * 7919));
        git({"add", "."});
        git({"commit", "-q", "-m", "commit " + std::to_string(i)});
    }
    git({"tag", "v1", "HEAD~1"});
    git({"push", "-q", there, "HEAD:refs/heads/main", "HEAD~1:refs/heads/old", "v1"});
}

void git_without_hooks(const fs::path& repository, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"git", "-c", "safe.directory=*", "-c",
                                         "core.hooksPath=/dev/null", "-C", repository.string()});
    must_run(arguments);
}

std::vector<Damage> damage_of_every_kind(const Site& primary, const Site& secondary) {
    std::vector<Damage> all = damage_of_files(secondary.files_root);
    for (const Damage& damage : all) {
        fs::create_directories((primary.files_root / damage.item).parent_path());
        write_file(primary.files_root / damage.item,
                   "content of " + damage.item + std::string(5000, '.'));
    }
    write_file(primary.files_root / "untouched", "untouched");
    const std::vector<Damage> of_repositories = damage_of_repositories(secondary.git_root);
    for (const Damage& damage : of_repositories) {
        make_repository(primary, damage.item);
    }
    make_repository(primary, "untouched.git");
    all.insert(all.end(), of_repositories.begin(), of_repositories.end());
    return all;
}

}  // namespace antipode::test
