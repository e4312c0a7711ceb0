#pragma once

#include <algorithm>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "adapters/postgres/structure.hpp"
#include "secondary/database/structure_check.hpp"
#include "tests/support/database_meanwhile.hpp"

namespace antipode::test {

inline constexpr const char* structure_of_every_kind = R"sql(
    CREATE ROLE reader; CREATE ROLE writer;
    CREATE EXTENSION hstore; CREATE SCHEMA "Odd schema"; COMMENT ON SCHEMA "Odd schema" IS 'odd';
    CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE TYPE span AS RANGE (SUBTYPE = float8);
    CREATE SEQUENCE counter INCREMENT 5;
    CREATE TABLE items (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL
        DEFAULT 'x', m mood, p positive, twice int GENERATED ALWAYS AS (p * 2) STORED,
        h hstore, parent bigint REFERENCES items, UNIQUE (name, m));
    COMMENT ON COLUMN items.name IS 'its name'; GRANT SELECT ON items TO reader;
    CREATE INDEX by_name ON items (lower(name)) WHERE p > 1;
    CREATE STATISTICS of_items ON name, p FROM items;
    CREATE TABLE "Odd schema"."Täble" (serial serial, "a b" int DEFAULT nextval('counter'));
    CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
    CREATE TABLE parts_0 PARTITION OF parts FOR VALUES FROM (0) TO (10);
    CREATE INDEX of_parts ON parts (id DESC); CREATE TABLE child (more int) INHERITS (items);
    CREATE VIEW named AS SELECT id, name FROM items;
    CREATE RULE no_delete AS ON DELETE TO named DO INSTEAD NOTHING;
    CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM items;
    CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql AS 'SELECT i * 2';
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int);
    CREATE OPERATOR ~~~ (LEFTARG = int, RIGHTARG = int, FUNCTION = int4pl);
    CREATE TRIGGER noted BEFORE UPDATE ON items FOR EACH ROW EXECUTE FUNCTION note();
    ALTER TABLE items ENABLE ROW LEVEL SECURITY;
    CREATE POLICY own ON items FOR SELECT TO reader USING (p > 0);
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader;
)sql";

/// The structure of both sites; pg_dump is the judge.
class DatabaseStructure : public DatabaseMeanwhile {
  protected:
    static std::string schema_of(const PostgresServer& server) {
        std::string kept;
        std::istringstream lines(server.dump("app", {"--schema-only", "--exclude-schema=antipode",
                                                     "--no-publications", "--restrict-key=x"}));
        for (std::string line; std::getline(lines, line);) {
            // A server's own.
            const bool own = line.find("REPLICA IDENTITY") != std::string::npos;
            kept += line.empty() || line.starts_with("--") || own ? "" : line + "\n";
        }
        return kept;
    }
    /// The lines of one side's pg_dump that the other's lacks.
    std::string dumps_differ() const {
        const auto lines = [](const std::string& text) {
            std::multiset<std::string> all;
            std::istringstream in(text);
            for (std::string line; std::getline(in, line);) {
                all.insert(line);
            }
            return all;
        };
        const auto a = lines(schema_of(a_));
        const auto b = lines(schema_of(b_));
        std::vector<std::string> only;
        std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(),
                                      std::back_inserter(only));
        std::string text;
        for (const std::string& line : only) {
            text += line + "\n";
        }
        return text;
    }
    static Structure read(const PostgresServer& server) {
        postgres::Connection connection(server.url("app"), "test");
        return postgres::read_structure(connection);
    }
    std::vector<std::string> differing() const {
        std::vector<std::string> objects;
        for (const auto& one : secondary::compare_structures(read(a_), read(b_))) {
            objects.push_back(one.object);
        }
        return objects;
    }
    secondary::StructureReport check() {
        return meanwhile([&] {
            DirectBulk bulk(primary_->bulk);
            secondary::StructureCheck checking({.store = store}, bulk, secondary_->reader,
                                               secondary_->barriers);
            return checking.run(stop_.get_token());
        });
    }
};

}  // namespace antipode::test
