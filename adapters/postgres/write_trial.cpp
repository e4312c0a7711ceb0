#include "adapters/postgres/write_trial.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <libpq-fe.h>
#include <poll.h>

#include "adapters/postgres/connection.hpp"
#include "base/error.hpp"
#include "base/handle.hpp"

namespace antipode::postgres {
namespace {

using std::chrono::steady_clock;
using Session = Handle<PGconn, PQfinish>;
using Result = Handle<PGresult, PQclear>;

constexpr const char* trying = "trying write_check_url";

/// No right to connect; pg_hba.conf, or a role that may not log in; a database that allows no
/// connections; a standby.
constexpr std::array<std::string_view, 5> refusals = {"42501", "28000", "55000", "25006", "0A000"};

/// libpq gives an SQLSTATE of statements only. Of a connection it writes it in front of the words,
/// "FATAL:  42501: permission denied", once it was told to before it connects.
std::string sqlstate_in(const std::string& message) {
    constexpr std::string_view mark = ":  ";
    for (size_t at = message.find(mark); at != std::string::npos; at = message.find(mark, at + 1)) {
        const std::string state = message.substr(at + mark.size(), 5);
        const bool is_state =
            state.size() == 5 && std::all_of(state.begin(), state.end(), [](char c) {
                return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
            });
        if (is_state && message.substr(at + mark.size() + 5, 1) == ":") {
            return state;
        }
    }
    return {};
}

WriteTrial refused_or_throw(const std::string& state, const std::string& words) {
    if (std::find(refusals.begin(), refusals.end(), state) != refusals.end()) {
        return {false, words};
    }
    const bool away = reaction_to(state) == Reaction::Retry;
    throw Error(away ? Reaction::Retry : Reaction::Stop, std::string(trying) + ": " + words,
                away ? "check that the server runs and that write_check_url reaches it"
                     : "mend write_check_url: it connects as the service does (psql URL)");
}

/// One step of libpq's at a time, because its blocking way heeds no time over all addresses.
bool connect(PGconn* session, steady_clock::time_point end) {
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;
    while (next != PGRES_POLLING_OK && next != PGRES_POLLING_FAILED) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(end - steady_clock::now());
        pollfd wait{PQsocket(session),
                    static_cast<short>(next == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
        if (left.count() <= 0 || poll(&wait, 1, static_cast<int>(left.count())) == 0) {
            throw Error(Reaction::Retry, std::string(trying) + ": the server does not answer");
        }
        next = PQconnectPoll(session);
    }
    return next == PGRES_POLLING_OK;
}

Result ask(PGconn* session, const char* sql, steady_clock::time_point end) {
    bool sent = PQsendQuery(session, sql) == 1;
    while (sent && PQisBusy(session) == 1) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(end - steady_clock::now());
        pollfd wait{PQsocket(session), POLLIN, 0};
        if (left.count() <= 0 || poll(&wait, 1, static_cast<int>(left.count())) == 0) {
            throw Error(Reaction::Retry, std::string(trying) + ": the server does not answer");
        }
        sent = PQconsumeInput(session) == 1;
    }
    return Result(sent ? PQgetResult(session) : nullptr);
}

}  // namespace

WriteTrial try_to_write(const std::string& url, const std::string& application_name,
                        std::chrono::seconds time) {
    const auto end = steady_clock::now() + time;
    const std::array<const char*, 3> keywords = {"dbname", "application_name", nullptr};
    const std::array<const char*, 3> values = {url.c_str(), application_name.c_str(), nullptr};
    const Session session(PQconnectStartParams(keywords.data(), values.data(), 1));
    if (!session || PQstatus(session.get()) == CONNECTION_BAD) {
        return refused_or_throw("",
                                session ? one_line(PQerrorMessage(session.get())) : "no memory");
    }
    PQsetErrorVerbosity(session.get(), PQERRORS_VERBOSE);
    if (!connect(session.get(), end)) {
        const std::string words = PQerrorMessage(session.get());
        return refused_or_throw(sqlstate_in(words), one_line(words.c_str()));
    }
    const Result begun = ask(session.get(), "BEGIN READ WRITE", end);
    if (PQresultStatus(begun.get()) == PGRES_COMMAND_OK) {
        return {true};
    }
    const char* const state = PQresultErrorField(begun.get(), PG_DIAG_SQLSTATE);
    return refused_or_throw(state == nullptr ? "" : state, one_line(PQerrorMessage(session.get())));
}

}  // namespace antipode::postgres
