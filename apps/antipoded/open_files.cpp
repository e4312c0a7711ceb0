#include "apps/antipoded/open_files.hpp"

#include <filesystem>
#include <iterator>

#include <sys/resource.h>

namespace antipode {

OpenFiles open_files() {
    OpenFiles files;
    std::error_code error;
    uint64_t count = 0;
    for (std::filesystem::directory_iterator file("/proc/self/fd", error), end;
         !error && file != end; file.increment(error)) {
        ++count;
    }
    if (!error) {
        files.now = count - 1;  // without the one that this took
    }
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        files.most = limit.rlim_cur;
    }
    return files;
}

}  // namespace antipode
