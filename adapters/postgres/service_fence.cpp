#include "adapters/postgres/service_fence.hpp"

#include <sstream>

#include "adapters/postgres/control.hpp"
#include "base/error.hpp"

namespace antipode::postgres {
namespace {

constexpr const char* fencing = "fencing the database";
constexpr const char* other_way =
    "fence by a command of your own (failover.fence_command) that rejects all but the daemon in "
    "pg_hba.conf, reloads and ends the sessions";

/// Whatever can write, other than the daemon: sessions of clients, walsenders (they take SQL, too),
/// background workers (subscriptions, schedulers). The daemon's own are told by role and name: a
/// role that the application shares would let the application through. The type of others' sessions
/// is hidden from a role that is no member of pg_read_all_stats: such a session counts.
constexpr const char* foreign_sessions = R"(
    FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid
    WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
      AND coalesce(a.backend_type, CASE WHEN a.usesysid IS NULL THEN 'autovacuum worker'
                                        ELSE 'hidden' END)
          NOT IN ('autovacuum worker', 'parallel worker')
      AND NOT (coalesce(a.usename, '') = current_user
               AND a.application_name LIKE 'antipode%'))";

/// Whoever may connect later to end them writes then.
constexpr const char* prepared_transactions = R"(
    SELECT string_agg(gid, ', ') FROM pg_prepared_xacts WHERE database = current_database())";

/// Roles that may connect although they must not.
constexpr const char* admitted_roles = R"(
    FROM pg_roles r WHERE r.rolcanlogin AND NOT r.rolsuper AND r.rolname <> current_user
      AND has_database_privilege(r.oid, (SELECT oid FROM pg_database
                                         WHERE datname = current_database()), 'CONNECT'))";

std::string first_of(Connection& connection, const std::string& sql) {
    const Rows rows = connection.query(fencing, sql);
    return rows.size() == 0 || rows.is_null(0, 0) ? std::string() : rows.string(0, 0);
}

std::string names_of(Connection& connection, const std::string& name, const std::string& from) {
    return first_of(connection, "SELECT string_agg(DISTINCT " + name + "::text, ', ') " + from);
}

std::string quoted_grantee(const std::string& name) {
    return name.empty() ? "PUBLIC" : quote_identifier(name);
}

using Problems = std::vector<ServiceFence::Problem>;

bool is_true(Connection& connection, const std::string& condition) {
    return connection.query(fencing, "SELECT " + condition).boolean(0, 0);
}

void look_at_rights(Connection& connection, const std::string& role, Problems& problems) {
    if (!is_true(connection,
                 "pg_has_role(current_user, d.datdba, 'USAGE') FROM pg_database d "
                 "WHERE d.datname = current_database()")) {
        problems.push_back({"the role " + role + " may not take CONNECT from others",
                            "GRANT the database's owner TO " + role + ", or " + other_way});
    }
    if (!is_true(connection, "pg_has_role('pg_read_all_stats', 'USAGE')")) {
        problems.push_back({"the role " + role + " cannot see who is connected",
                            "GRANT pg_read_all_stats TO " + role});
    }
    const std::string others =
        names_of(connection, "r.rolname",
                 std::string(admitted_roles) + " AND NOT pg_has_role(r.oid, 'USAGE')");
    if (!others.empty() && !is_true(connection, "pg_has_role('pg_signal_backend', 'USAGE')")) {
        problems.push_back({"the role " + role + " may not end the sessions of " + others,
                            "GRANT pg_signal_backend TO " + role});
    }
    const std::string members =
        names_of(connection, "r.rolname",
                 std::string(admitted_roles) + " AND pg_has_role(r.oid, current_user, 'MEMBER')");
    if (!members.empty()) {
        problems.push_back({"these roles are members of the daemon's role: " + members,
                            "REVOKE " + role + " FROM them"});
    }
}

void look_at_sessions(Connection& connection, const std::string& role, Problems& problems) {
    const auto named = [&](const char* name, const char* condition) {
        return names_of(connection, name, std::string(foreign_sessions) + condition);
    };
    const std::string above = named("a.usename", " AND r.rolsuper AND a.usename <> current_user");
    if (!above.empty()) {
        problems.push_back(
            {"superusers are connected, whom taking CONNECT does not keep out: " + above,
             std::string("let the application connect as an ordinary role, or ") + other_way});
    }
    const std::string same = named("a.application_name", " AND a.usename = current_user");
    if (!same.empty()) {
        problems.push_back({"others connect as the daemon's own role, " + role + ": " + same,
                            "give the daemon a role of its own"});
    }
    const std::string workers = named("coalesce(nullif(a.application_name, ''), a.backend_type)",
                                      " AND a.backend_type NOT IN ('client backend', 'walsender')");
    if (!workers.empty()) {
        problems.push_back(
            {"background workers may write, whom taking CONNECT does not keep out: " + workers,
             "disable the subscription or the extension's jobs before"});
    }
    const std::string prepared = first_of(connection, prepared_transactions);
    if (!prepared.empty()) {
        problems.push_back({"transactions are prepared and not committed: " + prepared,
                            "COMMIT PREPARED or ROLLBACK PREPARED them"});
    }
}

}  // namespace

struct ServiceFence::State {
    Control control;
    const char* to_end_ms;  ///< for a session that is being ended

    static std::optional<std::string> leak(Connection& connection) {
        const std::string roles = names_of(connection, "r.rolname", admitted_roles);
        if (!roles.empty()) {
            return "these roles may still connect: " + roles;
        }
        const std::string sessions = names_of(connection,
                                              "coalesce(a.usename, a.backend_type) || ' (' || "
                                              "coalesce(a.application_name, '') || ')'",
                                              foreign_sessions);
        if (!sessions.empty()) {
            return "sessions of these roles are still open: " + sessions;
        }
        const std::string prepared = first_of(connection, prepared_transactions);
        if (!prepared.empty()) {
            return "transactions are prepared and not ended: " + prepared;
        }
        return std::nullopt;
    }
};

ServiceFence::ServiceFence(std::string url, std::string application_name,
                           std::optional<std::chrono::seconds> patience)
    : state_(new State{Control(std::move(url), std::move(application_name), patience),
                       patience ? "1000" : "5000"}) {}
ServiceFence::~ServiceFence() = default;

/// A line: '+' or '-' (may grant it on), the role's name; none for PUBLIC.
std::string ServiceFence::grants() {
    return state_->control.transaction([](Connection& connection) {
        const Rows rows = connection.query(fencing, R"(
            SELECT acl.is_grantable, coalesce(r.rolname, '')
            FROM pg_database d,
              aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) acl
              LEFT JOIN pg_roles r ON r.oid = acl.grantee
            WHERE d.datname = current_database() AND acl.privilege_type = 'CONNECT'
              AND (acl.grantee = 0 OR r.oid IS NOT NULL)
            ORDER BY 2)");
        std::string lines;
        for (int row = 0; row < rows.size(); ++row) {
            lines += (rows.boolean(row, 0) ? "+" : "-") + rows.string(row, 1) + "\n";
        }
        return lines;
    });
}

void ServiceFence::close() {
    const std::string before = grants();
    state_->control.transaction([&](Connection& connection) {
        const std::string role = first_of(connection, "SELECT current_user");
        const std::string database =
            quote_identifier(first_of(connection, "SELECT current_database()"));
        // Also when it had it as a superuser or by PUBLIC only.
        connection.execute(
            fencing, "GRANT CONNECT ON DATABASE " + database + " TO " + quote_identifier(role));
        std::istringstream lines(before);
        for (std::string line; std::getline(lines, line);) {
            if (line.size() > 1 && line.substr(1) == role) {
                continue;
            }
            connection.execute(fencing, "REVOKE CONNECT ON DATABASE " + database + " FROM " +
                                            quoted_grantee(line.substr(1)) + " CASCADE");
        }
        return true;
    });
    state_->control.transaction([&](Connection& connection) {
        // All are told before one is waited for.
        connection.query(fencing,
                         std::string("SELECT pg_terminate_backend(a.pid) ") + foreign_sessions);
        connection.query(fencing, std::string("SELECT pg_terminate_backend(a.pid, ") +
                                      state_->to_end_ms + ") " + foreign_sessions);
        return true;
    });
    if (const auto why = leak()) {
        throw Error(Reaction::Stop, "the fence of the database does not hold: " + *why, other_way);
    }
}

void ServiceFence::open(const std::string& grants) {
    state_->control.transaction([&](Connection& connection) {
        const std::string database =
            quote_identifier(first_of(connection, "SELECT current_database()"));
        std::istringstream lines(grants);
        for (std::string line; std::getline(lines, line);) {
            const std::string name = line.substr(1);
            const bool there =
                name.empty() ||
                connection
                    .query(fencing, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)",
                           {name})
                    .boolean(0, 0);
            if (there) {
                connection.execute(
                    "lifting the fence of the database",
                    "GRANT CONNECT ON DATABASE " + database + " TO " + quoted_grantee(name) +
                        (line[0] == '+' && !name.empty() ? " WITH GRANT OPTION" : ""));
            }
        }
        return true;
    });
}

std::optional<std::string> ServiceFence::leak() {
    return state_->control.transaction(
        [](Connection& connection) { return State::leak(connection); });
}

std::vector<ServiceFence::Problem> ServiceFence::problems() {
    return state_->control.transaction([](Connection& connection) {
        std::vector<Problem> problems;
        const std::string role = first_of(connection, "SELECT current_user");
        look_at_rights(connection, role, problems);
        look_at_sessions(connection, role, problems);
        return problems;
    });
}

std::vector<ServiceFence::Problem> ServiceFence::lacking_rights() {
    return state_->control.transaction([](Connection& connection) {
        std::vector<Problem> problems;
        look_at_rights(connection, first_of(connection, "SELECT current_user"), problems);
        return problems;
    });
}

}  // namespace antipode::postgres
