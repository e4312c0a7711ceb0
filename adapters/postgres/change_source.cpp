#include "adapters/postgres/change_source.hpp"

#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

#include <libpq-fe.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "adapters/postgres/commit_watch.hpp"
#include "adapters/postgres/connection.hpp"
#include "adapters/postgres/pgoutput.hpp"
#include "adapters/postgres/streamed_transactions.hpp"
#include "base/handle.hpp"
#include "base/limits.hpp"

namespace antipode::postgres {
namespace {

constexpr size_t data_header_bytes = 25;  // 'w', start, end, time
constexpr size_t keepalive_bytes = 18;    // 'k', end, time, reply requested
/// Of running transactions, before the caller has its turn: the server waits to hear of it.
constexpr size_t most_kept = limits::mib;
constexpr const char* slot_in_use = "55006";  // object_in_use

uint64_t big_endian(std::string_view bytes) {
    uint64_t value = 0;
    for (const char c : bytes.substr(0, 8)) {
        value = value << 8 | static_cast<unsigned char>(c);
    }
    return value;
}

void put(std::string& bytes, uint64_t value) {
    for (int shift = 56; shift >= 0; shift -= 8) {
        bytes += static_cast<char>(value >> shift);
    }
}

/// A descriptor that another thread makes readable.
class WakeFd {
  public:
    WakeFd() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (fd_ < 0) {
            throw std::system_error(errno, std::generic_category(), "eventfd");
        }
    }
    ~WakeFd() { close(fd_); }
    WakeFd(const WakeFd&) = delete;
    WakeFd& operator=(const WakeFd&) = delete;
    int fd() const { return fd_; }
    void wake() const { eventfd_write(fd_, 1); }
    /// True: it was woken.
    bool wait(std::chrono::nanoseconds timeout) const {
        pollfd waiting{fd_, POLLIN, 0};
        const timespec time{0, timeout.count()};
        return ppoll(&waiting, 1, &time, nullptr) > 0;
    }
    void clear() const {
        eventfd_t count = 0;
        eventfd_read(fd_, &count);
    }

  private:
    int fd_;
};

/// Whether much comes. A decoding server sends every change by itself; a reader that waits for the
/// next one has both woken for each, which costs more than the change. So then it lets some gather.
class Flow {
  public:
    /// A Unix socket holds some 270 small messages: a reader that lets more gather holds up the
    /// server.
    static constexpr std::chrono::microseconds gather_time{200};

    void took(size_t bytes) { bytes_ += bytes; }
    bool is_strong() const { return strong_; }

    /// Before waiting.
    void look() {
        const auto now = std::chrono::steady_clock::now();
        const auto passed = now - since_;
        if (passed >= interval) {
            strong_ = bytes_ * interval / passed >= much;
            since_ = now;
            bytes_ = 0;
        }
    }

  private:
    static constexpr std::chrono::milliseconds interval{10};
    static constexpr size_t much = 64 * 1024;  ///< in an interval

    bool strong_ = false;
    size_t bytes_ = 0;
    std::chrono::steady_clock::time_point since_;
};

}  // namespace

struct SlotSource::State {
    explicit State(Options given)
        : options(std::move(given)),
          streamed(options.spool_directory),
          watch(options.url, options.application_name + " commits") {}

    Options options;
    StreamedTransactions streamed;
    CommitWatch watch;
    /// Of the connection; the one after a refusal goes without, so that the server keeps them.
    bool refused = false;
    WakeFd wake;
    std::optional<Connection> connection;
    Flow flow;
    Handle<char, PQfreemem> buffer;  ///< what the last message's views point into
    Lsn confirmed;
    /// Where the log ended when decoding began: an earlier connection may have handed out what
    /// stands before it, so that what commits there may be a repetition.
    Lsn new_from;
    Lsn passed;    ///< by decoding
    Lsn other_at;  ///< decoding was, with the last change that was handed out
    /// Of a transaction that came while a large one is ahead; there is nothing in it yet.
    std::optional<Decoded> other;
    std::string_view held;  ///< a message that comes behind a DecodedBreakOff

    Lsn slot_position();
    void begin_streaming(Lsn from);
    void end_previous_holder();
    /// False: nothing came, or wake() was called.
    bool wait_for_input(std::chrono::milliseconds wait);
    /// Whether it is of a transaction that runs.
    bool keep(std::string_view message, Lsn at);
    std::optional<std::string_view> next_kept();
    std::optional<Decoded> next_of_streamed();
    void look_for_committed();
    std::optional<Decoded> decode(std::string_view message);
    std::optional<Decoded> take(std::string_view message);
    std::optional<Decoded> take_beside(std::string_view message);
    std::optional<Decoded> next_of_held();
    void note(const std::optional<Decoded>& decoded, Lsn at);
    [[noreturn]] void ended();
};

SlotSource::SlotSource(Options options) : state_(std::make_unique<State>(std::move(options))) {}
SlotSource::~SlotSource() = default;

Lsn SlotSource::State::slot_position() {
    const Rows slots =
        connection->query("reading the slot",
                          "SELECT confirmed_flush_lsn, wal_status, pg_current_wal_flush_lsn() "
                          "FROM pg_replication_slots WHERE slot_name = " +
                              quote_literal(options.slot));
    const auto position = slots.size() == 1 ? Lsn::parse(slots.text(0, 0)) : std::optional<Lsn>();
    if (!position || slots.text(0, 1) == "lost") {
        // What that means is decided by who looks at all facts, before it starts again.
        throw Error(Reaction::Retry,
                    "the replication slot " + options.slot + " is " +
                        (position ? "lost: its write-ahead log was removed" : "gone"));
    }
    passed = other_at = *position;
    new_from = Lsn::parse(slots.text(0, 2)).value();
    return *position;
}

void SlotSource::State::begin_streaming(Lsn from) {
    const bool streams = !refused;
    connection->execute("preparing to decode",
                        "SET logical_decoding_work_mem = '" +
                            std::to_string(options.decoding_bytes / limits::kib) + "kB'");
    // publication_names is itself a list of identifiers inside a literal.
    const std::string sql = "START_REPLICATION SLOT " + quote_identifier(options.slot) +
                            " LOGICAL " + from.to_string() + " (proto_version '2', streaming '" +
                            (streams ? "true" : "false") +
                            "', messages 'true', publication_names " +
                            quote_literal(quote_identifier(options.publication)) + ")";
    const Rows::Result result(PQexec(connection->raw(), sql.c_str()));
    if (PQresultStatus(result.get()) != PGRES_COPY_BOTH) {
        connection->fail("starting to decode from slot " + options.slot, result.get());
    }
    refused = false;
}

void SlotSource::State::end_previous_holder() {
    connection->query("ending the connection that holds the slot",
                      "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a "
                      "JOIN pg_replication_slots s ON s.active_pid = a.pid WHERE s.slot_name = " +
                          quote_literal(options.slot) +
                          " AND a.usename = current_user "
                          "AND a.application_name = " +
                          quote_literal(options.application_name.substr(0, 63)));
}

Lsn SlotSource::start() {
    stop();
    state_->connection.emplace(state_->options.url, state_->options.application_name,
                               Connection::Mode::Replication);
    try {
        const Lsn from = state_->slot_position();
        state_->begin_streaming(from);
        state_->confirmed = from;
        return from;
    } catch (const SqlError& error) {
        if (error.sqlstate() == slot_in_use) {
            state_->end_previous_holder();
        }
        state_->connection.reset();
        throw;
    }
}

void SlotSource::stop() {
    state_->buffer.reset();
    state_->connection.reset();
    state_->flow = {};
    state_->other.reset();
    state_->held = {};
    state_->streamed.forget();
    state_->watch.forget();
}

std::optional<Decoded> SlotSource::next(std::chrono::milliseconds wait) {
    State& state = *state_;
    if (!state.connection) {
        throw Error(Reaction::Retry, "decoding has not been started");
    }
    bool waited = false;
    size_t kept = 0;
    while (kept < most_kept) {
        if (auto decoded = state.next_of_held()) {
            return decoded;
        }
        state.look_for_committed();
        if (auto decoded = state.next_of_streamed()) {
            return decoded;
        }
        char* bytes = nullptr;
        const int size = PQgetCopyData(state.connection->raw(), &bytes, 1);
        state.buffer.reset(bytes);
        if (size < 0) {
            state.ended();
        }
        if (size > 0) {
            state.flow.took(static_cast<size_t>(size));
            auto decoded = state.decode({bytes, static_cast<size_t>(size)});
            if (decoded) {
                return decoded;
            }
            kept += static_cast<size_t>(size);
            continue;
        }
        if (waited) {
            return std::nullopt;
        }
        // What came may be a part of a message: then wait again, within reason.
        waited = !state.wait_for_input(wait) || wait.count() == 0;
    }
    return std::nullopt;
}

bool SlotSource::State::keep(std::string_view message, Lsn at) {
    try {
        return streamed.take(message, at);
    } catch (const Error& error) {
        refused = error.reaction() == Reaction::Retry;
        throw;
    }
}

std::optional<std::string_view> SlotSource::State::next_kept() {
    try {
        return streamed.next();
    } catch (const Error& error) {
        refused = error.reaction() == Reaction::Retry;
        throw;
    }
}

std::optional<Decoded> SlotSource::State::next_of_streamed() {
    while (const auto message = next_kept()) {
        if (auto decoded = parse_pgoutput(*message)) {
            note(decoded, passed);
            other_at = std::max(other_at, passed);
            return decoded;
        }
    }
    return std::nullopt;
}

void SlotSource::State::note(const std::optional<Decoded>& decoded, Lsn at) {
    if (!decoded || std::holds_alternative<DecodedBegin>(*decoded)) {
        return;
    }
    if (const auto* commit = std::get_if<DecodedCommit>(&*decoded)) {
        passed = std::max(passed, commit->end_lsn);
    } else {
        other_at = std::max(other_at, at);
    }
}

bool SlotSource::State::wait_for_input(std::chrono::milliseconds wait) {
    using Ready = Connection::Ready;
    flow.look();
    if (flow.is_strong() && wait >= Flow::gather_time) {
        if (connection->wait_for_input(std::chrono::milliseconds(0), -1) == Ready::Input) {
            return true;
        }
        if (wake.wait(Flow::gather_time)) {
            wake.clear();
            return false;
        }
    }
    const Ready ready = connection->wait_for_input(wait, wake.fd());
    if (ready == Ready::Woken) {
        wake.clear();
    }
    return ready == Ready::Input;
}

/// Decoding is behind the commits then, and mirrors can work on it meanwhile.
void SlotSource::State::look_for_committed() {
    if (!options.ahead) {
        return;
    }
    const auto found = watch.committed(streamed.may_go_ahead(new_from));
    if (!found) {
        return;
    }
    // Where another one came not long ago, another one may come before the end.
    const Lsn reached = streamed.reached(found->xid);
    const uint64_t alone = reached.value - std::min(other_at, reached).value;
    const uint64_t to_come = found->log_end.value - std::min(reached, found->log_end).value;
    if (alone >= to_come) {
        streamed.go_ahead(found->xid, passed, SystemClock().now());
    }
}

std::optional<Decoded> SlotSource::State::decode(std::string_view message) {
    if (message[0] == 'w' && message.size() > data_header_bytes) {
        return streamed.is_ahead() ? take_beside(message) : take(message);
    }
    if (message[0] != 'k' || message.size() < keepalive_bytes) {
        throw Error(Reaction::Retry, "decoding: an unknown message came from PostgreSQL");
    }
    const Lsn lsn{big_endian(message.substr(1))};
    passed = std::max(passed, lsn);
    return DecodedProgress{lsn, message[17] != 0};
}

/// While one is ahead: another breaks it off, unless there is nothing in it.
std::optional<Decoded> SlotSource::State::take_beside(std::string_view message) {
    const std::string_view data = message.substr(data_header_bytes);
    bool breaks = streamed.is_of_another(data);
    if (breaks && data[0] == 'B') {
        other = parse_pgoutput(data);
        return std::nullopt;
    }
    if (!breaks && !other) {
        return take(message);
    }
    if (other) {
        const auto decoded = parse_pgoutput(data);
        note(decoded, other_at);
        const bool ends = decoded && std::holds_alternative<DecodedCommit>(*decoded);
        if (ends) {
            other.reset();
        }
        breaks = decoded && !ends;
    }
    if (!breaks) {
        return std::nullopt;
    }
    streamed.break_off();
    held = message;
    return DecodedBreakOff{};
}

/// What comes behind a DecodedBreakOff.
std::optional<Decoded> SlotSource::State::next_of_held() {
    if (held.empty()) {
        return std::nullopt;
    }
    if (other) {
        return std::exchange(other, std::nullopt);
    }
    return take(std::exchange(held, {}));
}

/// A message with data.
std::optional<Decoded> SlotSource::State::take(std::string_view message) {
    const Lsn at{big_endian(message.substr(1))};
    message.remove_prefix(data_header_bytes);
    if (keep(message, at)) {
        return std::nullopt;
    }
    auto decoded = parse_pgoutput(message);
    note(decoded, at);
    return decoded;
}

void SlotSource::State::ended() {
    const Rows::Result result(PQgetResult(connection->raw()));
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_FATAL_ERROR) {
        connection->fail("decoding from slot " + options.slot, result.get());
    }
    throw Error(Reaction::Retry, "decoding: PostgreSQL ended the replication connection",
                "see the server's log; it ends connections when it shuts down");
}

void SlotSource::send_status(Lsn confirmed, bool ask) {
    if (!state_->connection) {
        return;
    }
    // The slot must never be told an earlier place than it knows: it would believe it.
    state_->confirmed = std::max(state_->confirmed, confirmed);
    std::string status = "r";
    // Written = flushed: while both are behind, the server tells of its own accord how far
    // decoding has come, each time before it goes to sleep.
    for (int i = 0; i < 3; ++i) {
        put(status, state_->confirmed.value);
    }
    put(status, static_cast<uint64_t>(to_postgres_time(SystemClock().now())));
    status += ask ? '\1' : '\0';
    if (PQputCopyData(state_->connection->raw(), status.data(), static_cast<int>(status.size())) !=
            1 ||
        PQflush(state_->connection->raw()) != 0) {
        state_->connection->fail("answering the server");
    }
}

void SlotSource::wake() {
    state_->wake.wake();
}

}  // namespace antipode::postgres
