#include "adapters/postgres/connection.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <sstream>

#include <libpq-fe.h>
#include <poll.h>

namespace antipode::postgres {
namespace {

/// Everything that changes how values are written, or that a role or database could have set so
/// that it gets in our way. A database's own settings apply to decoding too, hence on every
/// connection. What is temporary is looked for last, else it would stand before the catalogs.
constexpr const char* pinned_settings = R"(
    SET client_encoding = 'UTF8'; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres';
    SET TimeZone = 'UTC'; SET extra_float_digits = 1; SET bytea_output = 'hex';
    SET lc_monetary = 'C'; SET xmlbinary = 'base64'; SET xmloption = 'content';
    SET standard_conforming_strings = on; SET search_path = pg_catalog, pg_temp;
    SET row_security = off;
    SET default_transaction_isolation = 'read committed';
    SET default_transaction_read_only = off; SET default_transaction_deferrable = off;
    SET lock_timeout = 0;
    SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0;
    SET array_nulls = on; SET transform_null_equals = off; SET quote_all_identifiers = off;
    SET plan_cache_mode = auto; SET client_min_messages = warning)";

constexpr const char* no_time_limit = "SET statement_timeout = 0";
constexpr const char* query_canceled = "57014";
constexpr int most_pinnings = 10;
/// How often a wait looks at its stop token, and how often it cancels then.
constexpr std::chrono::milliseconds stop_look(100);
constexpr int most_cancels = 20;

constexpr const char* server_is_away =
    "check that the server runs and that the store's url reaches it (psql URL)";

void ignore_notice(void* /*unused*/, const char* /*message*/) {}

}  // namespace

std::optional<std::string> why_no_connection_string(const std::string& url) {
    char* problem = nullptr;
    PQconninfoOption* const options = PQconninfoParse(url.c_str(), &problem);
    if (options != nullptr) {
        PQconninfoFree(options);
        return std::nullopt;
    }
    std::string text = problem == nullptr ? "no memory to read it" : one_line(problem);
    PQfreemem(problem);
    return text;
}

std::optional<std::string> user_of(const std::string& url) {
    PQconninfoOption* const options = PQconninfoParse(url.c_str(), nullptr);
    std::optional<std::string> user;
    for (PQconninfoOption* option = options; option != nullptr && option->keyword != nullptr;
         ++option) {
        if (std::string_view(option->keyword) == "user" && option->val != nullptr) {
            user = option->val;
        }
    }
    PQconninfoFree(options);
    return user;
}

std::string one_line(const char* message) {
    std::string joined;
    std::istringstream lines(message == nullptr ? "" : message);
    for (std::string line; std::getline(lines, line);) {
        const size_t begin = line.find_first_not_of(" \t\r");
        if (begin == std::string::npos) {
            continue;
        }
        // A sentence may go on in an indented line.
        const bool goes_on = line.starts_with('\t') && line[begin] >= 'a' && line[begin] <= 'z';
        line.erase(line.find_last_not_of(" \t\r") + 1);
        joined += (joined.empty() ? "" : goes_on ? " " : "; ") + line.substr(begin);
    }
    return joined;
}

Reaction reaction_to(std::string_view sqlstate) {
    constexpr std::array<std::string_view, 4> classes = {"08", "40", "53", "58"};
    constexpr std::array<std::string_view, 7> states = {"55P03", "55006", "57014", "57P01",
                                                        "57P02", "57P03", "57P05"};
    const bool retry =
        sqlstate.empty() ||
        std::find(classes.begin(), classes.end(), sqlstate.substr(0, 2)) != classes.end() ||
        std::find(states.begin(), states.end(), sqlstate) != states.end();
    return retry ? Reaction::Retry : Reaction::Stop;
}

void Rows::Clear::operator()(pg_result* result) const noexcept {
    PQclear(result);
}
int Rows::size() const {
    return PQntuples(result_.get());
}
bool Rows::is_null(int row, int column) const {
    return PQgetisnull(result_.get(), row, column) != 0;
}
std::string_view Rows::text(int row, int column) const {
    return {PQgetvalue(result_.get(), row, column),
            static_cast<size_t>(PQgetlength(result_.get(), row, column))};
}
int64_t Rows::integer(int row, int column) const {
    const std::string_view digits = text(row, column);
    int64_t value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return value;
}
uint64_t Rows::affected() const {
    return std::strtoull(PQcmdTuples(result_.get()), nullptr, 10);
}

void Connection::Close::operator()(pg_conn* connection) const noexcept {
    PQfinish(connection);
}

Connection::Connection(const std::string& url, const std::string& application_name, Mode mode,
                       const Waits& waits)
    : limit_(waits.answer) {
    // Before "dbname", which is expanded: defaults that the connection string may override.
    std::vector<const char*> keywords = {
        "connect_timeout",  "keepalives_idle", "keepalives_interval", "keepalives_count",
        "tcp_user_timeout", "dbname",          "application_name"};
    std::vector<const char*> values = {
        "5", "10", "5", "3", "30000", url.c_str(), application_name.c_str()};
    const auto pin = [&](const char* keyword, const char* value) {
        keywords.push_back(keyword);
        values.push_back(value);
    };
    if (mode == Mode::Replication) {
        pin("replication", "database");
    }
    const std::string patience = waits.connect ? std::to_string(waits.connect->count()) : "";
    if (waits.connect) {
        pin("connect_timeout", patience.c_str());
    }
    pin(nullptr, nullptr);
    connection_.reset(PQconnectdbParams(keywords.data(), values.data(), 1));
    if (!connection_) {
        throw Error(Reaction::Retry, "no memory for a connection to PostgreSQL");
    }
    PQsetNoticeProcessor(connection_.get(), ignore_notice, nullptr);
    if (PQstatus(connection_.get()) != CONNECTION_OK) {
        throw Error(Reaction::Retry,
                    "connecting to PostgreSQL: " + one_line(PQerrorMessage(connection_.get())),
                    server_is_away);
    }
    pin_settings();
}
void Connection::pin_settings() {
    constexpr const char* doing = "pinning settings";
    for (int tries = 1;; ++tries) {
        try {
            execute(doing, no_time_limit);
            execute(doing, pinned_settings);
            return;
        } catch (const SqlError& error) {
            // A limit of milliseconds, set on the role or the database, holds until it is taken
            // away.
            if (error.sqlstate() != query_canceled || tries == most_pinnings) {
                throw;
            }
        }
    }
}
Connection::~Connection() = default;
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;

Rows Connection::query(const std::string& doing, const std::string& sql,
                       const Parameters& parameters) {
    std::vector<const char*> values;
    values.reserve(parameters.size());
    for (const auto& parameter : parameters) {
        values.push_back(parameter ? parameter->c_str() : nullptr);
    }
    // Without parameters the simple protocol: a replication connection has no other.
    Rows::Result result = parameters.empty()
                              ? run(doing, sql)
                              : run(doing, sql, static_cast<int>(values.size()), values.data());
    const ExecStatusType status = PQresultStatus(result.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        fail(doing, result.get());
    }
    return Rows(std::move(result));
}

void Connection::execute(const std::string& doing, const std::string& sql) {
    const Rows::Result result = run(doing, sql);
    const ExecStatusType status = PQresultStatus(result.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_EMPTY_QUERY) {
        fail(doing, result.get());
    }
}

Rows::Result Connection::run(const std::string& doing, const std::string& sql) {
    if (waits_freely()) {
        return Rows::Result(PQexec(raw(), sql.c_str()));
    }
    begin_run();
    return finish(doing, PQsendQuery(raw(), sql.c_str()));
}

Rows::Result Connection::run(const std::string& doing, const std::string& sql, int count,
                             const char* const* values) {
    if (waits_freely()) {
        return Rows::Result(
            PQexecParams(raw(), sql.c_str(), count, nullptr, values, nullptr, nullptr, 0));
    }
    begin_run();
    return finish(
        doing, PQsendQueryParams(raw(), sql.c_str(), count, nullptr, values, nullptr, nullptr, 0));
}

void Connection::begin_run() const {
    if (stop_.stop_requested()) {
        throw Stopped{};
    }
}

/// As PQexec ends, but not later than the limit: with the last result, or the first that failed.
Rows::Result Connection::finish(const std::string& doing, int sent) {
    if (sent != 1) {
        fail(doing);
    }
    using Time = std::chrono::steady_clock;
    const auto until = limit_ ? Time::now() + *limit_ : Time::time_point::max();
    Rows::Result last;
    while (true) {
        wait_for_result(doing, until);
        Rows::Result result(PQgetResult(raw()));
        if (!result) {
            return last;
        }
        if (!last || PQresultStatus(last.get()) != PGRES_FATAL_ERROR) {
            last = std::move(result);
        }
    }
}

void Connection::wait_for_result(const std::string& doing,
                                 std::chrono::steady_clock::time_point until) {
    while (PQisBusy(raw()) != 0) {
        if (stop_.stop_requested()) {
            cancel_and_wait();
            throw Stopped{};
        }
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            until - std::chrono::steady_clock::now());
        if (left.count() <= 0) {
            throw Error(Reaction::Retry,
                        doing + ": PostgreSQL has not answered for " +
                            std::to_string(limit_->count() / 1000) + " s",
                        "look whether the server hangs (SELECT * FROM pg_stat_activity)");
        }
        wait_for_input(stop_.stop_possible() ? std::min(left, stop_look) : left, -1);
    }
}

/// A server that has not begun with a statement yet hears nothing of its first cancellation.
void Connection::cancel_and_wait() {
    for (int i = 0; i < most_cancels && PQisBusy(raw()) != 0; ++i) {
        cancel();
        wait_for_input(stop_look, -1);
    }
}

int Connection::server_version() const {
    return PQserverVersion(raw());
}

bool Connection::is_superuser() const {
    const char* const told = PQparameterStatus(raw(), "is_superuser");
    return told != nullptr && std::string_view(told) == "on";
}

void Connection::fail(const std::string& doing, const pg_result* result) const {
    const char* state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
    std::string text;
    if (state != nullptr) {
        text = one_line(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
        const std::string detail = one_line(PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL));
        text += detail.empty() ? "" : " (" + detail + ")";
    } else {
        text = one_line(PQerrorMessage(raw()));
    }
    const std::string sqlstate = PQstatus(raw()) == CONNECTION_OK && state != nullptr ? state : "";
    throw SqlError(reaction_to(sqlstate), doing + ": " + text,
                   state == nullptr ? server_is_away : "", state == nullptr ? "" : state);
}

Connection::Ready Connection::wait_for_input(std::chrono::milliseconds timeout, int wake_fd) {
    std::array<pollfd, 2> fds = {pollfd{PQsocket(raw()), POLLIN, 0}, pollfd{wake_fd, POLLIN, 0}};
    const int ready =
        ::poll(fds.data(), fds.size(), static_cast<int>(std::max<int64_t>(0, timeout.count())));
    if (ready < 0 && errno != EINTR) {
        throw Error(Reaction::Retry, "waiting for PostgreSQL: poll failed");
    }
    if (ready > 0 && fds[0].revents != 0) {
        if (PQconsumeInput(raw()) == 0) {
            fail("reading from PostgreSQL");
        }
        return Ready::Input;
    }
    return ready > 0 && fds[1].revents != 0 ? Ready::Woken : Ready::Nothing;
}

void Connection::cancel() noexcept {
    if (PGcancel* handle = PQgetCancel(raw())) {
        std::array<char, 256> text{};
        PQcancel(handle, text.data(), static_cast<int>(text.size()));
        PQfreeCancel(handle);
    }
}

std::string quote_identifier(std::string_view name) {
    std::string quoted = "\"";
    for (const char c : name) {
        quoted += c;
        if (c == '"') {
            quoted += c;
        }
    }
    return quoted + "\"";
}

std::string qualified(const TableName& name) {
    return quote_identifier(name.schema) + "." + quote_identifier(name.table);
}

std::string quote_literal(std::string_view text) {
    std::string quoted = text.find('\\') == std::string_view::npos ? "'" : "E'";
    for (const char c : text) {
        quoted += c;
        if (c == '\'' || c == '\\') {
            quoted += c;
        }
    }
    return quoted + "'";
}

}  // namespace antipode::postgres
