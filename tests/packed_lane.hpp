#pragma once

#include "base/limits.hpp"
#include "tests/repositories_lane.hpp"
#include "tests/support/process.hpp"

namespace antipode::test {

/// Bytes that nothing can make smaller.
inline std::string noise(size_t size, uint32_t seed) {
    std::string bytes;
    for (uint32_t state = seed * 2 + 1; bytes.size() < size;) {
        state = state * 1664525 + 1013904223;
        bytes += static_cast<char>(state >> 24);
    }
    return bytes;
}

/// A lane whose repositories have packs worth sending as they are.
class PackedLane : public RepositoriesLane {
  protected:
    std::string on(const std::string& name, std::vector<std::string> command,
                   const std::string& input = {}) {
        command.insert(command.begin(), {"-C", on_primary(name).string()});
        return git(command, input);
    }
    /// Some commits with large files, all of them in one pack.
    void make_packed(const std::string& name) {
        create(name);
        for (uint32_t i = 1; i <= 3; ++i) {
            commit(name, "main", noise(300 * limits::kib, i), "large" + std::to_string(i));
        }
        push(name, {"main", "main~1:refs/tags/old"});
        on(name, {"gc", "--quiet", "--prune=now"});
    }
    static std::vector<std::filesystem::path> packs_of(const std::filesystem::path& repository) {
        std::vector<std::filesystem::path> packs;
        for (const auto& entry : std::filesystem::directory_iterator(repository / "objects/pack")) {
            if (entry.path().extension() == ".pack") {
                packs.push_back(entry.path());
            }
        }
        return packs;
    }
    /// Of a repository that has one pack: makes it one of just these objects.
    void replace_pack(const std::string& name, const std::string& objects) {
        const std::filesystem::path before = packs_of(on_primary(name)).front();
        on(name, {"pack-objects", "--quiet", "objects/pack/pack"}, objects);
        std::filesystem::remove(before);
        std::filesystem::remove(std::filesystem::path(before).replace_extension(".idx"));
        on(name, {"prune-packed"});
    }
    /// Changes a byte of it in the pack.
    void break_object(const std::string& name, const std::string& oid) {
        const std::filesystem::path pack = packs_of(on_primary(name)).front();
        const std::string objects = on(
            name, {"show-index"}, read_file(std::filesystem::path(pack).replace_extension(".idx")));
        const size_t line = objects.rfind('\n', objects.find(oid)) + 1;
        std::string bytes = read_file(pack);
        bytes.at(std::stoul(objects.substr(line)) + 1000) ^= 1;
        std::filesystem::remove(pack);
        write_file(pack, bytes);
    }
};

}  // namespace antipode::test
