#include "adapters/postgres/materialized_views.hpp"

#include "adapters/postgres/connection.hpp"

namespace antipode::postgres {
namespace {

/// A view reads what its rule depends on.
constexpr const char* views_sql = R"(
    WITH RECURSIVE reads AS (
        SELECT r.ev_class AS reader, d.refobjid AS relation
        FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass
            AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
            AND d.refobjid <> r.ev_class
    ), level AS (
        SELECT oid AS relation, 0 AS depth FROM pg_class WHERE relkind = 'm'
        UNION SELECT reads.reader, level.depth + 1 FROM level JOIN reads USING (relation)
    )
    SELECT n.nspname, c.relname
    FROM level JOIN pg_class c ON c.oid = level.relation
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'm' AND c.relispopulated AND n.nspname <> 'antipode'
    GROUP BY 1, 2 ORDER BY max(level.depth), 1, 2)";

}  // namespace

std::string fill_materialized_views(Connection& connection) {
    const Rows rows = connection.query("listing materialized views", views_sql);
    // As their owners see the rows, whom policies may concern.
    std::string script = rows.size() > 0 ? "SET row_security = on;\n" : "";
    for (int row = 0; row < rows.size(); ++row) {
        const std::string name =
            quote_identifier(rows.text(row, 0)) + "." + quote_identifier(rows.text(row, 1));
        const std::string fill = "BEGIN EXECUTE " +
                                 quote_literal("REFRESH MATERIALIZED VIEW " + name) +
                                 "; EXCEPTION WHEN lock_not_available OR deadlock_detected OR "
                                 "insufficient_resources THEN RAISE; "
                                 "WHEN OTHERS THEN RAISE WARNING '%', SQLERRM; END";
        script += "DO " + quote_literal(fill) + ";\n";
    }
    return script;
}

}  // namespace antipode::postgres
