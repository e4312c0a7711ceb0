#include "adapters/postgres/recipes.hpp"

#include <array>

#include "adapters/postgres/structure_catalog.hpp"

namespace antipode::postgres {
namespace {

/// Each gives rows (object, facet, make, drop) and begins behind structure_catalog. The names of
/// the objects are those of read_structure().
constexpr const char* schemas_sql = R"sql(
SELECT 'schema ' || quote_ident(nspname), '', format('CREATE SCHEMA %I', nspname),
    format('DROP SCHEMA %I', nspname) FROM schemas
UNION ALL
SELECT 'extension ' || quote_ident(extname), facet, make, drop
FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace, LATERAL (VALUES
    ('', format('CREATE EXTENSION %I SCHEMA %I VERSION %L', extname, n.nspname, extversion),
     format('DROP EXTENSION %I', extname)),
    ('schema', format('ALTER EXTENSION %I SET SCHEMA %I', extname, n.nspname), ''),
    ('version', format('ALTER EXTENSION %I UPDATE TO %L', extname, extversion), ''))
    f (facet, make, drop)
)sql";

/// Columns are made bare; what else they are is set alone.
constexpr const char* relations_sql = R"sql(
, columns AS MATERIALIZED (
    SELECT r.object, r.name, r.oid AS relation, relkind, attnum, attname, quote_ident(attname) AS c,
        concat_ws(' ', format_type(atttypid, atttypmod), CASE WHEN attcollation <> t.typcollation
            THEN 'COLLATE ' || attcollation::regcollation::text END) AS type,
        attnotnull, attidentity, attgenerated, attislocal, pg_get_expr(adbin, adrelid) AS value,
        attstorage, typstorage, attoptions
    FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid
    JOIN pg_type t ON t.oid = atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
    WHERE relkind IN ('r', 'p', 'v', 'm', 'c') AND attnum > 0 AND NOT attisdropped),
options AS (
    SELECT r.*, coalesce((SELECT ' WITH (' || string_agg(format('%s = %L', option_name,
        option_value), ', ') || ')' FROM pg_options_to_table(reloptions)), '') AS with_options
    FROM relations r),
dependent AS (
    SELECT r.object, r.name, r.oid, d.deptype, a.attname,
        d.refobjid::regclass::text AS owner
    FROM relations r JOIN pg_depend d ON d.classid = 1259 AND d.objid = r.oid
        AND d.refclassid = 1259 AND d.deptype IN ('a', 'i')
    JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE r.relkind = 'S'),
sequences AS (
    SELECT r.object, r.name, r.relpersistence, coalesce(d.deptype = 'i', false) AS internal,
        d.attname, d.owner, CASE WHEN has_sequence_privilege(r.oid, 'USAGE, SELECT')
            THEN pg_sequence_last_value(r.oid) END AS stands, format('AS %s INCREMENT %s '
        'MINVALUE %s MAXVALUE %s START %s CACHE %s%s', format_type(seqtypid, NULL), seqincrement,
        seqmin, seqmax, seqstart, seqcache, CASE WHEN seqcycle THEN ' CYCLE' ELSE ' NO CYCLE' END)
        AS definition
    FROM relations r JOIN pg_sequence ON seqrelid = r.oid LEFT JOIN dependent d ON d.oid = r.oid)
SELECT object, '', CASE relkind
    WHEN 'v' THEN format('CREATE OR REPLACE VIEW %s%s AS %s', name, with_options,
        rtrim(pg_get_viewdef(oid), ';'))
    WHEN 'm' THEN format('CREATE MATERIALIZED VIEW %s%s AS %s WITH NO DATA', name, with_options,
        rtrim(pg_get_viewdef(oid), ';'))
    WHEN 'c' THEN format('CREATE TYPE %s AS (%s)', name, (SELECT string_agg(c || ' ' || type, ', '
        ORDER BY attnum) FROM columns WHERE relation = o.oid))
    ELSE concat('CREATE ', CASE relpersistence WHEN 'u' THEN 'UNLOGGED ' END, 'TABLE ', name, ' (',
        (SELECT string_agg(concat(c, ' ', type, CASE attgenerated WHEN 's' THEN format(
            ' GENERATED ALWAYS AS (%s) STORED', value) END), ', ' ORDER BY attnum)
         FROM columns WHERE relation = o.oid AND (relispartition OR attislocal)), ')',
        CASE WHEN NOT relispartition THEN (SELECT format(' INHERITS (%s)', string_agg(
            inhparent::regclass::text, ', ' ORDER BY inhseqno)) FROM pg_inherits
            WHERE inhrelid = o.oid HAVING count(*) > 0) END,
        CASE relkind WHEN 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(oid) END) END,
    CASE relkind WHEN 'v' THEN 'DROP VIEW ' WHEN 'm' THEN 'DROP MATERIALIZED VIEW ' WHEN 'c' THEN
        'DROP TYPE ' ELSE 'DROP TABLE ' END || name
FROM options o WHERE relkind IN ('r', 'p', 'v', 'm', 'c')
UNION ALL
SELECT object, 'column ' || attname, CASE relkind
    WHEN 'c' THEN format('ALTER TYPE %s ADD ATTRIBUTE %s %s CASCADE', name, c, type)
    ELSE concat('ALTER TABLE ', name, ' ADD COLUMN ', c, ' ', type, CASE attgenerated WHEN 's' THEN
        format(' GENERATED ALWAYS AS (%s) STORED', value) END) END,
    CASE relkind WHEN 'c' THEN format('ALTER TYPE %s DROP ATTRIBUTE %s', name, c)
    ELSE format('ALTER TABLE %s DROP COLUMN %s', name, c) END
FROM columns WHERE relkind IN ('r', 'p', 'c')
UNION ALL
SELECT object, 'type ' || attname, format('ALTER TABLE %s ALTER COLUMN %s TYPE %s USING %s::%s',
    name, c, type, c, type), ''
FROM columns WHERE relkind IN ('r', 'p') AND attgenerated = ''
UNION ALL
SELECT object, 'default ' || attname, format('ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %s', name,
    c, value), format('ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT', name, c)
FROM columns WHERE value IS NOT NULL AND attgenerated = ''
UNION ALL
SELECT object, 'not null ' || attname, format('ALTER TABLE %s ALTER COLUMN %s SET NOT NULL', name,
    c), format('ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL', name, c)
FROM columns WHERE attnotnull AND relkind IN ('r', 'p')
UNION ALL
SELECT l.object, 'identity ' || l.attname, format('ALTER TABLE %s ALTER COLUMN %s ADD GENERATED %s '
    'AS IDENTITY (SEQUENCE NAME %s %s)', l.name, c, CASE attidentity WHEN 'a' THEN 'ALWAYS' ELSE
    'BY DEFAULT' END, s.name, substr(definition, strpos(definition, 'INCREMENT'))),
    format('ALTER TABLE %s ALTER COLUMN %s DROP IDENTITY', l.name, c)
FROM columns l JOIN sequences s ON s.internal AND s.owner = l.relation::regclass::text
    AND s.attname = l.attname WHERE attidentity <> ''
UNION ALL
SELECT object, 'storage ' || attname, format('ALTER TABLE %s ALTER COLUMN %s SET STORAGE %s', name,
    c, CASE attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN'
    ELSE 'EXTENDED' END), ''
FROM columns WHERE relkind IN ('r', 'p')
UNION ALL
SELECT object, format('option %s of %s', option_name, attname), format(
    'ALTER TABLE %s ALTER COLUMN %s SET (%I = %L)', name, c, option_name, option_value),
    format('ALTER TABLE %s ALTER COLUMN %s RESET (%I)', name, c, option_name)
FROM columns, pg_options_to_table(attoptions) WHERE relkind IN ('r', 'p')
UNION ALL
SELECT object, 'option ' || option_name, format('ALTER TABLE %s SET (%I = %L)', name, option_name,
    option_value), format('ALTER TABLE %s RESET (%I)', name, option_name)
FROM relations, pg_options_to_table(reloptions) WHERE relkind IN ('r', 'p', 'm')
UNION ALL
SELECT object, facet, make, '' FROM relations, LATERAL (VALUES
    ('logged', format('ALTER TABLE %s SET %s', name, CASE relpersistence WHEN 'u' THEN 'UNLOGGED'
        ELSE 'LOGGED' END)),
    ('row level security', format('ALTER TABLE %s %s ROW LEVEL SECURITY', name,
        CASE WHEN relrowsecurity THEN 'ENABLE' ELSE 'DISABLE' END)),
    ('row level security, forced', format('ALTER TABLE %s %s FORCE ROW LEVEL SECURITY', name,
        CASE WHEN relforcerowsecurity THEN '' ELSE 'NO' END))) f (facet, make)
WHERE relkind IN ('r', 'p')
UNION ALL
SELECT object, 'parent ' || inhparent::regclass, CASE WHEN relispartition THEN
        format('ALTER TABLE %s ATTACH PARTITION %s %s', inhparent::regclass, name,
            pg_get_expr(relpartbound, oid))
    ELSE format('ALTER TABLE %s INHERIT %s', name, inhparent::regclass) END,
    CASE WHEN relispartition THEN
        format('ALTER TABLE %s DETACH PARTITION %s', inhparent::regclass, name)
    ELSE format('ALTER TABLE %s NO INHERIT %s', name, inhparent::regclass) END
FROM relations JOIN pg_inherits ON inhrelid = oid WHERE relkind IN ('r', 'p')
UNION ALL
SELECT object, 'role', pg_get_userbyid(relowner), '' FROM relations WHERE relkind IN ('r', 'p', 'c')
UNION ALL
SELECT object, 'filled', 'REFRESH MATERIALIZED VIEW ' || name, '' FROM relations
WHERE relkind = 'm' AND relispopulated
UNION ALL
SELECT object, 'order', string_agg(c, ', ' ORDER BY attnum), '' FROM columns
WHERE relkind IN ('r', 'p') GROUP BY object
UNION ALL
SELECT object, 'set aside', format('ALTER TABLE %s RENAME TO antipode_set_aside', name),
    relnamespace::regnamespace || '.antipode_set_aside'
FROM relations r WHERE relkind = 'r' AND relpersistence = 'p'
    AND NOT EXISTS (SELECT FROM pg_inherits WHERE oid IN (inhrelid, inhparent))
UNION ALL
SELECT object, '', concat('CREATE ', CASE relpersistence WHEN 'u' THEN 'UNLOGGED ' END, 'SEQUENCE ',
    name, ' ', definition, '; SELECT setval(' || quote_literal(name) || ', ' || stands || ')'),
    'DROP SEQUENCE ' || name
FROM sequences WHERE NOT internal
UNION ALL
SELECT object, 'definition', format('ALTER SEQUENCE %s %s', name, definition), '' FROM sequences
UNION ALL
SELECT object, 'owned', format('ALTER SEQUENCE %s OWNED BY %s.%I', name, owner, attname),
    format('ALTER SEQUENCE %s OWNED BY NONE', name)
FROM sequences WHERE NOT internal AND owner IS NOT NULL
)sql";

constexpr const char* of_relations_sql = R"sql(
SELECT format('constraint %I on %s', conname, place), facet, make, drop
FROM pg_constraint c JOIN schemas s ON s.oid = connamespace, LATERAL (SELECT
    CASE WHEN conrelid <> 0 THEN conrelid::regclass::text ELSE contypid::regtype::text END AS place,
    CASE WHEN conrelid <> 0 THEN 'TABLE' ELSE 'DOMAIN' END AS word,
    CASE WHEN conrelid <> 0 THEN (SELECT relowner FROM pg_class WHERE oid = conrelid)
    ELSE (SELECT typowner FROM pg_type WHERE oid = contypid) END AS owner) p, LATERAL (VALUES
    ('', format('ALTER %s %s ADD CONSTRAINT %I %s', word, place, conname,
        pg_get_constraintdef(c.oid)),
     format('ALTER %s %s DROP CONSTRAINT %I', word, place, conname)),
    ('role', CASE WHEN contype IN ('c', 'f') THEN pg_get_userbyid(owner) END, ''))
    f (facet, make, drop)
WHERE contype <> 't' AND make IS NOT NULL AND (2606, c.oid) NOT IN (SELECT classid, objid FROM
    members) AND (conrelid = 0 OR conrelid IN (SELECT oid FROM relations))
UNION ALL
SELECT 'index ' || indexrelid::regclass, '', pg_get_indexdef(indexrelid) || CASE WHEN indisclustered
    THEN format('; ALTER TABLE %s CLUSTER ON %I', indrelid::regclass, i.relname) ELSE '' END,
    'DROP INDEX ' || indexrelid::regclass
FROM pg_index JOIN pg_class i ON i.oid = indexrelid
-- One of a partitioned table is valid only once it has those of all partitions.
WHERE indrelid IN (SELECT oid FROM relations) AND (indisvalid OR relkind = 'I')
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid
                  AND contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 'index ' || inhparent::regclass, 'of ' || inhrelid::regclass, format(
    'ALTER INDEX %s ATTACH PARTITION %s', inhparent::regclass, inhrelid::regclass), ''
FROM pg_inherits JOIN pg_index ON indexrelid = inhparent
WHERE indrelid IN (SELECT oid FROM relations)
UNION ALL
SELECT format('trigger %I on %s', tgname, tgrelid::regclass), facet, make, drop
FROM pg_trigger t, LATERAL (VALUES
    ('', pg_get_triggerdef(t.oid), format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass)),
    ('enabled', format('ALTER TABLE %s %s TRIGGER %I', tgrelid::regclass, CASE tgenabled
        WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS'
        ELSE 'ENABLE' END, tgname), '')) f (facet, make, drop)
WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM relations)
UNION ALL
SELECT format('rule %I on %s', rulename, ev_class::regclass), facet, make, drop
FROM pg_rewrite r, LATERAL (VALUES
    ('', pg_get_ruledef(r.oid), format('DROP RULE %I ON %s', rulename, ev_class::regclass)),
    ('enabled', format('ALTER TABLE %s %s RULE %I', ev_class::regclass, CASE ev_enabled
        WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS'
        ELSE 'ENABLE' END, rulename), '')) f (facet, make, drop)
WHERE rulename <> '_RETURN' AND ev_class IN (SELECT oid FROM relations)
UNION ALL
SELECT format('policy %I on %s', polname, polrelid::regclass), '', concat(
    format('CREATE POLICY %I ON %s AS %s FOR %s TO ', polname, polrelid::regclass,
        CASE WHEN polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
        CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
            WHEN 'd' THEN 'DELETE' ELSE 'ALL' END),
    (SELECT string_agg(CASE WHEN u.id = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(u.id)) END,
        ', ') FROM unnest(polroles) u(id)),
    ' USING (' || pg_get_expr(polqual, polrelid) || ')',
    ' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')'),
    format('DROP POLICY %I ON %s', polname, polrelid::regclass)
FROM pg_policy WHERE polrelid IN (SELECT oid FROM relations)
UNION ALL
SELECT format('statistics %I.%I', s.nspname, stxname), facet, make, drop
FROM pg_statistic_ext e JOIN schemas s ON s.oid = stxnamespace, LATERAL (VALUES
    ('', pg_get_statisticsobjdef(e.oid), format('DROP STATISTICS %I.%I', s.nspname, stxname)),
    ('target', format('ALTER STATISTICS %I.%I SET STATISTICS %s', s.nspname, stxname,
        stxstattarget), '')) f (facet, make, drop)
)sql";

constexpr const char* functions_and_types_sql = R"sql(
SELECT 'function ' || p.oid::regprocedure, '', pg_get_functiondef(p.oid),
    'DROP ROUTINE ' || p.oid::regprocedure
FROM pg_proc p JOIN schemas s ON s.oid = pronamespace
WHERE prokind <> 'a' AND (1255, p.oid) NOT IN (SELECT classid, objid FROM members)
UNION ALL
SELECT 'type ' || name, '', CASE typtype
    WHEN 'e' THEN format('CREATE TYPE %s AS ENUM (%s)', name, (SELECT string_agg(quote_literal(
        enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))
    WHEN 'd' THEN concat_ws(' ', 'CREATE DOMAIN', name, 'AS', format_type(typbasetype, typtypmod),
        CASE WHEN typcollation <> 0 THEN 'COLLATE ' || typcollation::regcollation::text END)
    ELSE (SELECT concat('CREATE TYPE ', name, ' AS RANGE (SUBTYPE = ', rngsubtype::regtype,
        ', COLLATION = ' || nullif(rngcollation, 0)::regcollation::text,
        ', SUBTYPE_DIFF = ' || nullif(rngsubdiff, 0)::regproc::text, ')')
        FROM pg_range WHERE rngtypid = t.oid) END,
    'DROP TYPE ' || name
FROM pg_type t JOIN schemas s ON s.oid = typnamespace, LATERAL (SELECT t.oid::regtype::text) n(name)
WHERE typtype IN ('e', 'd', 'r') AND (1247, t.oid) NOT IN (SELECT classid, objid FROM members)
UNION ALL
SELECT 'type ' || t.oid::regtype, facet, make, drop
FROM pg_type t JOIN schemas s ON s.oid = typnamespace, LATERAL (VALUES
    ('default', 'ALTER DOMAIN ' || t.oid::regtype || ' SET DEFAULT ' || typdefault,
     'ALTER DOMAIN ' || t.oid::regtype || ' DROP DEFAULT'),
    ('not null', CASE WHEN typnotnull THEN 'ALTER DOMAIN ' || t.oid::regtype || ' SET NOT NULL' END,
     'ALTER DOMAIN ' || t.oid::regtype || ' DROP NOT NULL')) f (facet, make, drop)
WHERE typtype = 'd' AND make IS NOT NULL
  AND (1247, t.oid) NOT IN (SELECT classid, objid FROM members)
UNION ALL
SELECT 'type ' || enumtypid::regtype, 'label ' || enumlabel, concat('ALTER TYPE ',
    enumtypid::regtype, ' ADD VALUE IF NOT EXISTS ', quote_literal(enumlabel),
    ' AFTER ' || quote_literal(lag(enumlabel) OVER labels), CASE WHEN lag(enumlabel) OVER labels
        IS NULL THEN ' BEFORE ' || quote_literal(lead(enumlabel) OVER labels) END), ''
FROM pg_enum JOIN pg_type t ON t.oid = enumtypid JOIN schemas s ON s.oid = typnamespace
WHERE (1247, t.oid) NOT IN (SELECT classid, objid FROM members)
WINDOW labels AS (PARTITION BY enumtypid ORDER BY enumsortorder)
)sql";

constexpr const char* rights_sql = R"sql(
, granted AS (
    SELECT i.type, i.identity, CASE r.class WHEN 'pg_namespace'::regclass THEN 'SCHEMA '
            WHEN 'pg_proc'::regclass THEN 'ROUTINE ' WHEN 'pg_type'::regclass THEN 'TYPE '
            ELSE CASE WHEN c.relkind = 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END END
        || coalesce(c.oid::regclass::text, i.identity) AS place,
        coalesce(' (' || quote_ident(attname) || ')', '') AS part, r.acl
    FROM rights r CROSS JOIN pg_identify_object(r.class, r.id, r.part) i
    LEFT JOIN pg_class c ON r.class = 'pg_class'::regclass AND c.oid = r.id
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = r.part AND r.part > 0
    WHERE (r.class, r.id) NOT IN (SELECT classid, objid FROM members)),
defaults AS (
    SELECT format('default rights of %I in %s for %s', pg_get_userbyid(defaclrole),
            coalesce(quote_ident(s.nspname), 'all schemas'), defaclobjtype) AS object,
        format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s ', pg_get_userbyid(defaclrole),
            ' IN SCHEMA ' || quote_ident(s.nspname)) AS change, s.oid IS NULL AS of_all,
        CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN
            'FUNCTIONS' WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END AS place, defaclacl AS acl
    FROM pg_default_acl LEFT JOIN schemas s ON s.oid = defaclnamespace
    WHERE defaclnamespace = 0 OR s.oid IS NOT NULL)
SELECT format('rights on %s %s', type, identity), '', (
    SELECT coalesce(string_agg(format('GRANT %s%s ON %s TO %s%s', privilege_type, part, place, CASE
        grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), '; '), 'SELECT')
    FROM aclexplode(acl)), (
    SELECT coalesce(string_agg(DISTINCT format('REVOKE ALL%s ON %s FROM %s', part, place, CASE
        grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END), '; '),
        'SELECT')
    FROM aclexplode(acl))
FROM granted
UNION ALL
SELECT object, '', (
    SELECT string_agg(format('%sGRANT %s ON %s TO %s%s', change, privilege_type, place, CASE grantee
        WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), '; ')
    FROM aclexplode(acl)), (
    SELECT string_agg(DISTINCT format('%sREVOKE ALL ON %s FROM %s', change, place, CASE grantee
        WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END), '; ')
    FROM aclexplode(acl))
FROM defaults
UNION ALL
SELECT format('owner of %s %s', i.type, i.identity), '', format('ALTER %s %s OWNER TO %I', i.type,
    i.identity, pg_get_userbyid(o.owner)), ''
FROM owners o, pg_identify_object(o.class, o.id, 0) i
WHERE (o.class, o.id) NOT IN (SELECT classid, objid FROM members)
UNION ALL
SELECT format('comment on %s %s', i.type, i.identity), '', format('COMMENT ON %s IS %L', place,
    d.description), format('COMMENT ON %s IS NULL', place)
FROM pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) i, LATERAL (
    SELECT CASE WHEN i.type LIKE '% column' THEN 'COLUMN ' || i.identity
        WHEN i.type = 'table constraint' THEN 'CONSTRAINT ' || i.identity
        WHEN i.type = 'domain constraint' THEN 'CONSTRAINT ' || (SELECT format('%I ON DOMAIN %s',
            conname, contypid::regtype) FROM pg_constraint WHERE oid = d.objoid)
        WHEN i.type = 'statistics object' THEN 'STATISTICS ' || i.identity
        ELSE i.type || ' ' || i.identity END AS place) p
WHERE (d.objoid >= 16384 OR d.classoid = 'pg_namespace'::regclass
       AND d.objoid IN (SELECT oid FROM schemas))
  AND d.classoid NOT IN ('pg_event_trigger'::regclass, 'pg_publication'::regclass,
                         'pg_subscription'::regclass, 'pg_largeobject'::regclass)
  AND i.schema IS DISTINCT FROM 'antipode'
  AND (d.classoid, d.objoid) NOT IN (SELECT classid, objid FROM members)
)sql";

}  // namespace

Recipes read_recipes(Connection& connection) {
    Recipes recipes;
    for (const char* const sql :
         {schemas_sql, relations_sql, of_relations_sql, functions_and_types_sql, rights_sql}) {
        const Rows rows = connection.query("reading how the structure is made",
                                           std::string(structure_catalog) + sql);
        for (int row = 0; row < rows.size(); ++row) {
            recipes[rows.string(row, 0)][rows.string(row, 1)] = {rows.string(row, 2),
                                                                 rows.string(row, 3)};
        }
    }
    return recipes;
}

}  // namespace antipode::postgres
