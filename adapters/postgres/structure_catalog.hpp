#pragma once

namespace antipode::postgres {

/// What a structure consists of, as the beginning of a statement: `schemas`; `members`, which come
/// with extensions; `relations` with their `name` and `object`; `rights` (class, id, part, acl),
/// `owners` (class, id, owner) and `others` (class, id). Names are those of pg_identify_object(),
/// the same in every language and search_path.
inline constexpr const char* structure_catalog = R"sql(
WITH schemas AS MATERIALIZED (
    SELECT oid, nspname, nspowner, nspacl FROM pg_namespace
    WHERE nspname NOT IN ('information_schema', 'antipode') AND nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass
                      AND d.objid = pg_namespace.oid AND d.deptype = 'e')),
members AS MATERIALIZED (
    SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
relations AS MATERIALIZED (
    SELECT c.*, format('%I.%I', s.nspname, c.relname) AS name,
        CASE relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'S' THEN
            'sequence ' WHEN 'c' THEN 'type ' WHEN 'f' THEN 'foreign table ' ELSE 'table ' END
            || format('%I.%I', s.nspname, c.relname) AS object
    FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND c.relpersistence <> 't'
      AND (1259, c.oid) NOT IN (SELECT classid, objid FROM members)),
rights (class, id, part, acl) AS (
    SELECT 'pg_class'::regclass, oid, 0, coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'
        ELSE 'r' END::"char", relowner)) FROM relations WHERE relkind <> 'c'
    UNION ALL SELECT 'pg_class'::regclass, r.oid, attnum, attacl FROM relations r
        JOIN pg_attribute a ON a.attrelid = r.oid WHERE attacl IS NOT NULL AND NOT attisdropped
    UNION ALL SELECT 'pg_namespace'::regclass, oid, 0,
        coalesce(nspacl, acldefault('n', nspowner)) FROM schemas
    UNION ALL SELECT 'pg_proc'::regclass, p.oid, 0, coalesce(proacl, acldefault('f', proowner))
        FROM pg_proc p JOIN schemas s ON s.oid = pronamespace
    UNION ALL SELECT 'pg_type'::regclass, t.oid, 0, coalesce(typacl, acldefault('T', typowner))
        FROM pg_type t JOIN schemas s ON s.oid = typnamespace WHERE typtype IN ('d', 'e', 'r')),
owners (class, id, owner) AS (
    SELECT 'pg_class'::regclass, oid, relowner FROM relations WHERE relkind <> 'c'
    UNION ALL SELECT 'pg_namespace'::regclass, oid, nspowner FROM schemas
    UNION ALL SELECT 'pg_proc'::regclass, p.oid, proowner
        FROM pg_proc p JOIN schemas s ON s.oid = pronamespace
    UNION ALL SELECT 'pg_type'::regclass, t.oid, typowner
        FROM pg_type t JOIN schemas s ON s.oid = typnamespace WHERE typtype IN ('d', 'e', 'r')),
others (class, id) AS (
    SELECT tableoid, oid FROM pg_operator UNION ALL SELECT tableoid, oid FROM pg_cast
    UNION ALL SELECT tableoid, oid FROM pg_collation
    UNION ALL SELECT tableoid, oid FROM pg_conversion
    UNION ALL SELECT tableoid, oid FROM pg_opclass UNION ALL SELECT tableoid, oid FROM pg_opfamily
    UNION ALL SELECT tableoid, oid FROM pg_ts_config UNION ALL SELECT tableoid, oid FROM pg_ts_dict
    UNION ALL SELECT tableoid, oid FROM pg_ts_parser
    UNION ALL SELECT tableoid, oid FROM pg_ts_template
    UNION ALL SELECT tableoid, oid FROM pg_foreign_data_wrapper
    UNION ALL SELECT tableoid, oid FROM pg_foreign_server)
)sql";

}  // namespace antipode::postgres
