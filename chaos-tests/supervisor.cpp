#include "chaos-tests/supervisor.hpp"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <system_error>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/process.hpp"
#include "tests/support/temporary_directory.hpp"

namespace antipode::chaos {
namespace {

constexpr int ended_by_signal = 128;  ///< as shells say it

/// Those that the caller ignores (nohup(1)) stay ignored.
sigset_t awaited_signals() {
    sigset_t signals;
    sigemptyset(&signals);
    signal(SIGCHLD, SIG_DFL);
    sigaddset(&signals, SIGCHLD);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        struct sigaction action {};
        sigaction(number, nullptr, &action);
        if (action.sa_handler != SIG_IGN) {
            sigaddset(&signals, number);
        }
    }
    return signals;
}

/// Its status, once it has ended. Orphans that end are waited for, too.
int await(pid_t worker, const sigset_t& signals) {
    for (;;) {
        int number = 0;
        sigwait(&signals, &number);
        if (number != SIGCHLD) {
            return ended_by_signal + number;
        }
        int status = 0;
        for (pid_t ended = 0; (ended = waitpid(-1, &status, WNOHANG)) > 0;) {
            if (ended == worker) {
                return WIFEXITED(status) ? WEXITSTATUS(status) : ended_by_signal + WTERMSIG(status);
            }
        }
    }
}

/// As long as one has a parent that lives, it becomes a child of this process only with the next.
void end_all_children() {
    do {
        for (const pid_t child : test::children_of(getpid())) {
            kill(child, SIGKILL);
        }
    } while (waitpid(-1, nullptr, 0) > 0 || errno != ECHILD);
}

}  // namespace

int supervise(const std::function<int()>& work) {
    const test::TemporaryDirectory directory;
    setenv("TMPDIR", directory.path().c_str(), 1);
    const sigset_t signals = awaited_signals();
    sigset_t before;
    sigprocmask(SIG_BLOCK, &signals, &before);
    // Whoever loses its parent comes here.
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    const pid_t caller = getpid();
    const pid_t worker = fork();
    if (worker < 0) {
        throw std::system_error(errno, std::generic_category(), "fork");
    }
    if (worker == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigprocmask(SIG_SETMASK, &before, nullptr);
        std::exit(getppid() == caller ? work() : ended_by_signal + SIGKILL);
    }
    const int status = await(worker, signals);
    end_all_children();
    return status;
}

}  // namespace antipode::chaos
