/* The replayer: see replay.h.
 *
 * Every inode that was made is an object. It has what is durable (a file's bytes, a directory's
 * names) and the changes since its last flush, in order. A flush applies the changes; a cut copies
 * the durable part, applies those that the cut chooses, and walks the names down from the root. */
#include "tests/lib/replay.h"

#include "tests/lib/harness.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#define RECORD_MAX (1u << 30)
#define SHM_BYTES  32768
#define PIECE      4096
#define FAR_AWAY   (4u << 20)
#define FAR_BYTES  64

struct bytes {
    uint8_t *data;
    uint64_t n, size; /* 'n' bytes are held, the rest up to 'size' is zero but for what is far */
    uint64_t room;    /* for so many: files grow page by page */
    uint64_t far_at;  /* a memory image's trailer, behind much that is a hole */
    size_t n_far;
    uint8_t far[FAR_BYTES];
};

struct name {
    char *text;
    size_t object;
};

struct names {
    struct name *list;
    size_t n;
};

struct change {
    uint64_t seq;
    enum watch_kind kind;
    uint64_t at, len;
    const uint8_t *data; /* in the record */
    char *unset, *set;   /* of a directory: the name that goes, the name that comes (or NULL) */
    size_t object;       /* what 'set' names */
};

struct object {
    bool is_dir;
    struct bytes bytes;
    uint64_t digest; /* of 'bytes'; 0: not known */
    struct names durable, now;
    struct change *pending;
    size_t n_pending;
};

struct inode {
    uint64_t ino;
    size_t object;
    UT_hash_handle hh;
};

struct replay {
    char *log;
    size_t len, pos;
    uint64_t seq;
    unsigned lies;
    struct object *objects; /* the root is 0 */
    size_t n_objects;
    struct inode *inodes;
    char *note;
};

/* ---- names ---- */

static struct name *find_name(const struct names *names, const char *text)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->list[i].text, text) == 0)
            return &names->list[i];
    return NULL;
}

static void set_name(struct names *names, const char *text, size_t object)
{
    struct name *name = find_name(names, text);

    if (!name) {
        names->list = mem_resize(names->list, names->n + 1, sizeof *names->list);
        name = &names->list[names->n++];
        name->text = str_dup(text);
    }
    name->object = object;
}

static void unset_name(struct names *names, const char *text)
{
    struct name *name = find_name(names, text);

    if (!name)
        return;
    free(name->text);
    *name = names->list[--names->n];
}

static void clear_names(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->list[i].text);
    free(names->list);
    *names = (struct names){0};
}

static struct names copy_names(const struct names *names)
{
    struct names copy = {0};

    for (size_t i = 0; i < names->n; i++)
        set_name(&copy, names->list[i].text, names->list[i].object);
    return copy;
}

/* ---- bytes ---- */

/* It lies behind a hole that nobody wants to hold, hash and write. */
static bool is_far(const struct bytes *b, uint64_t at, uint64_t len)
{
    return at >= b->n + FAR_AWAY && len <= FAR_BYTES;
}

static void put_far(struct bytes *b, uint64_t at, const uint8_t *data, uint64_t len)
{
    b->far_at = at;
    b->n_far = len;
    memcpy(b->far, data, len);
    if (at + len > b->size)
        b->size = at + len;
}

static void put_bytes(struct bytes *b, uint64_t at, const uint8_t *data, uint64_t len)
{
    if (is_far(b, at, len)) {
        put_far(b, at, data, len);
        return;
    }
    assert_true(!b->n_far || at + len <= b->far_at);
    if (at + len > b->room) {
        b->room = (at + len) * 2;
        b->data = mem_resize(b->data, b->room, 1);
    }
    if (at + len > b->n) {
        memset(b->data + b->n, 0, at + len - b->n);
        b->n = at + len;
    }
    memcpy(b->data + at, data, len);
    if (b->n > b->size)
        b->size = b->n;
}

static void set_size(struct bytes *b, uint64_t size)
{
    if (b->n > size)
        b->n = size;
    if (b->far_at + b->n_far > size)
        b->n_far = 0;
    b->size = size;
}

/* ---- the model ---- */

static size_t new_object(struct replay *r, uint64_t ino, bool is_dir)
{
    struct inode *i;

    r->objects = mem_resize(r->objects, r->n_objects + 1, sizeof *r->objects);
    r->objects[r->n_objects] = (struct object){.is_dir = is_dir};
    HASH_FIND(hh, r->inodes, &ino, sizeof ino, i);
    if (!i) {
        i = mem_alloc(sizeof *i);
        i->ino = ino;
        HASH_ADD(hh, r->inodes, ino, sizeof i->ino, i);
    }
    i->object = r->n_objects; /* numbers of removed files are given again */
    return r->n_objects++;
}

static size_t object_of(struct replay *r, uint64_t ino)
{
    struct inode *i;

    HASH_FIND(hh, r->inodes, &ino, sizeof ino, i);
    if (!i)
        fail_msg("the record changes an inode that it did not see made");
    return i->object;
}

static struct change *add_change(struct replay *r, size_t object, enum watch_kind kind)
{
    struct object *o = &r->objects[object];

    o->pending = mem_resize(o->pending, o->n_pending + 1, sizeof *o->pending);
    o->pending[o->n_pending] = (struct change){.seq = r->seq, .kind = kind};
    return &o->pending[o->n_pending++];
}

static void change_names(struct replay *r, size_t dir, const char *unset, const char *set,
                         size_t object)
{
    struct change *c = add_change(r, dir, WATCH_LINK);

    c->unset = unset ? str_dup(unset) : NULL;
    c->set = set ? str_dup(set) : NULL;
    c->object = object;
    if (unset)
        unset_name(&r->objects[dir].now, unset);
    if (set)
        set_name(&r->objects[dir].now, set, object);
}

static void apply_names(struct names *names, const struct change *c)
{
    if (c->unset)
        unset_name(names, c->unset);
    if (c->set)
        set_name(names, c->set, c->object);
}

static void apply_bytes(struct bytes *b, const struct change *c)
{
    if (c->kind == WATCH_WRITE)
        put_bytes(b, c->at, c->data, c->len);
    else if (c->kind == WATCH_TRUNCATE || c->at > b->size)
        set_size(b, c->at);
}

static void clear_pending(struct object *o)
{
    for (size_t i = 0; i < o->n_pending; i++) {
        free(o->pending[i].unset);
        free(o->pending[i].set);
    }
    free(o->pending);
    o->pending = NULL;
    o->n_pending = 0;
}

static void flush(struct replay *r, size_t object)
{
    struct object *o = &r->objects[object];

    if (r->lies & (o->is_dir ? REPLAY_NO_DIR_FLUSH : REPLAY_NO_FILE_FLUSH))
        return;
    for (size_t i = 0; i < o->n_pending; i++)
        if (o->is_dir)
            apply_names(&o->durable, &o->pending[i]);
        else
            apply_bytes(&o->bytes, &o->pending[i]);
    if (o->n_pending)
        o->digest = 0;
    clear_pending(o);
}

static void move(struct replay *r, const struct watch_record *rec, const char *name,
                 const char *name2)
{
    size_t dir = object_of(r, rec->dir), dir2 = object_of(r, rec->dir2), object;
    struct name *from = find_name(&r->objects[dir].now, name);

    if (!from)
        fail_msg("the record renames '%s', which it did not see made", name);
    object = from->object;
    if (dir == dir2) {
        change_names(r, dir, name, name2, object);
    } else {
        change_names(r, dir2, NULL, name2, object);
        change_names(r, dir, name, NULL, 0);
    }
}

static void play(struct replay *r, const struct watch_record *rec, const char *name,
                 const char *name2, const uint8_t *data)
{
    struct change *c;

    switch ((enum watch_kind)rec->kind) {
    case WATCH_CREATE:
        change_names(r, object_of(r, rec->dir), NULL, name, new_object(r, rec->ino, rec->is_dir));
        break;
    case WATCH_LINK:
        change_names(r, object_of(r, rec->dir), NULL, name, object_of(r, rec->ino));
        break;
    case WATCH_UNLINK:
        change_names(r, object_of(r, rec->dir), name, NULL, 0);
        break;
    case WATCH_RENAME:
        move(r, rec, name, name2);
        break;
    case WATCH_WRITE:
    case WATCH_TRUNCATE:
    case WATCH_EXTEND:
        c = add_change(r, object_of(r, rec->ino), (enum watch_kind)rec->kind);
        c->at = rec->at;
        c->len = rec->data_len;
        c->data = data;
        break;
    case WATCH_FLUSH:
        flush(r, object_of(r, rec->ino));
        break;
    case WATCH_MARK:
        free(r->note);
        r->note = str_format("%.*s", (int)rec->data_len, (const char *)data);
        break;
    }
}

/* ---- cutting ---- */

struct cut {
    struct replay *r;
    enum replay_cut how;
    unsigned random;
    uint64_t until; /* REPLAY_PREFIX: the last change that counts */
    uint64_t hash;
};

static unsigned toss(struct cut *cut)
{
    return (unsigned)rand_r(&cut->random) & 1;
}

static bool survives(struct cut *cut, const struct change *c)
{
    switch (cut->how) {
    case REPLAY_NOTHING:
        return false;
    case REPLAY_PREFIX:
        return c->seq <= cut->until;
    case REPLAY_SOME:
    case REPLAY_TORN:
        return toss(cut);
    default:
        return true;
    }
}

static void tear(struct cut *cut, struct bytes *b, const struct change *c)
{
    uint64_t end = c->at + c->len;

    for (uint64_t at = c->at; at < end;) {
        uint64_t next = (at / REPLAY_SECTOR_BYTES + 1) * REPLAY_SECTOR_BYTES;
        next = next < end ? next : end;
        if (toss(cut))
            put_bytes(b, at, c->data + (at - c->at), next - at);
        at = next;
    }
}

#define HASH_BEGIN 14695981039346656037ull

/* Word by word: whole databases and disks go through it. */
static uint64_t add_hash(uint64_t hash, const void *data, size_t len)
{
    const uint8_t *p = data;
    uint64_t word;

    for (; len >= sizeof word; p += sizeof word, len -= sizeof word) {
        memcpy(&word, p, sizeof word);
        hash = (hash ^ word) * 1099511628211ull;
        hash ^= hash >> 32;
    }
    for (; len; len--)
        hash = (hash ^ *p++) * 1099511628211ull;
    return hash;
}

static uint64_t digest_of(const struct bytes *b)
{
    uint64_t digest = add_hash(HASH_BEGIN, b->data, b->n);

    digest = add_hash(digest, b->far, b->n_far);
    return add_hash(digest, &b->size, sizeof b->size) | 1;
}

/* Most files have not changed since the state before. */
static uint64_t digest_after(struct object *o, const struct bytes *b)
{
    if (o->n_pending)
        return digest_of(b);
    if (!o->digest)
        o->digest = digest_of(b);
    return o->digest;
}

/* A copy only where something may have changed: see free_bytes(). */
static struct bytes bytes_after(struct cut *cut, const struct object *o)
{
    struct bytes b = o->bytes;

    if (!o->n_pending)
        return b;
    b.room = b.n;
    for (size_t i = 0; i < o->n_pending; i++) {
        const struct change *c = &o->pending[i];
        if (c->kind == WATCH_WRITE && c->at + c->len > b.room && !is_far(&b, c->at, c->len))
            b.room = c->at + c->len;
    }
    b.data = b.room ? mem_array(b.room, 1) : NULL;
    if (b.n)
        memcpy(b.data, o->bytes.data, b.n);
    for (size_t i = 0; i < o->n_pending; i++) {
        const struct change *c = &o->pending[i];
        if (cut->how == REPLAY_TORN && c->kind == WATCH_WRITE)
            tear(cut, &b, c);
        else if (survives(cut, c))
            apply_bytes(&b, c);
    }
    return b;
}

static void free_bytes(const struct object *o, struct bytes *b)
{
    if (o->n_pending)
        free(b->data);
}

/* Disks are zeroes for the most part, which need not be written. */
static void write_file(const struct bytes *b, const char *path)
{
    CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    static const uint8_t zeroes[PIECE];

    assert_true(fd >= 0);
    if (ftruncate(fd, (off_t)b->size) < 0)
        fail_msg("%s cannot be made as large", path);
    for (uint64_t at = 0, len; at < b->n; at += len) {
        len = b->n - at < PIECE ? b->n - at : PIECE;
        if (memcmp(b->data + at, zeroes, len) != 0 &&
            pwrite(fd, b->data + at, len, (off_t)at) != (ssize_t)len)
            fail_msg("%s cannot be written", path);
    }
    if (b->n_far && pwrite(fd, b->far, b->n_far, (off_t)b->far_at) != (ssize_t)b->n_far)
        fail_msg("%s cannot be written", path);
}

/* A state is either hashed or written. */
static void cut_file(struct cut *cut, struct object *o, const char *path)
{
    struct bytes b = bytes_after(cut, o);
    size_t len = strlen(path);
    uint64_t digest;

    /* SQLite's index of the WAL is memory that happens to have a name: anything may be in it. */
    if (len > 4 && strcmp(path + len - 4, "-shm") == 0 && b.size) {
        uint8_t junk[SHM_BYTES];
        const struct bytes any = {.data = junk, .n = sizeof junk, .size = sizeof junk};
        memset(junk, (int)cut->random, sizeof junk);
        if (*path != '-')
            write_file(&any, path);
        free_bytes(o, &b);
        return;
    }
    if (*path != '-') {
        write_file(&b, path);
    } else {
        digest = digest_after(o, &b);
        cut->hash = add_hash(cut->hash, &digest, sizeof digest);
    }
    free_bytes(o, &b);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

/* 'path' begins with "-" when nothing is to be written. */
static void cut_dir(struct cut *cut, const struct object *o, const char *path)
{
    struct names names = copy_names(&o->durable);

    for (size_t i = 0; i < o->n_pending; i++)
        if (survives(cut, &o->pending[i]))
            apply_names(&names, &o->pending[i]);
    if (names.n)
        qsort(names.list, names.n, sizeof *names.list, by_text);
    for (size_t i = 0; i < names.n; i++) {
        CLEANUP(mem_freep) char *below = str_format("%s/%s", path, names.list[i].text);
        struct object *child = &cut->r->objects[names.list[i].object];

        cut->hash = add_hash(cut->hash, names.list[i].text, strlen(names.list[i].text));
        if (!child->is_dir)
            cut_file(cut, child, below);
        else if (*path == '-' || mkdir(below, 0700) == 0)
            cut_dir(cut, child, below);
        else
            fail_msg("mkdir %s", below);
    }
    clear_names(&names);
}

uint64_t replay_cut(struct replay *r, enum replay_cut how, unsigned seed, const char *to)
{
    struct cut cut = {.r = r, .how = how, .random = seed, .hash = HASH_BEGIN};
    uint64_t oldest = r->seq;

    for (size_t i = 0; i < r->n_objects; i++)
        if (r->objects[i].n_pending && r->objects[i].pending[0].seq < oldest)
            oldest = r->objects[i].pending[0].seq;
    cut.until = oldest + (uint64_t)rand_r(&cut.random) % (r->seq - oldest + 1);
    cut_dir(&cut, &r->objects[0], to ? to : "-");
    return cut.hash;
}

/* ---- the record ---- */

struct replay *replay_open(const char *log, const char *root, unsigned lies)
{
    CLEANUP(closep) int fd = open(log, O_RDONLY | O_CLOEXEC);
    struct replay *r = mem_alloc(sizeof *r);
    struct err err = {0};
    struct stat st;

    if (fd < 0 || !fs_read_all(fd, RECORD_MAX, &r->log, &r->len, &err))
        fail_msg("%s: %s", log, err.detail);
    assert_int_equal(stat(root, &st), 0);
    r->lies = lies;
    new_object(r, st.st_ino, true);
    return r;
}

void replay_close(struct replay *r)
{
    struct inode *i, *next;

    for (size_t k = 0; k < r->n_objects; k++) {
        clear_pending(&r->objects[k]);
        clear_names(&r->objects[k].durable);
        clear_names(&r->objects[k].now);
        free(r->objects[k].bytes.data);
    }
    HASH_ITER (hh, r->inodes, i, next) {
        HASH_DELETE(hh, r->inodes, i);
        free(i);
    }
    free(r->objects);
    free(r->note);
    free(r->log);
    free(r);
}

const struct watch_record *replay_next(struct replay *r, const char **note)
{
    static struct watch_record rec;
    char *name, *name2;
    const char *body;

    if (r->len - r->pos < sizeof rec)
        return NULL;
    memcpy(&rec, r->log + r->pos, sizeof rec);
    body = r->log + r->pos + sizeof rec;
    r->pos += sizeof rec + rec.name_len + rec.name2_len + rec.data_len;
    assert_true(r->pos <= r->len);
    r->seq++;
    name = str_format("%.*s", rec.name_len, body);
    name2 = str_format("%.*s", rec.name2_len, body + rec.name_len);
    play(r, &rec, name, name2, (const uint8_t *)body + rec.name_len + rec.name2_len);
    free(name);
    free(name2);
    *note = r->note;
    return &rec;
}
