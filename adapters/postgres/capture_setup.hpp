#pragma once

#include <string>

namespace antipode::postgres {

/// What a superuser gives, once, on a primary, besides the capture of DDL (ddl_setup.hpp).
struct CaptureSetup {
    std::string role;  ///< the daemon's
    std::string publication;
    /// Tables whose rows cannot be told apart get a replica identity; else they are refused.
    bool set_identities = true;
};

/// Tables whose changes can be published, and how their rows can be told apart. An identity is an
/// index that is unique at once (not deferrable), valid, whole, and over columns that cannot be
/// null. "owned": this role may give one, itself or through what `antipode database setup` made.
/// $1: the publication.
inline constexpr const char* identities_sql = R"(
    SELECT n.nspname, c.relname, c.relreplident,
      CASE c.relreplident
        WHEN 'f' THEN true
        WHEN 'n' THEN false
        ELSE EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indimmediate
                     AND i.indisvalid AND CASE c.relreplident WHEN 'i' THEN i.indisreplident
                                          ELSE i.indisprimary END)
      END AS usable,
      (SELECT ic.relname FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
        WHERE i.indrelid = c.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
          AND i.indpred IS NULL AND i.indexprs IS NULL
          AND NOT EXISTS (SELECT FROM generate_series(0, i.indnkeyatts - 1) k
                          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[k]
                          WHERE NOT a.attnotnull)
        ORDER BY i.indnkeyatts, i.indexrelid LIMIT 1) AS candidate,
      pg_has_role(current_user, c.relowner, 'USAGE') OR coalesce(has_function_privilege(
        to_regprocedure('antipode.give_identity(regclass, text)'), 'EXECUTE'), false) AS owned,
      EXISTS (SELECT FROM pg_publication p WHERE p.pubname = $1 AND p.puballtables)
        OR EXISTS (SELECT FROM pg_publication_tables t WHERE t.pubname = $1
                   AND t.schemaname = n.nspname AND t.tablename = c.relname) AS published
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence = 'p'
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'antipode')
      AND n.nspname NOT LIKE 'pg\_%'
    ORDER BY 1, 2)";

/// SQL that lets the daemon's role capture without being a superuser, and without a right to write:
/// it may replicate, read past row-level security, and call functions that give a table a replica
/// identity and note that the slot was made. Identities come before the publication, which would
/// else make the application's own updates fail. May be run again; changes no publication that is
/// there.
std::string capture_setup_sql(const CaptureSetup& setup);
/// Its part that a mirror needs to become a primary; within a transaction.
std::string capture_functions_sql(const CaptureSetup& setup);

/// Runs it. `url`: a superuser's. Throws Error with the server's words and the next step.
void run_capture_setup(const std::string& url, const CaptureSetup& setup);

}  // namespace antipode::postgres
