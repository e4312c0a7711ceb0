#include "base/background.hpp"

#include <linux/ioprio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace antipode {
namespace {

constexpr int nice = 10;

}  // namespace

void run_in_background() noexcept {
    // Of a thread on Linux: setpriority(2), ioprio_set(2). A refusal costs nobody anything.
    const auto thread = static_cast<id_t>(syscall(SYS_gettid));
    setpriority(PRIO_PROCESS, thread, nice);
    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, thread, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
}

}  // namespace antipode
