#include "tests/support/network.hpp"

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

namespace antipode::test {

InNetwork::InNetwork(const Network& network) {
    if (network.descriptor < 0) {
        return;
    }
    before_ = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (before_ < 0 || setns(network.descriptor, CLONE_NEWNET) != 0) {
        const int problem = errno;
        close(before_);
        throw std::system_error(problem, std::generic_category(), "entering a network");
    }
}

InNetwork::~InNetwork() {
    if (before_ < 0) {
        return;
    }
    // In the wrong network the thread would do harm.
    if (setns(before_, CLONE_NEWNET) != 0) {
        std::abort();
    }
    close(before_);
}

}  // namespace antipode::test
