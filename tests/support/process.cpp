#include "tests/support/process.hpp"

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/temporary_directory.hpp"

namespace antipode::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds shortest_pause(20);
constexpr std::chrono::milliseconds longest_pause(100);

/// Between vfork and exec: the child is in the memory of its parent, one thread of which waits, so
/// everything is prepared before.
struct Prepared {
    std::vector<char*> arguments;
    std::vector<std::string> environment_text;
    std::vector<char*> environment;
    uid_t uid = 0;
    gid_t gid = 0;
    bool change_user = false;
    pid_t parent = getpid();
};

Prepared prepare(std::vector<std::string>& command, const Process::Options& options) {
    Prepared prepared;
    for (std::string& argument : command) {
        prepared.arguments.push_back(argument.data());
    }
    prepared.arguments.push_back(nullptr);
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text = *entry;
        if (!options.environment.contains(text.substr(0, text.find('=')))) {
            prepared.environment_text.push_back(text);
        }
    }
    for (const auto& [name, value] : options.environment) {
        prepared.environment_text.push_back(name + "=" + value);
    }
    for (std::string& text : prepared.environment_text) {
        prepared.environment.push_back(text.data());
    }
    prepared.environment.push_back(nullptr);
    if (options.as_unprivileged_user && geteuid() == 0) {
        const passwd* user = getpwnam("postgres");
        if (user == nullptr) {
            throw std::runtime_error("there is no user \"postgres\" to run servers as");
        }
        prepared.uid = user->pw_uid;
        prepared.gid = user->pw_gid;
        prepared.change_user = true;
    }
    return prepared;
}

[[noreturn]] void become(const Prepared& prepared, const Process::Options& options, int input,
                         int output, int error) {
    dup2(input, 0);
    dup2(output, 1);
    dup2(error, 2);
    // What another thread has open at this moment (std::ofstream does not say O_CLOEXEC) would stay
    // open for as long as a server runs, and keep its file system mounted.
    close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
    // Not the library's, which change all threads of a program: these are the parent's.
    if (prepared.change_user &&
        (syscall(SYS_setgroups, 0, nullptr) != 0 || syscall(SYS_setgid, prepared.gid) != 0 ||
         syscall(SYS_setuid, prepared.uid) != 0)) {
        _exit(126);
    }
    // Only now: the kernel forgets it when the user changes. The parent may have died before.
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != prepared.parent) {
        _exit(126);
    }
    if (!options.directory.empty() && chdir(options.directory.c_str()) != 0) {
        _exit(126);
    }
    execvpe(prepared.arguments[0], prepared.arguments.data(), prepared.environment.data());
    _exit(127);
}

/// Not fork(): what runs commands all the time would copy its page tables each time.
pid_t begin(const Prepared& prepared, const Process::Options& options, int input, int output,
            int error) {
    const pid_t pid = vfork();
    if (pid == 0) {
        become(prepared, options, input, output, error);
    }
    return pid;
}

int exit_status(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// Below those that the system hands out to whoever connects (ip(7), ip_local_port_range).
constexpr int lowest_port = 15'000;
constexpr int highest_port = 32'000;

int bound_socket(int family, const sockaddr* address, socklen_t size) {
    const int socket_fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (socket_fd >= 0 && bind(socket_fd, address, size) != 0) {
        close(socket_fd);
        return -1;
    }
    return socket_fd;
}

/// No other program of the tests takes it before this one ends: an abstract name (unix(7)) is
/// free again when its socket is closed, however that comes about.
bool claimed(int port) {
    const std::string name = "antipode-test-port-" + std::to_string(port);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name.data(), name.size());
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    return bound_socket(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), size) >= 0;
}

bool nobody_listens_on(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    const int socket_fd =
        bound_socket(AF_INET, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    if (socket_fd >= 0) {
        close(socket_fd);
    }
    return socket_fd >= 0;
}

}  // namespace

Process::Process(std::vector<std::string> command, const Options& options) {
    const Prepared prepared = prepare(command, options);
    const std::string log = options.log.empty() ? "/dev/null" : options.log.string();
    const int input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const int output = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (output < 0) {
        throw std::system_error(errno, std::generic_category(), "opening " + log);
    }
    pid_ = begin(prepared, options, input, output, output);
    close(input);
    close(output);
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), ended_by_(other.ended_by_) {}

Process& Process::operator=(Process&& other) noexcept {
    if (this != &other) {
        kill();
        pid_ = std::exchange(other.pid_, -1);
        ended_by_ = other.ended_by_;
    }
    return *this;
}

Process::~Process() {
    kill();
}

bool Process::running() {
    return pid_ > 0 && !wait(std::chrono::milliseconds(0));
}

/// The kernel says so when the last of its threads stands still; until then they may answer.
/// True for one that has ended as well.
static bool has_stopped(pid_t child) {
    siginfo_t info{};
    const int what = WSTOPPED | WEXITED | WNOHANG | WNOWAIT;
    return ::waitid(P_PID, static_cast<id_t>(child), &info, what) != 0 || info.si_pid == child;
}

void Process::signal(int number) {
    if (pid_ <= 0) {
        return;
    }
    ::kill(pid_, number);
    if (number == SIGSTOP && !eventually([this] { return has_stopped(pid_); })) {
        throw std::runtime_error("process " + std::to_string(pid_) + " did not stop");
    }
}

void Process::kill() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        ::kill(pid_, SIGCONT);
        waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }
}

int Process::stop(std::chrono::milliseconds timeout, int number) {
    signal(number);
    const auto status = wait(timeout);
    kill();
    return status.value_or(-1);
}

std::optional<int> Process::wait(std::chrono::milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    while (pid_ > 0) {
        int status = 0;
        if (waitpid(pid_, &status, WNOHANG) == pid_) {
            pid_ = -1;
            ended_by_ = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
            return exit_status(status);
        }
        if (Clock::now() >= deadline) {
            return std::nullopt;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return -1;
}

CommandResult run(const std::vector<std::string>& command, const std::string& input,
                  const Process::Options& options) {
    const TemporaryDirectory files;
    write_file(files / "in", input);
    std::vector<std::string> copy = command;
    const Prepared prepared = prepare(copy, options);
    const int in = open((files / "in").c_str(), O_RDONLY | O_CLOEXEC);
    const int out = open((files / "out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    const int err = open((files / "err").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    const pid_t pid = begin(prepared, options, in, out, err);
    close(in);
    close(out);
    close(err);
    int status = 0;
    waitpid(pid, &status, 0);
    return {exit_status(status), read_file(files / "out"), read_file(files / "err")};
}

std::string must_run(const std::vector<std::string>& command, const std::string& input,
                     const Process::Options& options) {
    CommandResult result = run(command, input, options);
    if (result.status != 0) {
        std::string text;
        for (const std::string& argument : command) {
            text += argument + " ";
        }
        throw std::runtime_error(text + "failed with " + std::to_string(result.status) + ": " +
                                 result.error + result.output);
    }
    if (result.output.ends_with('\n')) {
        result.output.pop_back();
    }
    return result.output;
}

std::vector<pid_t> children_of(pid_t parent) {
    std::vector<pid_t> children;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        std::ifstream stat(entry.path() / "stat");
        std::string line;
        std::getline(stat, line);
        // "pid (name) state parent ...": the name may hold anything.
        const size_t after = line.rfind(") ");
        if (after != std::string::npos && std::atoi(line.c_str() + after + 4) == parent) {
            children.push_back(std::atoi(line.c_str()));
        }
    }
    return children;
}

int kill_after(pid_t child, std::chrono::microseconds delay) {
    std::this_thread::sleep_for(delay);
    ::kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    return status;
}

int free_port() {
    thread_local std::minstd_rand random(std::random_device{}());
    std::uniform_int_distribution<int> any(lowest_port, highest_port);
    for (int attempt = 0; attempt < 1000; ++attempt) {
        const int port = any(random);
        if (claimed(port) && nobody_listens_on(port)) {
            return port;
        }
    }
    throw std::runtime_error("no free port between " + std::to_string(lowest_port) + " and " +
                             std::to_string(highest_port));
}

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    for (auto asked_at = Clock::now(); !condition(); asked_at = Clock::now()) {
        if (Clock::now() >= deadline) {
            return false;
        }
        // Asking, which may take programs, does not take the machine from what is waited for.
        std::this_thread::sleep_for(
            std::clamp<Clock::duration>(Clock::now() - asked_at, shortest_pause, longest_pause));
    }
    return true;
}

}  // namespace antipode::test
