#include "base/background.hpp"

#include <linux/ioprio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace antipode {
namespace {

constexpr int nice = 10;

// Both are of a thread on Linux. A refusal costs nobody anything.
id_t this_thread() {
    return static_cast<id_t>(syscall(SYS_gettid));
}
void set_class(int io_class) {
    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, this_thread(), IOPRIO_PRIO_VALUE(io_class, 0));
}

}  // namespace

IdleDisk::IdleDisk() noexcept {
    set_class(IOPRIO_CLASS_IDLE);
}
IdleDisk::~IdleDisk() {
    set_class(IOPRIO_CLASS_NONE);
}

void be_nice() noexcept {
    setpriority(PRIO_PROCESS, this_thread(), nice);
}

}  // namespace antipode
