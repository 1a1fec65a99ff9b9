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

/* Formats and buses have more words with every release: the code alone knows them from here on. A
 * disk may go while snapshots have files of it, so what they say of it stands alone. */
static const char open_disks[] =
    "CREATE TABLE file_new ("
    "    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    pool       BLOB NOT NULL REFERENCES pool (id),"
    "    name       TEXT NOT NULL,"
    "    role       TEXT NOT NULL CHECK (role IN ('disk')),"
    "    state      TEXT NOT NULL CHECK (state IN ('creating', 'live', 'trash')),"
    "    format     TEXT NOT NULL CHECK (format <> '' AND format NOT GLOB '*[^a-z0-9-]*'),"
    "    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),"
    "    parent     BLOB REFERENCES file (id) CHECK (parent <> id),"
    "    vm         BLOB REFERENCES vm (id),"
    "    job        BLOB REFERENCES job (id),"
    "    UNIQUE (pool, name)"
    ") STRICT;"
    "INSERT INTO file_new SELECT id, pool, name, role, state, format, size_bytes, parent, vm, job"
    "    FROM file;"
    "CREATE TABLE disk_new ("
    "    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    vm         BLOB REFERENCES vm (id),"
    "    pool       BLOB NOT NULL REFERENCES pool (id),"
    "    position   INTEGER NOT NULL CHECK (position BETWEEN 0 AND 4294967295),"
    "    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),"
    "    format     TEXT NOT NULL CHECK (format <> '' AND format NOT GLOB '*[^a-z0-9-]*'),"
    "    bus        TEXT NOT NULL CHECK (bus <> '' AND bus NOT GLOB '*[^a-z0-9-]*'),"
    "    leaf       BLOB NOT NULL REFERENCES file (id),"
    "    created_ms INTEGER NOT NULL"
    ") STRICT;"
    "INSERT INTO disk_new SELECT id, vm, pool, position, size_bytes, format, bus, leaf, created_ms"
    "    FROM disk;"
    "CREATE TABLE snapshot_disk_new ("
    "    snapshot BLOB NOT NULL REFERENCES snapshot (id) ON DELETE CASCADE,"
    "    disk     BLOB NOT NULL CHECK (length(disk) = 16),"
    "    position INTEGER NOT NULL CHECK (position BETWEEN 0 AND 4294967295),"
    "    file     BLOB NOT NULL REFERENCES file (id),"
    "    PRIMARY KEY (snapshot, disk)"
    ") STRICT, WITHOUT ROWID;"
    "INSERT INTO snapshot_disk_new SELECT s.snapshot, s.disk, d.position, s.file"
    "    FROM snapshot_disk s JOIN disk d ON d.id = s.disk;"
    "DROP TABLE snapshot_disk;"
    "DROP TABLE disk;"
    "DROP TABLE file;"
    "ALTER TABLE file_new RENAME TO file;"
    "ALTER TABLE disk_new RENAME TO disk;"
    "ALTER TABLE snapshot_disk_new RENAME TO snapshot_disk;"
    "CREATE INDEX file_vm ON file (vm) WHERE vm IS NOT NULL;"
    "CREATE INDEX file_job ON file (job) WHERE job IS NOT NULL;"
    "CREATE INDEX file_parent ON file (parent) WHERE parent IS NOT NULL;"
    "CREATE INDEX disk_vm ON disk (vm, position);"
    "CREATE INDEX disk_pool ON disk (pool);"
    "CREATE INDEX disk_leaf ON disk (leaf);"
    "CREATE INDEX snapshot_disk_disk ON snapshot_disk (disk);"
    "CREATE INDEX snapshot_disk_file ON snapshot_disk (file);";

/* What a pool may hold, what it keeps free, and whether it was said that it is short of space. */
static const char pool_limits[] =
    "ALTER TABLE pool ADD COLUMN quota_bytes INTEGER NOT NULL DEFAULT 0 CHECK (quota_bytes >= 0);"
    "ALTER TABLE pool ADD COLUMN reserve_bytes INTEGER NOT NULL DEFAULT 9223372036854775807"
    "    CHECK (reserve_bytes >= 0);"
    "ALTER TABLE pool ADD COLUMN default_format TEXT NOT NULL DEFAULT 'qcow2'"
    "    CHECK (default_format <> '' AND default_format NOT GLOB '*[^a-z0-9-]*');"
    "ALTER TABLE pool ADD COLUMN low_space INTEGER NOT NULL DEFAULT 0 CHECK (low_space IN (0, 1));";

/* Guests' memory: its images are files with a role of their own, and what a snapshot or a saved VM
 * goes on from. The words of roles and levels are known by the code alone from here on. */
static const char memories[] =
    "CREATE TABLE file_new ("
    "    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    pool       BLOB NOT NULL REFERENCES pool (id),"
    "    name       TEXT NOT NULL,"
    "    role       TEXT NOT NULL CHECK (role <> '' AND role NOT GLOB '*[^a-z0-9-]*'),"
    "    state      TEXT NOT NULL CHECK (state IN ('creating', 'live', 'trash')),"
    "    format     TEXT NOT NULL CHECK (format <> '' AND format NOT GLOB '*[^a-z0-9-]*'),"
    "    size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),"
    "    parent     BLOB REFERENCES file (id) CHECK (parent <> id),"
    "    vm         BLOB REFERENCES vm (id),"
    "    job        BLOB REFERENCES job (id),"
    "    UNIQUE (pool, name)"
    ") STRICT;"
    "INSERT INTO file_new SELECT id, pool, name, role, state, format, size_bytes, parent, vm, job"
    "    FROM file;"
    "DROP TABLE file;"
    "ALTER TABLE file_new RENAME TO file;"
    "CREATE INDEX file_vm ON file (vm) WHERE vm IS NOT NULL;"
    "CREATE INDEX file_job ON file (job) WHERE job IS NOT NULL;"
    "CREATE INDEX file_parent ON file (parent) WHERE parent IS NOT NULL;"
    "CREATE TABLE memory ("
    "    file       BLOB PRIMARY KEY NOT NULL REFERENCES file (id) ON DELETE CASCADE,"
    "    made       TEXT NOT NULL CHECK (json_valid(made)),"
    "    spec       TEXT NOT NULL CHECK (json_valid(spec)),"
    "    leaves     TEXT NOT NULL CHECK (json_valid(leaves)),"
    "    way        TEXT NOT NULL CHECK (way <> '' AND way NOT GLOB '*[^a-z0-9-]*'),"
    "    held_bytes INTEGER NOT NULL CHECK (held_bytes >= 0),"
    "    pause_us   INTEGER NOT NULL CHECK (pause_us >= 0),"
    "    took_ms    INTEGER NOT NULL CHECK (took_ms >= 0),"
    "    created_ms INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE snapshot_new ("
    "    id           BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    vm           BLOB NOT NULL REFERENCES vm (id),"
    "    name         TEXT NOT NULL,"
    "    notes        TEXT NOT NULL,"
    "    parent       BLOB REFERENCES snapshot (id) CHECK (parent <> id),"
    "    level        TEXT NOT NULL CHECK (level <> '' AND level NOT GLOB '*[^a-z0-9-]*'),"
    "    spec         TEXT NOT NULL CHECK (json_valid(spec)),"
    "    created_ms   INTEGER NOT NULL,"
    "    memory       BLOB REFERENCES file (id),"
    "    memory_state TEXT NOT NULL DEFAULT 'none'"
    "        CHECK (memory_state IN ('none', 'streaming', 'ready', 'lost')),"
    "    memory_note  TEXT,"
    "    UNIQUE (vm, name)"
    ") STRICT;"
    "INSERT INTO snapshot_new (id, vm, name, notes, parent, level, spec, created_ms)"
    "    SELECT id, vm, name, notes, parent, level, spec, created_ms FROM snapshot;"
    "DROP TABLE snapshot;"
    "ALTER TABLE snapshot_new RENAME TO snapshot;"
    "CREATE INDEX snapshot_parent ON snapshot (parent) WHERE parent IS NOT NULL;"
    "CREATE INDEX snapshot_memory ON snapshot (memory) WHERE memory IS NOT NULL;"
    "ALTER TABLE vm ADD COLUMN memory BLOB REFERENCES file (id);"
    "ALTER TABLE vm ADD COLUMN memory_leaves TEXT;"
    "CREATE INDEX vm_memory ON vm (memory) WHERE memory IS NOT NULL;";

/* Accounts: people with passwords, the sessions of their browsers, and tokens that are somebody's.
 * The words of roles are known by the code alone here. */
static const char accounts[] =
    "CREATE TABLE user ("
    "    id          BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    name        TEXT NOT NULL UNIQUE,"
    "    role        TEXT NOT NULL CHECK (role <> '' AND role NOT GLOB '*[^a-z0-9-]*'),"
    "    password    TEXT CHECK (password LIKE '$argon2id$%'),"
    "    password_ms INTEGER NOT NULL,"
    "    disabled    INTEGER NOT NULL CHECK (disabled IN (0, 1)),"
    "    created_ms  INTEGER NOT NULL,"
    "    changed_ms  INTEGER NOT NULL,"
    "    created_by  TEXT"
    ") STRICT;"
    "CREATE TABLE session ("
    "    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    user       BLOB NOT NULL REFERENCES user (id) ON DELETE CASCADE,"
    "    sha256     BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),"
    "    created_ms INTEGER NOT NULL,"
    "    used_ms    INTEGER NOT NULL,"
    "    expires_ms INTEGER NOT NULL,"
    "    origin     TEXT NOT NULL"
    ") STRICT;"
    "CREATE INDEX session_user ON session (user);"
    "ALTER TABLE token ADD COLUMN owner BLOB REFERENCES user (id) ON DELETE CASCADE;"
    "ALTER TABLE token ADD COLUMN rights TEXT CHECK (rights IS NULL OR json_valid(rights));"
    "CREATE INDEX token_owner ON token (owner) WHERE owner IS NOT NULL;";

/* What lay in the pools when the database was rebuilt, and no copy named: the sweep leaves it to
 * people. A pool that goes takes its rows along. */
static const char spared[] = "CREATE TABLE spared ("
                             "    pool BLOB NOT NULL REFERENCES pool (id) ON DELETE CASCADE,"
                             "    name TEXT NOT NULL,"
                             "    PRIMARY KEY (pool, name)"
                             ") STRICT, WITHOUT ROWID;";

/* Memory images that are archived: packed, what the file takes and what it took before. */
static const char archives[] =
    "ALTER TABLE memory ADD COLUMN packed_bytes INTEGER NOT NULL DEFAULT 0"
    "    CHECK (packed_bytes >= 0);"
    "ALTER TABLE memory ADD COLUMN plain_bytes INTEGER NOT NULL DEFAULT 0"
    "    CHECK (plain_bytes >= 0);";

/* The audit trail: records for longer than events are kept, in a chain of hashes. */
static const char audits[] = "CREATE TABLE audit ("
                             "    seq  INTEGER PRIMARY KEY NOT NULL,"
                             "    body TEXT NOT NULL CHECK (json_valid(body)),"
                             "    prev BLOB NOT NULL CHECK (length(prev) = 32),"
                             "    hash BLOB NOT NULL CHECK (length(hash) = 32)"
                             ") STRICT;";

/* What users may do with some objects: those with a label, or with disks in a pool. */
static const char grants[] =
    "CREATE TABLE user_grant ("
    "    id          BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    user        BLOB NOT NULL REFERENCES user (id) ON DELETE CASCADE,"
    "    label_key   TEXT,"
    "    label_value TEXT,"
    "    pool        BLOB REFERENCES pool (id) ON DELETE CASCADE,"
    "    role        TEXT,"
    "    rights      TEXT CHECK (rights IS NULL OR json_valid(rights)),"
    "    created_ms  INTEGER NOT NULL,"
    "    created_by  TEXT,"
    "    CHECK ((label_key IS NULL) = (label_value IS NULL)),"
    "    CHECK ((label_key IS NULL) <> (pool IS NULL)),"
    "    CHECK ((role IS NULL) <> (rights IS NULL))"
    ") STRICT;"
    "CREATE INDEX user_grant_user ON user_grant (user);"
    "CREATE INDEX user_grant_pool ON user_grant (pool) WHERE pool IS NOT NULL;";

/* What users prove by the key of their TLS connection who they are with. */
static const char certificates[] =
    "CREATE TABLE user_certificate ("
    "    id         BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),"
    "    user       BLOB NOT NULL REFERENCES user (id) ON DELETE CASCADE,"
    "    sha256     BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),"
    "    subject    TEXT NOT NULL,"
    "    expires_ms INTEGER NOT NULL,"
    "    created_ms INTEGER NOT NULL,"
    "    created_by TEXT"
    ") STRICT;"
    "CREATE INDEX user_certificate_user ON user_certificate (user);";

/* Where a user's password is: here as a hash, or with the host. */
static const char sources[] =
    "ALTER TABLE user ADD COLUMN password_source TEXT NOT NULL DEFAULT 'own'"
    "    CHECK (password_source = 'own' OR (password_source = 'pam' AND password IS NULL));";

const char *const migrations[] = {first,    open_reasons, vm_restarts, webhooks,   idem_note,
                                  parents,  templates,    snapshots,   open_disks, pool_limits,
                                  memories, accounts,     spared,      archives,   audits,
                                  grants,   certificates, sources};
const unsigned n_migrations = ARRAY_LEN(migrations);
