#include "adapters/postgres/structure.hpp"

#include "adapters/postgres/structure_catalog.hpp"

namespace antipode::postgres {
namespace {

/// Rights are compared whoever granted them, in the order of their names.
constexpr const char* structure_sql = R"sql(
SELECT 'schema ' || quote_ident(nspname), '' FROM schemas
UNION ALL
SELECT 'extension ' || quote_ident(extname), format('schema %I version %s', n.nspname, extversion)
FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace
UNION ALL
SELECT object,
    concat_ws(E'\n', 'kind ' || relkind::text || ' ' || relpersistence::text,
        'options ' || array_to_string(reloptions, ', '),
        CASE WHEN relrowsecurity THEN 'row level security' END,
        CASE WHEN relforcerowsecurity THEN 'forced row level security' END,
        CASE relkind WHEN 'p' THEN 'partitioned by ' || pg_get_partkeydef(oid) END,
        'partition ' || pg_get_expr(relpartbound, oid),
        (SELECT string_agg('inherits ' || i.inhparent::regclass::text, E'\n' ORDER BY i.inhseqno)
         FROM pg_inherits i WHERE i.inhrelid = r.oid),
        CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END,
        (SELECT format('as %s start %s increment %s from %s to %s cache %s%s', format_type(seqtypid,
             NULL), seqstart, seqincrement, seqmin, seqmax, seqcache,
             CASE WHEN seqcycle THEN ' cycle' END) FROM pg_sequence WHERE seqrelid = r.oid),
        (SELECT string_agg(format('owned by %s.%I', d.refobjid::regclass, a.attname), ' ')
         FROM pg_depend d JOIN pg_attribute a
           ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
         WHERE r.relkind = 'S' AND d.classid = 1259 AND d.objid = r.oid AND d.refclassid = 1259
           AND d.deptype IN ('a', 'i')),
        CASE WHEN relkind <> 'S' THEN (
         SELECT string_agg(concat_ws(' ', quote_ident(attname), format_type(atttypid, atttypmod),
             CASE WHEN attcollation <> t.typcollation
                 THEN 'collate ' || attcollation::regcollation::text
             END, CASE WHEN attnotnull THEN 'not null' END,
             'identity ' || nullif(attidentity::text, ''),
             'generated ' || nullif(attgenerated::text, ''),
             'default ' || pg_get_expr(adbin, adrelid),
             CASE WHEN attstorage <> t.typstorage THEN 'storage ' || attstorage::text END,
             'options ' || array_to_string(attoptions, ', ')), E'\n' ORDER BY attnum)
         FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid
         LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
         WHERE attrelid = r.oid AND attnum > 0 AND NOT attisdropped) END)
FROM relations r
UNION ALL
SELECT format('constraint %I on %s', conname, CASE WHEN conrelid <> 0 THEN conrelid::regclass::text
        ELSE contypid::regtype::text END), pg_get_constraintdef(c.oid)
FROM pg_constraint c JOIN schemas s ON s.oid = connamespace
WHERE contype <> 't' AND (2606, c.oid) NOT IN (SELECT classid, objid FROM members)
  AND (conrelid = 0 OR conrelid IN (SELECT oid FROM relations))
UNION ALL
SELECT 'index ' || indexrelid::regclass::text, concat_ws(' ', pg_get_indexdef(indexrelid),
    CASE WHEN indisclustered THEN 'clustered' END)
FROM pg_index i WHERE indrelid IN (SELECT oid FROM relations) AND indisvalid
UNION ALL
SELECT 'function ' || p.oid::regprocedure::text, CASE prokind WHEN 'a' THEN (
        SELECT concat_ws(' ', aggkind, aggtransfn, aggfinalfn, aggcombinefn, aggtranstype::regtype,
            agginitval, aggmtransfn, aggsortop::regoperator)
        FROM pg_aggregate WHERE aggfnoid = p.oid)
    ELSE pg_get_functiondef(p.oid) END
FROM pg_proc p JOIN schemas s ON s.oid = pronamespace
WHERE (1255, p.oid) NOT IN (SELECT classid, objid FROM members)
UNION ALL
SELECT format('trigger %I on %s', tgname, tgrelid::regclass),
    pg_get_triggerdef(oid) || ' enabled ' || tgenabled::text
FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN (SELECT oid FROM relations)
UNION ALL
SELECT format('rule %I on %s', rulename, ev_class::regclass),
    pg_get_ruledef(oid) || ' enabled ' || ev_enabled::text
FROM pg_rewrite WHERE rulename <> '_RETURN' AND ev_class IN (SELECT oid FROM relations)
UNION ALL
SELECT format('policy %I on %s', polname, polrelid::regclass),
    concat_ws(' ', CASE WHEN polpermissive THEN 'permissive' ELSE 'restrictive' END, polcmd,
        (SELECT string_agg(coalesce(rolname, 'public'), ', ' ORDER BY rolname)
         FROM unnest(polroles) u(id) LEFT JOIN pg_roles ON oid = u.id),
        'using ' || pg_get_expr(polqual, polrelid),
        'with check ' || pg_get_expr(polwithcheck, polrelid))
FROM pg_policy WHERE polrelid IN (SELECT oid FROM relations)
UNION ALL
SELECT 'type ' || t.oid::regtype::text, CASE typtype
    WHEN 'e' THEN 'enum ' || (SELECT coalesce(string_agg(quote_literal(enumlabel), ', '
                               ORDER BY enumsortorder), '') FROM pg_enum WHERE enumtypid = t.oid)
    WHEN 'd' THEN concat_ws(' ', 'domain', format_type(typbasetype, typtypmod),
        CASE WHEN typcollation <> 0 THEN 'collate ' || typcollation::regcollation::text END,
        CASE WHEN typnotnull THEN 'not null' END, 'default ' || typdefault)
    WHEN 'r' THEN (SELECT concat_ws(' ', 'range of', rngsubtype::regtype,
        rngcollation::regcollation, rngcanonical, rngsubdiff) FROM pg_range WHERE rngtypid = t.oid)
    ELSE concat_ws(' ', typinput, typoutput, typlen, typalign, typstorage) END
FROM pg_type t JOIN schemas s ON s.oid = typnamespace
WHERE (typtype IN ('e', 'd', 'r') OR typtype = 'b' AND typelem = 0)
  AND (1247, t.oid) NOT IN (SELECT classid, objid FROM members)
UNION ALL
SELECT format('statistics %I.%I', s.nspname, stxname), concat_ws(' ',
    pg_get_statisticsobjdef(e.oid), stxstattarget)
FROM pg_statistic_ext e JOIN schemas s ON s.oid = stxnamespace
UNION ALL
SELECT i.type || ' ' || i.identity, ''
FROM others o, pg_identify_object(o.class, o.id, 0) i
WHERE o.id >= 16384 AND (o.class, o.id) NOT IN (SELECT classid, objid FROM members)
  AND i.schema IS DISTINCT FROM 'antipode'
UNION ALL
SELECT format('owner of %s %s', i.type, i.identity), pg_get_userbyid(o.owner)
FROM owners o, pg_identify_object(o.class, o.id, 0) i
WHERE (o.class, o.id) NOT IN (SELECT classid, objid FROM members)
UNION ALL
SELECT format('rights on %s %s', i.type, i.identity), coalesce((
    SELECT string_agg(concat_ws(' ', CASE a.grantee WHEN 0 THEN 'PUBLIC'
            ELSE quote_ident(pg_get_userbyid(a.grantee)) END, a.privilege_type,
            CASE WHEN a.is_grantable THEN 'grantable' END), ', '
        ORDER BY pg_get_userbyid(a.grantee), a.privilege_type, a.is_grantable)
    FROM aclexplode(r.acl) a), '')
FROM rights r, pg_identify_object(r.class, r.id, r.part) i
WHERE (r.class, r.id) NOT IN (SELECT classid, objid FROM members)
UNION ALL
SELECT format('default rights of %I in %s for %s', pg_get_userbyid(defaclrole),
        coalesce(quote_ident(s.nspname), 'all schemas'), defaclobjtype), coalesce((
    SELECT string_agg(concat_ws(' ', CASE a.grantee WHEN 0 THEN 'PUBLIC'
            ELSE quote_ident(pg_get_userbyid(a.grantee)) END, a.privilege_type,
            CASE WHEN a.is_grantable THEN 'grantable' END), ', '
        ORDER BY pg_get_userbyid(a.grantee), a.privilege_type, a.is_grantable)
    FROM aclexplode(defaclacl) a), '')
FROM pg_default_acl LEFT JOIN schemas s ON s.oid = defaclnamespace
WHERE defaclnamespace = 0 OR s.oid IS NOT NULL
UNION ALL
SELECT format('comment on %s %s', i.type, i.identity), d.description
FROM pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) i
WHERE (d.objoid >= 16384 OR d.classoid = 'pg_namespace'::regclass
       AND d.objoid IN (SELECT oid FROM schemas))
  AND d.classoid NOT IN ('pg_event_trigger'::regclass, 'pg_publication'::regclass,
                         'pg_subscription'::regclass, 'pg_largeobject'::regclass)
  AND i.schema IS DISTINCT FROM 'antipode'
  AND NOT (i.type = 'schema' AND i.identity = 'antipode')
  AND (d.classoid, d.objoid) NOT IN (SELECT classid, objid FROM members)
)sql";

}  // namespace

Structure read_structure(Connection& connection) {
    const Rows rows =
        connection.query("reading the structure", std::string(structure_catalog) + structure_sql);
    Structure structure = {
        {structure_server, "PostgreSQL " + std::to_string(connection.server_version() / 10'000)}};
    for (int row = 0; row < rows.size(); ++row) {
        structure[rows.string(row, 0)] = rows.string(row, 1);
    }
    return structure;
}

}  // namespace antipode::postgres
