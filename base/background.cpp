#include "base/background.hpp"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace antipode {
namespace {

constexpr int nice = 10;

// ioprio_set(2). <linux/ioprio.h> of newer 6.1 kernels is no C++.
constexpr int of_process = 1;
constexpr int class_none = 0;
constexpr int class_idle = 3;
constexpr int class_shift = 13;

// Both are of a thread on Linux. A refusal costs nobody anything.
id_t this_thread() {
    return static_cast<id_t>(syscall(SYS_gettid));
}
void set_class(int io_class) {
    syscall(SYS_ioprio_set, of_process, this_thread(), io_class << class_shift);
}

}  // namespace

IdleDisk::IdleDisk() noexcept {
    set_class(class_idle);
}
IdleDisk::~IdleDisk() {
    set_class(class_none);
}

void be_nice() noexcept {
    setpriority(PRIO_PROCESS, this_thread(), nice);
}

}  // namespace antipode
