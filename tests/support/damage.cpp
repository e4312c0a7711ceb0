#include "tests/support/damage.hpp"

#include <fstream>

namespace antipode::test {

namespace fs = std::filesystem;

void flip(const fs::path& file) {
    fs::permissions(file, fs::perms::owner_write, fs::perm_options::add);
    const auto time = fs::last_write_time(file);
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    const auto middle = static_cast<std::streamoff>(fs::file_size(file) / 2);
    stream.seekg(middle);
    const int byte = stream.get();
    stream.seekp(middle);
    stream.put(static_cast<char>(~byte));
    stream.close();
    fs::last_write_time(file, time);
}

}  // namespace antipode::test
