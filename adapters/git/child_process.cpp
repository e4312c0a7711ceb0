#include "adapters/git/child_process.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "adapters/git/files.hpp"
#include "base/digest.hpp"
#include "base/error.hpp"

namespace antipode::git {
namespace {

constexpr int poll_ms = 100;

struct Pipe {
    Fd read_end;
    Fd write_end;
};

Pipe make_pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) {
        throw_errno("making a pipe for", "git");
    }
    return {Fd(ends[0]), Fd(ends[1])};
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
    std::vector<char*> result;
    for (const std::string& text : texts) {
        result.push_back(const_cast<char*>(text.c_str()));
    }
    result.push_back(nullptr);
    return result;
}

/// Between vfork and exec: in the memory of the parent, whose thread waits, so system calls only.
[[noreturn]] void become(char* const* arguments, char* const* environment, int input, int output,
                         int error, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(127);
    }
    setsid();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    for (const int number : {SIGPIPE, SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1, SIGUSR2}) {
        struct sigaction as_ever {};
        as_ever.sa_handler = SIG_DFL;
        sigaction(number, &as_ever, nullptr);
    }
    dup2(input, STDIN_FILENO);
    dup2(output, STDOUT_FILENO);
    dup2(error, STDERR_FILENO);
    close_range(STDERR_FILENO + 1, ~0U, 0);
    execve(arguments[0], arguments, environment);
    const int reason = errno;
    const char* text = strerror(reason);
    if (write(STDERR_FILENO, text, strlen(text)) < 0) {
        _exit(127);
    }
    _exit(127);
}

void set_nonblocking(const Fd& fd) {
    fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK);
}

/// A child that does not outlive its owner.
class Child {
  public:
    Child(pid_t pid, std::chrono::milliseconds grace) : pid_(pid), grace_(grace) {}
    ~Child() {
        if (pid_ > 0) {
            terminate();
        }
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    int wait() {
        int status = 0;
        while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

  private:
    void terminate() {
        kill(-pid_, SIGTERM);
        kill(pid_, SIGTERM);
        const auto deadline = std::chrono::steady_clock::now() + grace_;
        while (waitpid(pid_, nullptr, WNOHANG) == 0) {
            if (std::chrono::steady_clock::now() > deadline) {
                kill(-pid_, SIGKILL);
                kill(pid_, SIGKILL);
                waitpid(pid_, nullptr, 0);
                break;
            }
            poll(nullptr, 0, 5);
        }
        pid_ = -1;
    }

    pid_t pid_;
    const std::chrono::milliseconds grace_;
};

/// Moves bytes between the child's pipes and memory until both outputs are closed.
class Pump {
  public:
    Pump(const Command& command, Outcome& outcome, Fd input, Fd output, Fd error)
        : command_(command),
          outcome_(outcome),
          rest_(command.input),
          input_(std::move(input)),
          output_(std::move(output)),
          error_(std::move(error)) {
        for (const Fd* fd : {&input_, &output_, &error_}) {
            if (fd->valid()) {
                set_nonblocking(*fd);
            }
        }
    }

    void run(const std::stop_token& stop) {
        feed();
        while (output_.valid() || error_.valid()) {
            if (stop.stop_requested()) {
                throw Stopped{};
            }
            std::array<pollfd, 3> fds{{{input_.get(), POLLOUT, 0},
                                       {output_.get(), POLLIN, 0},
                                       {error_.get(), POLLIN, 0}}};
            poll(fds.data(), fds.size(), poll_ms);  // negative descriptors are ignored
            if (fds[0].revents != 0) {
                feed();
            }
            if (fds[1].revents != 0) {
                drain(output_, outcome_.output);
                check_limit();
            }
            if (fds[2].revents != 0) {
                const size_t before = outcome_.error.size();
                drain(error_, outcome_.error);
                if (command_.on_error) {
                    command_.on_error(std::string_view(outcome_.error).substr(before));
                }
                shorten_error();
            }
        }
    }

  private:
    void feed() {
        while (input_.valid() && !rest_.empty()) {
            const ssize_t written = write(input_.get(), rest_.data(), rest_.size());
            if (written < 0) {
                if (errno == EAGAIN || errno == EINTR) {
                    return;
                }
                input_.reset();  // it does not want more; its exit status tells why
                return;
            }
            rest_.remove_prefix(static_cast<size_t>(written));
        }
        if (rest_.empty()) {
            input_.reset();
        }
    }

    static void drain(Fd& fd, std::string& into) {
        std::array<char, 65536> buffer{};
        const ssize_t count = read(fd.get(), buffer.data(), buffer.size());
        if (count > 0) {
            into.append(buffer.data(), static_cast<size_t>(count));
        } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
            fd.reset();
        }
    }

    void check_limit() const {
        if (outcome_.output.size() > command_.output_limit) {
            throw Error(Reaction::Retry, command_.arguments.front() + ": more than " +
                                             std::to_string(command_.output_limit) +
                                             " bytes of output");
        }
    }

    void shorten_error() {
        if (outcome_.error.size() > command_.error_limit) {
            outcome_.error.erase(0, outcome_.error.size() - command_.error_limit);
        }
    }

    const Command& command_;
    Outcome& outcome_;
    std::string_view rest_;
    Fd input_;
    Fd output_;
    Fd error_;
};

/// A write into a pipe whose reader is gone must be an error, not the end of this process.
class PipeSignalBlocked {
  public:
    PipeSignalBlocked() {
        sigemptyset(&pipe_);
        sigaddset(&pipe_, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }
    ~PipeSignalBlocked() {
        if (sigismember(&before_, SIGPIPE) == 0) {
            const timespec now{};
            while (sigtimedwait(&pipe_, nullptr, &now) > 0) {
            }
            pthread_sigmask(SIG_SETMASK, &before_, nullptr);
        }
    }
    PipeSignalBlocked(const PipeSignalBlocked&) = delete;
    PipeSignalBlocked& operator=(const PipeSignalBlocked&) = delete;

  private:
    sigset_t pipe_{};
    sigset_t before_{};
};

}  // namespace

std::string Outcome::complaint() const {
    std::string text;
    for (const char c : error) {
        text += c == '\n' ? ' ' : c;
    }
    while (text.ends_with(' ')) {
        text.pop_back();
    }
    return text.empty() ? "exit status " + std::to_string(status) : printable(text);
}

Outcome run(const Command& command, const std::stop_token& stop) {
    const std::vector<char*> arguments = pointers(command.arguments);
    const std::vector<char*> environment = pointers(command.environment);
    Pipe input;
    Pipe output;
    Pipe error = make_pipe();
    if (command.input_file.empty()) {
        input = make_pipe();
    } else {
        input.read_end = open_file(command.input_file, O_RDONLY);
    }
    if (command.output_file.empty()) {
        output = make_pipe();
    } else {
        output.write_end = open_file(command.output_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    }
    const PipeSignalBlocked blocked;
    const pid_t parent = getpid();
    // Copying the page tables of a large daemon costs more than many a command.
    const pid_t pid = vfork();
    if (pid == 0) {
        become(arguments.data(), environment.data(), input.read_end.get(), output.write_end.get(),
               error.write_end.get(), parent);
    }
    if (pid < 0) {
        throw_errno("starting", command.arguments.front());
    }
    Child child(pid, command.grace);
    input.read_end.reset();
    output.write_end.reset();
    error.write_end.reset();
    Outcome outcome;
    Pump(command, outcome, std::move(input.write_end), std::move(output.read_end),
         std::move(error.read_end))
        .run(stop);
    outcome.status = child.wait();
    return outcome;
}

}  // namespace antipode::git
