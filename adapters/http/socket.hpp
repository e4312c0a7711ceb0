#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>

namespace antipode::http {

/// Owns a file descriptor.
class Descriptor {
  public:
    Descriptor() = default;
    explicit Descriptor(int number) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept;
    Descriptor& operator=(Descriptor&& other) noexcept;
    ~Descriptor();
    int number() const { return number_; }

  private:
    int number_ = -1;
};

/// A connected stream socket, read and written by one thread. Every call ends when its timeout has
/// passed (Error{Retry}) or the stop token fires (Stopped), whatever the other side does.
class Socket {
  public:
    Socket(Descriptor descriptor, std::stop_token stop);
    /// Tries each address of `host`. Throws Error{Retry} that names host and port.
    static Socket connect(const std::string& host, uint16_t port, std::chrono::milliseconds timeout,
                          const std::stop_token& stop);
    /// To a socket of this machine, by its file. Throws Error{Retry} that names it.
    static Socket connect(const std::filesystem::path& file, const std::stop_token& stop);

    /// For the next user of the connection.
    void set_stop(std::stop_token stop) { stop_ = std::move(stop); }
    /// How long one read or write may go without progress.
    void set_timeout(std::chrono::milliseconds timeout) { timeout_ = timeout; }
    /// Reads must end before `deadline`, too; nullopt: no such deadline.
    void set_deadline(std::optional<std::chrono::steady_clock::time_point> deadline) {
        deadline_ = deadline;
    }

    /// At least one byte; 0: the other side has closed.
    size_t read_some(std::span<char> buffer);
    void write(std::string_view bytes);
    /// Says goodbye: sends what is buffered, then reads away (briefly) what the other side still
    /// sends, so that an answer to a refused request is not lost to a reset.
    void close_gently();

  private:
    void check_stop() const;
    void wait_for(short event);

    Descriptor descriptor_;
    std::stop_token stop_;
    std::chrono::milliseconds timeout_{std::chrono::seconds(30)};
    std::optional<std::chrono::steady_clock::time_point> deadline_;
};

/// A listening socket.
class Listener {
  public:
    /// TCP; port 0: any free one. Throws Error{Stop} that names the address and the remedy.
    Listener(const std::string& host, uint16_t port);
    /// For programs of this machine: a file whose `mode` decides who may call. A socket that is
    /// there already is left over from a process that was killed.
    static Listener local(const std::filesystem::path& file, unsigned mode);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;
    uint16_t port() const { return port_; }
    /// Waits up to `timeout` for a connection. Throws Stopped, Error{Retry}.
    std::optional<Descriptor> accept(std::chrono::milliseconds timeout,
                                     const std::stop_token& stop = {});

  private:
    Listener(Descriptor descriptor, std::filesystem::path file)
        : descriptor_(std::move(descriptor)), file_(std::move(file)) {}

    Descriptor descriptor_;
    uint16_t port_ = 0;
    std::filesystem::path file_;
};

}  // namespace antipode::http
