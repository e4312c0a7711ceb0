#include "secondary/registry_schema.hpp"

#include "base/limits.hpp"
#include "verify/sum_table.hpp"

namespace antipode::secondary {

const std::string& is_large_file() {
    static_assert(limits::inline_content_bytes == 0x40000, "the text says so");
    static const std::string condition =
        "digest_algorithm = 'blob-1' AND substr(digest, 33) > x'0000000000040000'";
    return condition;
}

const std::vector<std::string>& registry_migrations() {
    static const std::vector<std::string> migrations = {
        R"(
    CREATE TABLE lane (
        store TEXT PRIMARY KEY,
        epoch INTEGER NOT NULL, session INTEGER NOT NULL, number INTEGER NOT NULL,
        transaction_epoch INTEGER NOT NULL DEFAULT 0,
        transaction_session INTEGER NOT NULL DEFAULT 0,
        transaction_number INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE item (
        store TEXT NOT NULL,
        item BLOB NOT NULL,
        digest_algorithm TEXT NOT NULL,  -- '' = removed
        digest BLOB NOT NULL,
        epoch INTEGER NOT NULL, session INTEGER NOT NULL, number INTEGER NOT NULL,
        PRIMARY KEY (store, item)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE exception (
        store TEXT NOT NULL,
        item BLOB NOT NULL,
        kind INTEGER NOT NULL,
        failure INTEGER NOT NULL,
        reason TEXT NOT NULL,
        next_step TEXT NOT NULL,
        epoch INTEGER NOT NULL, session INTEGER NOT NULL, number INTEGER NOT NULL,
        -- of the newest failure: what comes before it does not mend the item
        last_epoch INTEGER NOT NULL, last_session INTEGER NOT NULL, last_number INTEGER NOT NULL,
        since_us INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        next_try_us INTEGER NOT NULL,
        mended_epoch INTEGER, mended_session INTEGER, mended_number INTEGER,
        PRIMARY KEY (store, item)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX exception_by_next_try ON exception (next_try_us);
    CREATE INDEX exception_by_position ON exception (epoch, session, number);
    CREATE TABLE gap (
        store TEXT PRIMARY KEY,
        epoch INTEGER NOT NULL, session INTEGER NOT NULL, number INTEGER NOT NULL,
        since_us INTEGER NOT NULL,
        passed INTEGER NOT NULL DEFAULT 0,
        rows_wait INTEGER NOT NULL DEFAULT 1,
        rows_epoch INTEGER NOT NULL, rows_session INTEGER NOT NULL, rows_number INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
)",
        R"(
    -- 0: asked for; 1: never
    ALTER TABLE item ADD COLUMN looked_us INTEGER NOT NULL DEFAULT 1;
    CREATE INDEX item_by_look ON item (store, looked_us) WHERE digest_algorithm <> '';
)",
        R"(
    -- How many exist is asked twice a second: counting a million would keep the processor busy.
    CREATE TABLE item_count (store TEXT PRIMARY KEY, items INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO item_count
        SELECT store, count(*) FROM item WHERE digest_algorithm <> '' GROUP BY store;
    CREATE TRIGGER item_comes AFTER INSERT ON item WHEN new.digest_algorithm <> '' BEGIN
        INSERT INTO item_count VALUES (new.store, 1)
            ON CONFLICT (store) DO UPDATE SET items = items + 1;
    END;
    CREATE TRIGGER item_changes AFTER UPDATE OF digest_algorithm ON item
    WHEN (old.digest_algorithm <> '') <> (new.digest_algorithm <> '') BEGIN
        INSERT INTO item_count VALUES (new.store, iif(new.digest_algorithm <> '', 1, -1))
            ON CONFLICT (store) DO UPDATE SET items = items + excluded.items;
    END;
    CREATE TRIGGER item_goes AFTER DELETE ON item WHEN old.digest_algorithm <> '' BEGIN
        UPDATE item_count SET items = items - 1 WHERE store = old.store;
    END;
)",
        "CREATE INDEX item_by_content ON item (store, digest) "
        "WHERE " +
            is_large_file(),
        R"(
    -- 0: not known
    ALTER TABLE item ADD COLUMN applied_us INTEGER NOT NULL DEFAULT 0;
)",
        verify::SumTable::migration("item"),
        R"(
    -- An item that fails, is right, and fails again has a row for each time: the first ends when
    -- rows have passed what mended it, however often it fails behind.
    CREATE TABLE exceptions (
        store TEXT NOT NULL,
        item BLOB NOT NULL,
        past INTEGER NOT NULL DEFAULT 0,  -- 0: is wrong now; 1, 2, ...: was, in this order
        kind INTEGER NOT NULL,
        failure INTEGER NOT NULL,
        reason TEXT NOT NULL,
        next_step TEXT NOT NULL,
        epoch INTEGER NOT NULL, session INTEGER NOT NULL, number INTEGER NOT NULL,
        last_epoch INTEGER NOT NULL, last_session INTEGER NOT NULL, last_number INTEGER NOT NULL,
        since_us INTEGER NOT NULL,
        tries INTEGER NOT NULL,
        next_try_us INTEGER NOT NULL,
        mended_epoch INTEGER, mended_session INTEGER, mended_number INTEGER,
        PRIMARY KEY (store, item, past)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO exceptions
        SELECT store, item, kind = 2, kind, failure, reason,
            next_step, epoch, session, number, last_epoch, last_session, last_number, since_us,
            tries, next_try_us, mended_epoch, mended_session, mended_number
        FROM exception;
    DROP TABLE exception;
    ALTER TABLE exceptions RENAME TO exception;
    CREATE INDEX exception_by_next_try ON exception (next_try_us);
    CREATE INDEX exception_by_position ON exception (epoch, session, number);
)",
        R"(
    -- Of files and directories, as they were applied; NULL: not known, or not mirrored.
    ALTER TABLE item ADD COLUMN mode INTEGER;
    ALTER TABLE item ADD COLUMN mtime_s INTEGER;
)",
        R"(
    -- When it was applied on another site's word, until it was read here; 0: it is proven.
    ALTER TABLE item ADD COLUMN unproven_us INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX item_unproven ON item (store, unproven_us) WHERE unproven_us <> 0;
)",
        R"(
    -- How often within a day an item was found not to be as it should.
    CREATE TABLE found (
        store TEXT NOT NULL, item BLOB NOT NULL, times INTEGER NOT NULL,
        first_us INTEGER NOT NULL, last_us INTEGER NOT NULL, PRIMARY KEY (store, item)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX found_by_time ON found (last_us);
    CREATE INDEX found_by_times ON found (store, times);
)",
        R"(
    -- Rows were let pass since it opened, also before it grew.
    ALTER TABLE gap ADD COLUMN rows_came INTEGER NOT NULL DEFAULT 0;
)"};
    return migrations;
}

}  // namespace antipode::secondary
