/* The migrations: see migrate.h. Ids are BLOBs of 16 bytes, times milliseconds since 1970, JSON is
 * TEXT. What is queried, referenced or checked has a column; the rest lies in 'spec', 'args',
 * 'data'.
 *
 * The lists in CHECKs are the words of core/model/state.h and of the port; tests/store/words.c
 * holds them together. No foreign key is deferred: see store/txn.c. */
#include "store/migrate.h"

#include "core/base/cleanup.h"

static const char first[] =
    "CREATE TABLE daemon ("
    "    one   INTEGER PRIMARY KEY CHECK (one = 1),"
    "    epoch INTEGER NOT NULL CHECK (epoch BETWEEN 0 AND 4294967295)"
    ") STRICT;"
    "INSERT INTO daemon (one, epoch) VALUES (1, 0);"

    "CREATE TABLE vm ("
    "    id             BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    name           TEXT NOT NULL,"
    "    spec           TEXT NOT NULL CHECK (json_valid(spec)),"
    "    active         TEXT CHECK (active IS NULL OR json_valid(active)),"
    "    phase          TEXT NOT NULL CHECK (phase IN ('creating', 'defined', 'deleting')),"
    "    run            TEXT NOT NULL CHECK (run IN ('off', 'starting', 'running', 'paused',"
    "                       'stopping', 'saved', 'crashed', 'unknown')),"
    "    reason         TEXT NOT NULL CHECK (reason IN ('', 'user', 'io-error', 'no-space',"
    "                       'guest-panic', 'migration', 'debug', 'guest-shutdown', 'start-failed',"
    "                       'start-timeout', 'worker-lost', 'signal', 'seccomp', 'exit', 'oom',"
    "                       'host-reset')),"
    "    desired        TEXT NOT NULL CHECK (desired IN ('off', 'running', 'paused', 'saved')),"
    "    detail         TEXT,"
    "    slot           INTEGER CHECK (slot BETWEEN 0 AND 4294967294),"
    "    revision       INTEGER NOT NULL,"
    "    state_revision INTEGER NOT NULL,"
    "    created_ms     INTEGER NOT NULL,"
    "    updated_ms     INTEGER NOT NULL,"
    "    state_since_ms INTEGER NOT NULL"
    ") STRICT;"
    /* A VM that is being deleted has given its name away. */
    "CREATE UNIQUE INDEX vm_name ON vm (name) WHERE phase <> 'deleting';"
    "CREATE UNIQUE INDEX vm_slot ON vm (slot) WHERE slot IS NOT NULL;"

    "CREATE TABLE pool ("
    "    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    name       TEXT NOT NULL UNIQUE,"
    "    root       TEXT NOT NULL,"
    "    created_ms INTEGER NOT NULL"
    ") STRICT;"

    "CREATE TABLE job ("
    "    id           BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    kind         TEXT NOT NULL,"
    "    object_type  TEXT,"
    "    object       BLOB CHECK (length(object) = 16)," /* outlives what it names: no reference */
    "    object_name  TEXT,"
    "    principal    TEXT,"
    "    request_id   TEXT,"
    "    args         TEXT CHECK (args IS NULL OR json_valid(args)),"
    "    state        TEXT NOT NULL CHECK (state IN ('queued', 'running', 'cancelling', "
    "'succeeded',"
    "                     'failed', 'cancelled', 'interrupted')),"
    "    step         TEXT,"
    "    result       TEXT CHECK (result IS NULL OR json_valid(result)),"
    "    error_code   TEXT,"
    "    error_field  TEXT,"
    "    error_detail TEXT,"
    "    done         INTEGER NOT NULL CHECK (done >= 0),"
    "    total        INTEGER NOT NULL CHECK (total >= 0),"
    "    created_ms   INTEGER NOT NULL,"
    "    started_ms   INTEGER NOT NULL,"
    "    ended_ms     INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX job_newest ON job (created_ms, id);"
    "CREATE INDEX job_object ON job (object, created_ms, id);"
    "CREATE INDEX job_open ON job (created_ms, id)"
    "    WHERE state NOT IN ('succeeded', 'failed', 'cancelled');"

    "CREATE TABLE file ("
    "    id    BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    pool  BLOB NOT NULL REFERENCES pool (id),"
    "    name  TEXT NOT NULL,"
    "    role  TEXT NOT NULL CHECK (role IN ('disk')),"
    "    state TEXT NOT NULL CHECK (state IN ('creating', 'live', 'trash')),"
    "    vm    BLOB REFERENCES vm (id),"
    "    job   BLOB REFERENCES job (id),"
    "    UNIQUE (pool, name)"
    ") STRICT;"
    "CREATE INDEX file_vm ON file (vm) WHERE vm IS NOT NULL;"
    "CREATE INDEX file_job ON file (job) WHERE job IS NOT NULL;"

    "CREATE TABLE disk ("
    "    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    vm         BLOB REFERENCES vm (id),"
    "    pool       BLOB NOT NULL REFERENCES pool (id),"
    "    position   INTEGER NOT NULL CHECK (position BETWEEN 0 AND 4294967295),"
    "    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),"
    "    format     TEXT NOT NULL CHECK (format IN ('qcow2', 'raw')),"
    "    bus        TEXT NOT NULL CHECK (bus IN ('virtio', 'scsi', 'ide')),"
    "    created_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE INDEX disk_vm ON disk (vm, position);"
    "CREATE INDEX disk_pool ON disk (pool);"

    /* Level 0 is the leaf. A base may lie in several chains. */
    "CREATE TABLE disk_chain ("
    "    disk  BLOB NOT NULL REFERENCES disk (id) ON DELETE CASCADE,"
    "    level INTEGER NOT NULL CHECK (level >= 0),"
    "    file  BLOB NOT NULL REFERENCES file (id),"
    "    PRIMARY KEY (disk, level)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX disk_chain_file ON disk_chain (file);"

    /* AUTOINCREMENT: a number is never given twice, even when the newest events were trimmed; and
     * its counter is rolled back with the transaction, so there are no gaps. */
    "CREATE TABLE event ("
    "    seq         INTEGER PRIMARY KEY AUTOINCREMENT,"
    "    at_ms       INTEGER NOT NULL,"
    "    type        TEXT NOT NULL,"
    "    object_type TEXT,"
    "    object      BLOB CHECK (length(object) = 16),"
    "    data        TEXT NOT NULL CHECK (json_valid(data))"
    ") STRICT;"

    "CREATE TABLE token ("
    "    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    name       TEXT NOT NULL UNIQUE,"
    "    role       TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'admin')),"
    "    sha256     BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),"
    "    created_ms INTEGER NOT NULL,"
    "    expires_ms INTEGER NOT NULL,"
    "    created_by TEXT"
    ") STRICT;"

    "CREATE TABLE idem ("
    "    principal   TEXT NOT NULL,"
    "    key         TEXT NOT NULL,"
    "    route       TEXT NOT NULL,"
    "    body_sha256 BLOB NOT NULL CHECK (length(body_sha256) = 32),"
    "    object_type TEXT NOT NULL,"
    "    object      BLOB CHECK (length(object) = 16),"
    "    created_ms  INTEGER NOT NULL,"
    "    PRIMARY KEY (principal, key)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX idem_age ON idem (created_ms);";

/* Why a VM is in its state has more words with every release: the code alone knows them from here
 * on. */
static const char open_reasons[] =
    "CREATE TABLE vm_new ("
    "    id             BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    name           TEXT NOT NULL,"
    "    spec           TEXT NOT NULL CHECK (json_valid(spec)),"
    "    active         TEXT CHECK (active IS NULL OR json_valid(active)),"
    "    phase          TEXT NOT NULL CHECK (phase IN ('creating', 'defined', 'deleting')),"
    "    run            TEXT NOT NULL CHECK (run IN ('off', 'starting', 'running', 'paused',"
    "                       'stopping', 'saved', 'crashed', 'unknown')),"
    "    reason         TEXT NOT NULL CHECK (reason NOT GLOB '*[^a-z-]*'),"
    "    desired        TEXT NOT NULL CHECK (desired IN ('off', 'running', 'paused', 'saved')),"
    "    detail         TEXT,"
    "    slot           INTEGER CHECK (slot BETWEEN 0 AND 4294967294),"
    "    revision       INTEGER NOT NULL,"
    "    state_revision INTEGER NOT NULL,"
    "    created_ms     INTEGER NOT NULL,"
    "    updated_ms     INTEGER NOT NULL,"
    "    state_since_ms INTEGER NOT NULL"
    ") STRICT;"
    "INSERT INTO vm_new SELECT id, name, spec, active, phase, run, reason, desired, detail, slot,"
    "    revision, state_revision, created_ms, updated_ms, state_since_ms FROM vm;"
    "DROP TABLE vm;"
    "ALTER TABLE vm_new RENAME TO vm;"
    "CREATE UNIQUE INDEX vm_name ON vm (name) WHERE phase <> 'deleting';"
    "CREATE UNIQUE INDEX vm_slot ON vm (slot) WHERE slot IS NOT NULL;";

/* When a VM was started again by its policy, and when it is next. */
static const char vm_restarts[] =
    "ALTER TABLE vm ADD COLUMN restarts TEXT CHECK (restarts IS NULL OR json_valid(restarts));";

/* 'types' is a list with commas, "" for all. No reference to events: they are trimmed. */
static const char webhooks[] = "CREATE TABLE webhook ("
                               "    id           BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
                               "    name         TEXT NOT NULL UNIQUE,"
                               "    url          TEXT NOT NULL,"
                               "    types        TEXT NOT NULL,"
                               "    secret       TEXT NOT NULL,"
                               "    enabled      INTEGER NOT NULL CHECK (enabled IN (0, 1)),"
                               "    disabled_why TEXT,"
                               "    position     INTEGER NOT NULL CHECK (position >= 0),"
                               "    attempts     INTEGER NOT NULL CHECK (attempts >= 0),"
                               "    failing_ms   INTEGER NOT NULL,"
                               "    recent       TEXT NOT NULL CHECK (json_valid(recent)),"
                               "    created_ms   INTEGER NOT NULL,"
                               "    created_by   TEXT"
                               ") STRICT;";

/* What a request made that is more than one object: its repetition shows it again. */
static const char idem_note[] =
    "ALTER TABLE idem ADD COLUMN note TEXT CHECK (note IS NULL OR json_valid(note));";

/* A chain was a list of files for each disk. With branches many lists would say the same, and
 * could say different things: a file knows its parent now, and a disk its leaf. */
static const char parents[] =
    "CREATE TABLE file_new ("
    "    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    pool       BLOB NOT NULL REFERENCES pool (id),"
    "    name       TEXT NOT NULL,"
    "    role       TEXT NOT NULL CHECK (role IN ('disk')),"
    "    state      TEXT NOT NULL CHECK (state IN ('creating', 'live', 'trash')),"
    "    format     TEXT NOT NULL CHECK (format IN ('qcow2', 'raw')),"
    "    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),"
    "    parent     BLOB REFERENCES file (id) CHECK (parent <> id),"
    "    vm         BLOB REFERENCES vm (id),"
    "    job        BLOB REFERENCES job (id),"
    "    UNIQUE (pool, name)"
    ") STRICT;"
    "INSERT INTO file_new SELECT f.id, f.pool, f.name, f.role, f.state,"
    "    coalesce(d.format, 'qcow2'), coalesce(d.size_bytes, 0),"
    "    (SELECT p.file FROM disk_chain p WHERE p.disk = c.disk AND p.level = c.level + 1),"
    "    f.vm, f.job"
    "    FROM file f LEFT JOIN disk_chain c ON c.file = f.id LEFT JOIN disk d ON d.id = c.disk"
    "    GROUP BY f.id;"
    "CREATE TABLE disk_new ("
    "    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    vm         BLOB REFERENCES vm (id),"
    "    pool       BLOB NOT NULL REFERENCES pool (id),"
    "    position   INTEGER NOT NULL CHECK (position BETWEEN 0 AND 4294967295),"
    "    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),"
    "    format     TEXT NOT NULL CHECK (format IN ('qcow2', 'raw')),"
    "    bus        TEXT NOT NULL CHECK (bus IN ('virtio', 'scsi', 'ide')),"
    "    leaf       BLOB NOT NULL REFERENCES file (id),"
    "    created_ms INTEGER NOT NULL"
    ") STRICT;"
    "INSERT INTO disk_new SELECT d.id, d.vm, d.pool, d.position, d.size_bytes, d.format, d.bus,"
    "    c.file, d.created_ms FROM disk d JOIN disk_chain c ON c.disk = d.id AND c.level = 0;"
    "DROP TABLE disk_chain;"
    "DROP TABLE disk;"
    "DROP TABLE file;"
    "ALTER TABLE file_new RENAME TO file;"
    "ALTER TABLE disk_new RENAME TO disk;"
    "CREATE INDEX file_vm ON file (vm) WHERE vm IS NOT NULL;"
    "CREATE INDEX file_job ON file (job) WHERE job IS NOT NULL;"
    "CREATE INDEX file_parent ON file (parent) WHERE parent IS NOT NULL;"
    "CREATE INDEX disk_vm ON disk (vm, position);"
    "CREATE INDEX disk_pool ON disk (pool);"
    "CREATE INDEX disk_leaf ON disk (leaf);";

static const char templates[] = "CREATE TABLE template ("
                                "    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
                                "    name       TEXT NOT NULL UNIQUE,"
                                "    content    TEXT NOT NULL CHECK (json_valid(content)),"
                                "    revision   INTEGER NOT NULL CHECK (revision > 0),"
                                "    created_ms INTEGER NOT NULL,"
                                "    updated_ms INTEGER NOT NULL,"
                                "    created_by TEXT"
                                ") STRICT;";

/* The tree of snapshots. What a VM stands on has no reference: a VM is there before its snapshots
 * and goes after them. */
static const char snapshots[] =
    "CREATE TABLE snapshot ("
    "    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    vm         BLOB NOT NULL REFERENCES vm (id),"
    "    name       TEXT NOT NULL,"
    "    notes      TEXT NOT NULL,"
    "    parent     BLOB REFERENCES snapshot (id) CHECK (parent <> id),"
    "    level      TEXT NOT NULL CHECK (level IN ('disk')),"
    "    spec       TEXT NOT NULL CHECK (json_valid(spec)),"
    "    created_ms INTEGER NOT NULL,"
    "    UNIQUE (vm, name)"
    ") STRICT;"
    "CREATE INDEX snapshot_parent ON snapshot (parent) WHERE parent IS NOT NULL;"
    "CREATE TABLE snapshot_disk ("
    "    snapshot BLOB NOT NULL REFERENCES snapshot (id) ON DELETE CASCADE,"
    "    disk     BLOB NOT NULL REFERENCES disk (id),"
    "    file     BLOB NOT NULL REFERENCES file (id),"
    "    PRIMARY KEY (snapshot, disk)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX snapshot_disk_disk ON snapshot_disk (disk);"
    "CREATE INDEX snapshot_disk_file ON snapshot_disk (file);"
    "ALTER TABLE vm ADD COLUMN stands_on BLOB;";

const char *const migrations[] = {first,     open_reasons, vm_restarts, webhooks,
                                  idem_note, parents,      templates,   snapshots};
const unsigned n_migrations = ARRAY_LEN(migrations);
