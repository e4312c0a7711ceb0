#include "adapters/git/housekeeping.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <map>
#include <numeric>

#include <fcntl.h>
#include <unistd.h>

#include "adapters/git/files.hpp"
#include "adapters/git/packed_refs.hpp"
#include "adapters/git/ref_reader.hpp"
#include "base/digest.hpp"
#include "base/limits.hpp"

namespace antipode::git {
namespace {

namespace fs = std::filesystem;
using FileClock = fs::file_time_type::clock;

constexpr std::chrono::hours leftover_age(1);
constexpr size_t many_loose_objects = 2000;
constexpr size_t many_loose_refs = 256;
/// One that borrows less than this is not looked through for what it could borrow.
constexpr uint64_t small_borrower = limits::mib;
/// Bitmaps are made anew when what came since is more than a part of what they know.
constexpr uint64_t part_that_is_new = 8;
constexpr size_t directories_of_loose_objects = 256;
constexpr const char* index_name = "multi-pack-index";

uint64_t read_number(const fs::path& file) {
    std::error_code ignored;
    return fs::exists(file, ignored) ? std::strtoull(read_small_file(file, 64).c_str(), nullptr, 10)
                                     : 0;
}

/// Calls `use` with each entry of a directory; of one that is not there, with none.
template <typename Use>
void for_each_entry(const fs::path& directory, Use&& use) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory, error)) {
        use(entry.path());
    }
}

bool is_leftover(const fs::path& path) {
    std::error_code ignored;
    const auto written = fs::last_write_time(path, ignored);
    return !ignored && FileClock::now() - written > leftover_age;
}

/// The names of the packs in a multi-pack index: gitformat-pack(5). Empty: there is none, or none
/// that is understood.
std::vector<std::string> packs_of_index(const fs::path& file) {
    std::vector<std::string> names;
    const Fd fd(open(file.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<unsigned char, 12 + 12 * 16> head{};
    const ssize_t count = fd.valid() ? pread(fd.get(), head.data(), head.size(), 0) : -1;
    if (count < 24 || std::string_view(reinterpret_cast<char*>(head.data()), 4) != "MIDX") {
        return names;
    }
    const auto number = [&](size_t at, size_t bytes) {
        uint64_t value = 0;
        for (size_t i = 0; i < bytes; ++i) {
            value = value << 8 | head[at + i];
        }
        return value;
    };
    for (size_t at = 12; at + 24 <= static_cast<size_t>(count); at += 12) {
        if (std::string_view(reinterpret_cast<char*>(head.data()) + at, 4) != "PNAM") {
            continue;
        }
        const uint64_t begin = number(at + 4, 8);
        const uint64_t end = number(at + 16, 8);
        std::string text(end > begin && end - begin < limits::mib ? end - begin : 0, '\0');
        if (pread(fd.get(), text.data(), text.size(), static_cast<off_t>(begin)) !=
            static_cast<ssize_t>(text.size())) {
            return names;
        }
        for (size_t start = 0; start < text.size();) {
            const std::string name = text.substr(start, text.find('\0', start) - start);
            start += name.size() + 1;
            if (!name.empty()) {
                names.push_back(name.substr(0, name.rfind('.')));
            }
        }
    }
    return names;
}

void look_at_packs(const fs::path& directory, House& house) {
    std::map<std::string, uint64_t> packs;
    for_each_entry(directory, [&](const fs::path& path) {
        const std::string name = path.filename().string();
        std::error_code ignored;
        if (path.extension() == ".bitmap") {
            house.has_bitmap = true;
        } else if (name.starts_with("tmp_") || name.starts_with(".tmp-") ||
                   path.extension() == ".lock") {
            if (is_leftover(path)) {
                house.leftovers.push_back(path);
            }
        } else if (path.extension() == ".pack" &&
                   fs::exists(fs::path(path).replace_extension(".idx"), ignored) &&
                   !fs::exists(fs::path(path).replace_extension(".keep"), ignored)) {
            packs[path.stem().string()] = fs::file_size(path, ignored);
        }
    });
    const std::vector<std::string> indexed = packs_of_index(directory / index_name);
    for (const auto& [name, bytes] : packs) {
        const bool is_indexed = std::find(indexed.begin(), indexed.end(), name) != indexed.end();
        (is_indexed ? house.indexed : house.added).push_back({name, bytes});
    }
    std::sort(house.added.begin(), house.added.end(), [](const HeldPack& a, const HeldPack& b) {
        return std::pair(a.bytes, a.name) < std::pair(b.bytes, b.name);
    });
}

uint64_t bytes_of(const std::vector<HeldPack>& packs) {
    return std::accumulate(packs.begin(), packs.end(), uint64_t{0},
                           [](uint64_t sum, const HeldPack& pack) { return sum + pack.bytes; });
}

void must_run(const Program& program, const fs::path& git_dir, const Program::Call& call,
              const std::string& doing, const std::stop_token& stop) {
    const Outcome outcome = run_past_leftovers(program, git_dir, call, stop);
    if (!outcome.ok()) {
        throw_failure(doing + " " + printable(git_dir.native()), outcome);
    }
}

/// An index is what makes a pack visible: it goes first.
void delete_pack(const fs::path& directory, const std::string& name) {
    for (const char* extension : {".idx", ".rev", ".bitmap", ".mtimes", ".pack"}) {
        unlink((directory / (name + extension)).c_str());
    }
}

/// git needs every object that is reachable in the packs of one repository for a bitmap.
bool can_have_bitmap(const House& house) {
    return !house.borrows && !house.is_shallow;
}

bool repack_is_due(const House& house) {
    const uint64_t added = bytes_of(house.added);
    const uint64_t known = bytes_of(house.indexed);
    if (house.loose_objects >= many_loose_objects) {
        return true;
    }
    if (house.borrows) {
        return added + known >= small_borrower && added + known > 2 * house.own_bytes;
    }
    return added + known >= small_repository && can_have_bitmap(house) &&
           (!house.has_bitmap || known == 0 || added * part_that_is_new > known);
}

/// Of a repository that borrows, nothing is kept that it could borrow: a push may have brought what
/// its pool has, too.
void repack(const Program& program, const fs::path& git_dir, const House& house,
            const std::stop_token& stop) {
    std::vector<std::string> arguments{"repack", "-d", "-q"};
    if (house.borrows) {
        arguments.insert(arguments.end(), {"-a", "-l", "-k"});
    } else {
        arguments.emplace_back("--geometric=2");
    }
    if (can_have_bitmap(house)) {
        arguments.insert(arguments.end(), {"--write-midx", "--write-bitmap-index"});
    }
    must_run(program, git_dir, {.arguments = arguments}, "repacking", stop);
    if (house.borrows) {
        const House now = look_at_house(git_dir);
        write_file_durably(git_dir / own_bytes_file,
                           std::to_string(bytes_of(now.indexed) + bytes_of(now.added)) + "\n",
                           0644);
    }
}

}  // namespace

House look_at_house(const fs::path& git_dir) {
    House house;
    const fs::path objects = git_dir / "objects";
    look_at_packs(objects / "pack", house);
    house.has_graph = access((objects / "info/commit-graph").c_str(), F_OK) == 0 ||
                      access((objects / "info/commit-graphs").c_str(), F_OK) == 0;
    house.borrows = access((objects / "info/alternates").c_str(), F_OK) == 0;
    house.own_bytes = read_number(git_dir / own_bytes_file);
    house.is_shallow = access((git_dir / "shallow").c_str(), F_OK) == 0;
    // Object ids are evenly spread: one directory tells of all, as git itself has it.
    for_each_entry(objects / "17",
                   [&](const fs::path&) { house.loose_objects += directories_of_loose_objects; });
    house.loose_refs = look_at_refs(git_dir).loose.size();
    return house;
}

size_t count_packs(const fs::path& git_dir) {
    size_t count = 0;
    for_each_entry(git_dir / "objects" / "pack",
                   [&](const fs::path& path) { count += path.extension() == ".pack" ? 1 : 0; });
    return count;
}

size_t packs_to_join(const std::vector<HeldPack>& packs) {
    if (packs.size() < 2) {
        return 0;
    }
    size_t last = packs.size() - 1;
    while (last > 0 && packs[last].bytes >= 2 * packs[last - 1].bytes) {
        --last;
    }
    if (last == 0) {
        return 0;
    }
    size_t count = last + 1;
    uint64_t total = bytes_of({packs.begin(), packs.begin() + static_cast<ptrdiff_t>(count)});
    while (count < packs.size() && packs[count].bytes < 2 * total) {
        total += packs[count++].bytes;
    }
    return count;
}

bool join_added_packs(const Program& program, const fs::path& git_dir, const House& house,
                      const std::stop_token& stop) {
    const size_t count = packs_to_join(house.added);
    if (count < 2) {
        return false;
    }
    const fs::path directory = git_dir / "objects" / "pack";
    std::string input;
    for (size_t i = 0; i < count; ++i) {
        input += house.added[i].name + ".pack\n";
    }
    // What differs little is looked for when all is packed anew: here it would be, again and again.
    const Outcome outcome =
        program.run(git_dir,
                    {.arguments = {"pack-objects", "--stdin-packs", "--delta-base-offset", "-q",
                                   "--window=0", (directory / "pack").string()},
                     .input = input},
                    stop);
    if (!outcome.ok()) {
        throw_failure("joining the packs of " + printable(git_dir.native()), outcome);
    }
    sync_path(directory);
    const std::string made =
        "pack-" + outcome.output.substr(0, outcome.output.find_first_of(" \n"));
    for (size_t i = 0; i < count; ++i) {
        if (house.added[i].name != made) {
            delete_pack(directory, house.added[i].name);
        }
    }
    return true;
}

bool keep_house(const Program& program, const fs::path& git_dir, const std::stop_token& stop) {
    const House house = look_at_house(git_dir);
    for (const fs::path& leftover : house.leftovers) {
        unlink(leftover.c_str());
    }
    bool done = !house.leftovers.empty();
    if (house.loose_refs >= many_loose_refs) {
        must_run(program, git_dir, {.arguments = {"pack-refs", "--all", "--prune"}},
                 "packing the refs of", stop);
        done = true;
    }
    bool packs_changed = false;
    if (repack_is_due(house)) {
        repack(program, git_dir, house, stop);
        packs_changed = true;
    } else if (house.added.size() >= some_packs) {
        packs_changed = join_added_packs(program, git_dir, house, stop);
    }
    const uint64_t bytes = bytes_of(house.indexed) + bytes_of(house.added);
    if (bytes >= small_repository && (packs_changed || !house.has_graph)) {
        must_run(
            program, git_dir,
            {.arguments = {"commit-graph", "write", "--reachable", "--split", "--no-progress"}},
            "writing the commit-graph of", stop);
        done = true;
    }
    return done || packs_changed;
}

}  // namespace antipode::git
