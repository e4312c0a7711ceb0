#include "adapters/postgres/handover.hpp"

#include "adapters/postgres/control.hpp"
#include "adapters/postgres/replica_session.hpp"

namespace antipode::postgres {

void drop_capture(const std::string& url, const std::string& application_name,
                  const std::string& slot, const std::string& publication) {
    Control control(url, application_name);
    control.transaction([&](Connection& connection) {
        connection.query("ending the use of the replication slot",
                         "SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots "
                         "WHERE slot_name = $1 AND active_pid IS NOT NULL",
                         {slot});
        connection.query("dropping the replication slot",
                         "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                         "WHERE slot_name = $1",
                         {slot});
        return true;
    });
    control.transaction([&](Connection& connection) {
        constexpr const char* doing = "dropping the publication";
        const Rows found = connection.query(
            doing, "SELECT pg_has_role(pubowner, 'USAGE') FROM pg_publication WHERE pubname = $1",
            {publication});
        if (found.size() > 0 && found.boolean(0, 0)) {
            connection.execute(doing, "DROP PUBLICATION " + quote_identifier(publication));
        } else if (found.size() > 0) {
            connection.query(doing, "SELECT antipode.publish($1, false)", {publication});
        }
        return true;
    });
}

void rehearse_capture(const std::string& url, const std::string& application_name,
                      const std::string& slot) {
    // A temporary one: it ends with the connection at the latest.
    Control(url, application_name).transaction([&](Connection& connection) {
        connection.query("making a temporary replication slot",
                         "SELECT pg_create_logical_replication_slot($1, 'pgoutput', true)", {slot});
        connection.query("dropping the temporary replication slot",
                         "SELECT pg_drop_replication_slot($1)", {slot});
        return true;
    });
}

namespace {

void become_replica(const std::string& url, const std::string& application_name,
                    const StoreId& store, const Position& position, Lsn lsn, CopyPhase phase) {
    ReplicaWriter session({url, store.to_string(), application_name});
    ReplicaState state = session.load();
    state.position = position;
    state.lsn = lsn;
    state.transactions = 0;
    state.phase = phase;
    state.after_script.clear();
    state.finish_script.clear();
    state.tables.clear();
    session.begin();
    session.save(state);
    session.forget_tables();
    session.commit();
}

}  // namespace

void stand_at(const std::string& url, const std::string& application_name, const StoreId& store,
              const Position& position, Lsn lsn) {
    become_replica(url, application_name, store, position, lsn, CopyPhase::Complete);
}

void compare_from(const std::string& url, const std::string& application_name, const StoreId& store,
                  const Position& position) {
    become_replica(url, application_name, store, position, Lsn{}, CopyPhase::Compare);
}

Position replica_position(const std::string& url, const std::string& application_name,
                          const StoreId& store) {
    constexpr const char* doing = "reading where the replica stands";
    return Control(url, application_name).transaction([&](Connection& connection) {
        const Rows there =
            connection.query(doing, "SELECT to_regclass('antipode.replica') IS NOT NULL", {});
        if (!there.boolean(0, 0)) {
            return Position{};
        }
        const Rows rows = connection.query(
            doing, "SELECT epoch, session, number FROM antipode.replica WHERE store = $1",
            {store.to_string()});
        return rows.size() == 0 ? Position{}
                                : Position{static_cast<uint64_t>(rows.integer(0, 0)),
                                           static_cast<uint64_t>(rows.integer(0, 1)),
                                           static_cast<uint64_t>(rows.integer(0, 2))};
    });
}

ReplicaState replica_state(const std::string& url, const std::string& application_name,
                           const StoreId& store) {
    ReplicaWriter session({url, store.to_string(), application_name});
    ReplicaState state = session.load();
    state.awaited = session.awaited();
    return state;
}

Lsn applied_through(const std::string& url, const std::string& application_name,
                    const StoreId& store) {
    return ReplicaWriter({url, store.to_string(), application_name}).load().lsn;
}

}  // namespace antipode::postgres
