#include "bench/repositories_load.hpp"

#include <fstream>
#include <stdexcept>

#include "bench/blobs_tool.hpp"
#include "tests/support/git_program.hpp"
#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::bench {
namespace {

constexpr size_t file_bytes = 10'000;
constexpr const char* branch = "refs/heads/main";
constexpr const char* large_branch = "refs/heads/large";

std::string noise(size_t size, uint64_t seed) {
    std::string bytes;
    for (uint64_t state = seed * 2 + 1; bytes.size() < size;) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        bytes += static_cast<char>(state >> 56);
    }
    return bytes;
}

/// 1, 10, 100, ... up to `most`, then again.
size_t power_of_ten(size_t turn, size_t most) {
    std::vector<size_t> powers{1};
    while (powers.back() * 10 <= most) {
        powers.push_back(powers.back() * 10);
    }
    return powers[turn % powers.size()];
}

}  // namespace

std::string RepositoriesLoad::name(size_t repository) {
    const std::string number = std::to_string(repository);
    return "r" + std::string(3 - std::min<size_t>(3, number.size()), '0') + number + ".git";
}

std::filesystem::path RepositoriesLoad::clone(size_t repository) const {
    return directory_ / "clones" / name(repository);
}

RepositoriesLoad::RepositoriesLoad(const std::filesystem::path& directory,
                                   std::filesystem::path root, const Shape& shape)
    : directory_(directory), root_(std::move(root)) {
    commits_.resize(shape.repositories);
    numbers_.resize(shape.repositories);
    pushed_.resize(shape.repositories);
    for (size_t i = 0; i < shape.repositories; ++i) {
        make(i, shape);
    }
}

/// git fast-import makes all commits at once; only the first is pushed.
void RepositoriesLoad::make(size_t repository, const Shape& shape) {
    const std::string work = clone(repository).string();
    const std::string place = (root_ / name(repository)).string();
    test::git({"init", "--quiet", "--bare", work});
    test::git({"init", "--quiet", "--bare", place});
    test::git({"-C", work, "fast-import", "--quiet"}, commits_of(repository, shape));
    std::istringstream lines(test::git({"-C", work, "rev-list", "--reverse", branch}));
    for (std::string line; std::getline(lines, line);) {
        numbers_[repository][line] = commits_[repository].size();
        commits_[repository].push_back(line);
    }
    test::git({"-C", work, "push", "--quiet", place, commits_[repository].front() + ":" + branch});
}

std::string RepositoriesLoad::commits_of(size_t repository, const Shape& shape) {
    const size_t files = repository == 0 && shape.first_files > 0 ? shape.first_files : shape.files;
    mebibytes_ += static_cast<double>(files * file_bytes) / (1 << 20);
    std::string input;
    uint64_t seed = repository * 100'000'000;
    const auto file = [&](const std::string& path, size_t bytes) {
        input += "M 100644 inline " + path + "\ndata " + std::to_string(bytes) + "\n" +
                 noise(bytes, ++seed) + "\n";
    };
    for (size_t i = 0; i <= shape.pushes / shape.repositories + 1; ++i) {
        input += std::string("commit ") + branch + "\ncommitter Ada <ada@example.org> " +
                 std::to_string(1'700'000'000 + i) + " +0000\ndata 1\nx\n";
        for (size_t j = 0; i == 0 && j < files; ++j) {
            file("d" + std::to_string(j % 10) + "/f" + std::to_string(j), file_bytes);
        }
        file("changed", 1000);
        // Repositories are pushed to in turn: one after the other has them of each size.
        const size_t fresh = power_of_ten(i + repository, shape.most_new_files);
        for (size_t j = 1; j < fresh; ++j) {
            file("p" + std::to_string(i) + "/f" + std::to_string(j), 1000);
        }
    }
    return input;
}

RepositoriesLoad::Push RepositoriesLoad::push() {
    const size_t repository = next_++ % repositories();
    const size_t number = ++pushed_[repository];
    test::git({"-C", clone(repository).string(), "push", "--quiet",
               (root_ / name(repository)).string(),
               commits_[repository].at(number) + ":" + branch});
    return {repository, number};
}

double RepositoriesLoad::push_and_count() {
    const double before = children_cpu_seconds();
    push();
    return children_cpu_seconds() - before;
}

void RepositoriesLoad::push_large(size_t mebibytes) {
    const std::string work = clone(0).string();
    const std::string file = (directory_ / "large").string();
    test::must_run({"dd", "if=/dev/urandom", "of=" + file, "bs=1M", "status=none",
                    "count=" + std::to_string(mebibytes)});
    const std::string blob = test::git({"-C", work, "hash-object", "-w", file});
    std::filesystem::remove(file);
    const std::string tree = test::git({"-C", work, "mktree"}, "100644 blob " + blob + "\tlarge\n");
    large_ = test::git({"-C", work, "commit-tree", "-m", "large", tree});
    test::git(
        {"-C", work, "push", "--quiet", (root_ / name(0)).string(), large_ + ":" + large_branch});
}

bool RepositoriesLoad::large_is_at(const std::filesystem::path& mirror) const {
    const auto found = test::run({"git", "-C", (mirror / name(0)).string(), "rev-parse", "--quiet",
                                  "--verify", large_branch});
    return found.status == 0 && found.output == large_ + "\n";
}

size_t RepositoriesLoad::position(size_t repository, const std::filesystem::path& mirror) const {
    const std::filesystem::path place = mirror / name(repository);
    std::string oid;
    std::ifstream loose(place / branch);
    if (!(loose >> oid)) {
        std::ifstream packed(place / "packed-refs");
        for (std::string line; std::getline(packed, line);) {
            if (line.ends_with(std::string(" ") + branch)) {
                oid = line.substr(0, line.find(' '));
            }
        }
    }
    const auto found = numbers_[repository].find(oid);
    return found == numbers_[repository].end() ? 0 : found->second;
}

RepositoriesMirror::RepositoriesMirror(const RepositoriesLoad& load, std::filesystem::path root)
    : load_(load),
      root_(std::move(root)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

void RepositoriesMirror::run(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
        for (const size_t repository : watched()) {
            look(repository);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

std::vector<size_t> RepositoriesMirror::watched() {
    const std::scoped_lock lock(mutex_);
    std::vector<size_t> repositories;
    for (const auto& [repository, positions] : seen_) {
        repositories.push_back(repository);
    }
    return repositories;
}

void RepositoriesMirror::look(size_t repository) {
    const size_t position = load_.position(repository, root_);
    const auto now = SteadyClock::now();
    const std::scoped_lock lock(mutex_);
    auto& positions = seen_[repository];
    positions.emplace(position, now);
    const size_t arrived = std::erase_if(expected_, [&](const Expected& expected) {
        if (expected.push.repository != repository || expected.push.number > position) {
            return false;
        }
        // It may have been there before its push returned.
        const auto at = positions.lower_bound(expected.push.number)->second;
        latencies_.push_back(std::max(
            0.0, std::chrono::duration<double, std::milli>(at - expected.returned).count()));
        return true;
    });
    if (arrived > 0) {
        seen_.erase(repository);
    }
}

void RepositoriesMirror::watch(size_t repository) {
    const std::scoped_lock lock(mutex_);
    seen_[repository];
}

void RepositoriesMirror::expect(const RepositoriesLoad::Push& push,
                                SteadyClock::time_point returned) {
    const std::scoped_lock lock(mutex_);
    seen_[push.repository];
    expected_.push_back({push, returned});
}

std::vector<double> RepositoriesMirror::await_all(std::chrono::seconds patience) {
    const auto all_there = [&] {
        const std::scoped_lock lock(mutex_);
        return expected_.empty();
    };
    if (!test::eventually(all_there, patience)) {
        throw std::runtime_error(std::to_string(expected_.size()) + " pushes do not arrive");
    }
    const std::scoped_lock lock(mutex_);
    return latencies_;
}

}  // namespace antipode::bench
