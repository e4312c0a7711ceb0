#include "adapters/http/socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/handle.hpp"

namespace antipode::http {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// How long a wait may overlook a stop token. Most are shorter: longer ones are told by an event of
/// their own.
constexpr milliseconds short_wait{100};

/// Becomes readable when a stop is requested: eventfd(2).
class StopEvent {
  public:
    explicit StopEvent(const std::stop_token& stop)
        : event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), wake_(stop, Wake{event_.number()}) {}
    /// -1: there are no descriptors left, and nobody is told.
    int number() const { return event_.number(); }

  private:
    struct Wake {
        int event;
        void operator()() const { eventfd_write(event, 1); }
    };
    Descriptor event_;
    std::stop_callback<Wake> wake_;
};

std::string text_of(int error) {
    return std::generic_category().message(error);
}

using Addresses = Handle<addrinfo, freeaddrinfo>;

Addresses resolve(const std::string& host, uint16_t port, int flags) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const int result = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
    if (result != 0) {
        throw Error(Reaction::Retry, "resolving " + host + ": " + gai_strerror(result));
    }
    return Addresses(found);
}

/// Waits until `deadline` for `events`; false when it has passed.
bool poll_until(int descriptor, short events, steady_clock::time_point deadline,
                const std::stop_token& stop) {
    std::optional<StopEvent> stopping;
    while (true) {
        if (stop.stop_requested()) {
            throw Stopped{};
        }
        const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
        if (left <= milliseconds(0)) {
            return false;
        }
        const bool is_told = stopping && stopping->number() >= 0;
        std::array<pollfd, 2> wanted{pollfd{descriptor, events, 0},
                                     pollfd{is_told ? stopping->number() : -1, POLLIN, 0}};
        const int ready =
            poll(wanted.data(), wanted.size(),
                 static_cast<int>((is_told ? left : std::min(left, short_wait)).count()));
        if (wanted[0].revents != 0 && ready > 0) {
            return true;
        }
        if (ready < 0 && errno != EINTR) {
            throw Error(Reaction::Retry, "waiting for a connection: " + text_of(errno));
        }
        if (!stopping) {
            stopping.emplace(stop);
        }
    }
}

/// 0, or the error of connecting to this one address.
int try_connect(const Descriptor& descriptor, const addrinfo& address,
                steady_clock::time_point deadline, const std::stop_token& stop) {
    if (descriptor.number() < 0) {
        return errno;
    }
    if (connect(descriptor.number(), address.ai_addr, address.ai_addrlen) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS) {
        return errno;
    }
    if (!poll_until(descriptor.number(), POLLOUT, deadline, stop)) {
        return ETIMEDOUT;
    }
    int error = 0;
    socklen_t size = sizeof(error);
    getsockopt(descriptor.number(), SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
}

/// nullopt: the kernel takes no file name so long.
std::optional<sockaddr_un> local_address(const std::filesystem::path& file) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string& name = file.native();
    if (name.size() >= sizeof(address.sun_path)) {
        return std::nullopt;
    }
    std::copy(name.begin(), name.end(), address.sun_path);
    return address;
}

Descriptor local_socket() {
    return Descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

/// 0, or the error of listening at `address`. Nobody can connect before the mode is set.
int try_listen(const Descriptor& descriptor, const sockaddr_un& address, unsigned mode) {
    const bool listens = bind(descriptor.number(), reinterpret_cast<const sockaddr*>(&address),
                              sizeof(address)) == 0 &&
                         chmod(address.sun_path, mode) == 0 &&
                         listen(descriptor.number(), 128) == 0;
    return listens ? 0 : errno;
}

}  // namespace

Descriptor::Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
}

Descriptor::~Descriptor() {
    if (number_ >= 0) {
        close(number_);
    }
}

Socket::Socket(Descriptor descriptor, std::stop_token stop)
    : descriptor_(std::move(descriptor)), stop_(std::move(stop)) {
    const int on = 1;
    setsockopt(descriptor_.number(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

Socket Socket::connect(const std::string& host, uint16_t port, milliseconds timeout,
                       const std::stop_token& stop) {
    const auto deadline = steady_clock::now() + timeout;
    const Addresses addresses = resolve(host, port, 0);
    int error = EHOSTUNREACH;
    for (const addrinfo* next = addresses.get(); next != nullptr; next = next->ai_next) {
        Descriptor descriptor(
            socket(next->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        error = try_connect(descriptor, *next, deadline, stop);
        if (error == 0) {
            return Socket(std::move(descriptor), stop);
        }
    }
    throw Error(Reaction::Retry, "connecting to http://" + host + ":" + std::to_string(port) +
                                     ": " + text_of(error));
}

Socket Socket::connect(const std::filesystem::path& file, const std::stop_token& stop) {
    const auto address = local_address(file);
    Descriptor descriptor = local_socket();
    // It connects at once, or not at all: EAGAIN says that too many wait there already.
    if (!address || ::connect(descriptor.number(), reinterpret_cast<const sockaddr*>(&*address),
                              sizeof(*address)) != 0) {
        throw Error(Reaction::Retry, "connecting to " + file.string() + ": " +
                                         text_of(address ? errno : ENAMETOOLONG));
    }
    return {std::move(descriptor), stop};
}

void Socket::check_stop() const {
    if (stop_.stop_requested()) {
        throw Stopped{};
    }
}

void Socket::wait_for(short event) {
    auto until = steady_clock::now() + timeout_;
    if (event == POLLIN && deadline_) {
        until = std::min(until, *deadline_);
    }
    if (!poll_until(descriptor_.number(), event, until, stop_)) {
        throw Error(Reaction::Retry, "an HTTP connection stood still for too long");
    }
}

size_t Socket::read_some(std::span<char> buffer) {
    while (true) {
        check_stop();
        const ssize_t count = recv(descriptor_.number(), buffer.data(), buffer.size(), 0);
        if (count >= 0) {
            return static_cast<size_t>(count);
        }
        if (errno == EAGAIN) {
            wait_for(POLLIN);
        } else if (errno != EINTR) {
            throw Error(Reaction::Retry, "reading from an HTTP connection: " + text_of(errno));
        }
    }
}

void Socket::write(std::string_view bytes) {
    while (!bytes.empty()) {
        check_stop();
        const ssize_t count = send(descriptor_.number(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (count >= 0) {
            bytes.remove_prefix(static_cast<size_t>(count));
        } else if (errno == EAGAIN) {
            wait_for(POLLOUT);
        } else if (errno != EINTR) {
            throw Error(Reaction::Retry, "writing to an HTTP connection: " + text_of(errno));
        }
    }
}

void Socket::close_gently() {
    shutdown(descriptor_.number(), SHUT_WR);
    set_deadline(steady_clock::now() + std::chrono::seconds(1));
    std::array<char, 4096> dropped{};
    for (int i = 0; i < 64 && read_some(dropped) > 0; ++i) {
    }
}

Listener::Listener(const std::string& host, uint16_t port) {
    const std::string name = host + ":" + std::to_string(port);
    int error = EADDRNOTAVAIL;
    const Addresses addresses = resolve(host, port, AI_PASSIVE);
    for (const addrinfo* next = addresses.get(); next != nullptr; next = next->ai_next) {
        Descriptor candidate(
            socket(next->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        const int on = 1;
        setsockopt(candidate.number(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(candidate.number(), next->ai_addr, next->ai_addrlen) == 0 &&
            listen(candidate.number(), 128) == 0) {
            descriptor_ = std::move(candidate);
            break;
        }
        error = errno;
    }
    if (descriptor_.number() < 0) {
        throw Error(Reaction::Stop, "listening on " + name + ": " + text_of(error),
                    "another address for http.listen, or end what uses this one (ss -ltnp)");
    }
    sockaddr_storage bound{};
    socklen_t size = sizeof(bound);
    getsockname(descriptor_.number(), reinterpret_cast<sockaddr*>(&bound), &size);
    port_ = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                              : reinterpret_cast<sockaddr_in&>(bound).sin_port);
}

Listener Listener::local(const std::filesystem::path& file, unsigned mode) {
    struct stat there {};
    if (lstat(file.c_str(), &there) == 0 && S_ISSOCK(there.st_mode)) {
        unlink(file.c_str());
    }
    const auto address = local_address(file);
    Descriptor descriptor = local_socket();
    const int error = address ? try_listen(descriptor, *address, mode) : ENAMETOOLONG;
    if (error != 0) {
        throw Error(Reaction::Stop, "listening on " + file.string() + ": " + text_of(error),
                    "a socket at another place, of at most 107 bytes, in a directory where this "
                    "user may make it");
    }
    return {std::move(descriptor), file};
}

Listener::~Listener() {
    if (!file_.empty()) {
        unlink(file_.c_str());
    }
}

std::optional<Descriptor> Listener::accept(milliseconds timeout, const std::stop_token& stop) {
    if (!poll_until(descriptor_.number(), POLLIN, steady_clock::now() + timeout, stop)) {
        return std::nullopt;
    }
    Descriptor accepted(
        accept4(descriptor_.number(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (accepted.number() >= 0) {
        return accepted;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
        // The connection stays in the queue and would wake us at once, again and again.
        poll(nullptr, 0, static_cast<int>(std::min(timeout, short_wait).count()));
    }
    return std::nullopt;
}

}  // namespace antipode::http
