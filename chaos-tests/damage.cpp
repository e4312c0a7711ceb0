#include "chaos-tests/damage.hpp"

#include <algorithm>
#include <vector>

#include "tests/support/git_program.hpp"
#include "tests/support/process.hpp"

namespace antipode::chaos {

namespace fs = std::filesystem;

std::string sum_of(const fs::path& file) {
    return test::run({"sha256sum", file.string()}).output.substr(0, 64);
}

fs::path any_objects(simulation::Chance& chance, const fs::path& repository) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(repository / "objects")) {
        const bool loose = entry.path().filename().string().size() == 38;
        if (entry.is_regular_file() && (loose || entry.path().extension() == ".pack")) {
            files.push_back(entry.path());
        }
    }
    std::sort(files.begin(), files.end());
    return files.at(chance.below(files.size()));
}

bool is_sound(const fs::path& repository) {
    return test::damage_of(repository).empty();
}

}  // namespace antipode::chaos
