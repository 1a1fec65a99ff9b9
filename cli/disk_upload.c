/* vmmctl disk upload, disk delete-image: images to import, from here to the service.
 *
 * An image goes in pieces, one request each. Before the first the service is asked how much it has,
 * and again whenever a request did not end well: so an upload goes on after a broken connection, a
 * restart of the service, and with the same command line another day. The last piece carries the
 * digest of the whole file, which the service compares with what it has on its disk. */
#include "cli/disk.h"

#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_BYTES  (256ull << 20)
#define BLOCK_BYTES  (256u << 10)
#define TRIES        12 /* without a byte more than before: about two minutes */
#define RETRY_MS     250
#define RETRY_MAX_MS 15000
#define SHOW_MS      250
#define SHA256_TEXT  65

const struct flag disk_upload_flags[] = {
    {"name", 0, "NAME", "of the image on the host; else that of the file"},
    {"root", 0, "ROOT", "pool root; else that of the oldest pool"},
    {0},
};
const struct flag disk_delete_image_flags[] = {
    {"root", 0, "ROOT", "pool root; else that of the oldest pool"},
    {0},
};

struct sending {
    struct cli *cli;
    const char *file, *name;
    char *root, *path;
    int fd;
    uint64_t size;
    EVP_MD_CTX *md;
    uint64_t hashed; /* so much of the file, from its beginning */
    char digest[SHA256_TEXT];
    uint64_t at;      /* where the next byte is read */
    uint64_t first;   /* where this run began, … */
    int64_t began_ms; /* … and when */
    int64_t shown_ms;
    bool all_sent;
    struct progress progress;
    struct err err; /* why the file could not be read */
};

static void sending_clear(struct sending *s)
{
    progress_end(&s->progress);
    EVP_MD_CTX_free(s->md);
    mem_freep(&s->root);
    mem_freep(&s->path);
    closep(&s->fd);
}

/* The root of the pool that is used when none is said. Owned by the caller. */
static char *root_of(struct cli *cli, struct fault *fault)
{
    const char *said = args_text(cli->args, "root");
    CLEANUP(mem_freep) char *path = http_path("/pools?order=created_at&page_size=1");
    CLEANUP(json_decrefp) json_t *pools = said ? NULL : http_get(cli->http, path, fault);
    const char *root = json_get_text(json_array_get(json_object_get(pools, "items"), 0), "root");

    if (said || root)
        return str_dup(said ? said : root);
    if (pools)
        fault_set(fault, CLI_NOT_FOUND, "there is no pool: say with --root where it goes");
    return NULL;
}

/* ---- the file ---- */

static bool open_file(struct sending *s, struct fault *fault)
{
    struct stat st;

    s->fd = open(s->file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (s->fd < 0 || fstat(s->fd, &st) < 0)
        return fault_set(fault, CLI_FAILED, "%.200s: %s", s->file, strerror(errno));
    if (!S_ISREG(st.st_mode) || !st.st_size)
        return fault_set(fault, CLI_USAGE, "%.200s is no file with something in it", s->file);
    s->size = (uint64_t)st.st_size;
    s->md = EVP_MD_CTX_new();
    return (s->md && EVP_DigestInit_ex(s->md, EVP_sha256(), NULL) == 1) ||
           fault_set(fault, CLI_FAILED, "SHA-256 is not available");
}

static size_t read_at(struct sending *s, uint64_t at, void *data, size_t room)
{
    ssize_t n;

    do
        n = pread(s->fd, data, room, (off_t)at);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        err_set(&s->err, ERR_INTERNAL, "%.200s: %s", s->file,
                n < 0 ? strerror(errno) : "it has become shorter");
    return n > 0 ? (size_t)n : 0;
}

static bool hash_up_to(struct sending *s, uint64_t end, struct fault *fault)
{
    CLEANUP(mem_freep) char *block = mem_alloc(BLOCK_BYTES);
    uint8_t sha256[32];

    while (s->hashed < end) {
        const uint64_t left = end - s->hashed;
        const size_t n = read_at(s, s->hashed, block, left < BLOCK_BYTES ? left : BLOCK_BYTES);

        if (!n)
            return fault_err(fault, CLI_FAILED, &s->err);
        if (EVP_DigestUpdate(s->md, block, n) != 1)
            return fault_set(fault, CLI_FAILED, "SHA-256 is not available");
        s->hashed += n;
    }
    if (s->hashed < s->size || s->digest[0])
        return true;
    if (EVP_DigestFinal_ex(s->md, sha256, NULL) != 1)
        return fault_set(fault, CLI_FAILED, "SHA-256 is not available");
    str_hex(sha256, sizeof sha256, s->digest);
    return true;
}

/* ---- what is shown ---- */

static void show(struct sending *s)
{
    const int64_t now_ms = clock_mono_ms(), spent_ms = now_ms - s->began_ms;
    CLEANUP(json_decrefp) json_t *v = NULL;
    json_t *object, *progress;
    uint64_t rate;

    if (now_ms - s->shown_ms < SHOW_MS)
        return;
    s->shown_ms = now_ms;
    rate = spent_ms > 0 ? (s->at - s->first) * 1000 / (uint64_t)spent_ms : 0;
    v = json_object();
    object = json_object();
    progress = json_object();
    json_put_text(object, "name", s->name);
    json_put(v, "object", object);
    json_put_text(v, "kind", "upload");
    json_put_text(v, "step", s->at < s->size ? "sending" : "checking");
    json_put_u64(progress, "done", s->at);
    json_put_u64(progress, "total", s->size);
    json_put_u64(progress, "rate", rate);
    json_put_u64(progress, "left_s", rate ? (s->size - s->at) / rate : 0);
    json_put(v, "progress", progress);
    json_put_bool(v, "limitable", true); /* it has a rate that is worth showing */
    progress_show(&s->progress, v);
}

/* ---- one piece ---- */

static size_t give(void *arg, char *data, size_t room)
{
    struct sending *s = arg;
    const size_t n = read_at(s, s->at, data, room);

    s->at += n;
    show(s);
    return n;
}

/* [at, end), or nothing when all was sent before. */
static bool send_piece(struct sending *s, uint64_t at, uint64_t end, struct fault *fault)
{
    const bool last = end == s->size;
    CLEANUP(mem_freep)
    char *path = last ? str_format("%s?sha256=%s", s->path, s->digest) : str_dup(s->path);
    CLEANUP(mem_freep) char *range = NULL;
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    const char *lines[] = {NULL, "Content-Type: application/octet-stream", NULL};
    const struct http_request request = {.method = "PUT",
                                         .path = path,
                                         .headers = lines,
                                         .body_len = end - at,
                                         .source = give,
                                         .source_arg = s};
    bool ok;

    range = at < end ? str_format("Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, at,
                                  end - 1, s->size)
                     : str_format("Content-Range: bytes */%" PRIu64, s->size);
    lines[0] = range;
    s->at = at;
    ok = http_call(s->cli->http, &request, &reply, fault);
    s->all_sent |= last && s->at == s->size;
    return ok || !s->err.code ? ok : fault_err(fault, CLI_FAILED, &s->err);
}

static bool send_from(struct sending *s, uint64_t at, struct fault *fault)
{
    uint64_t end;

    do {
        end = s->size - at > PIECE_BYTES ? at + PIECE_BYTES : s->size;
        if (!hash_up_to(s, end, fault) || !send_piece(s, at, end, fault))
            return false;
        at = end;
    } while (end < s->size);
    return true;
}

/* ---- all of it ---- */

/* How much the service has. '*done': all of it, since we sent it and only the reply was lost. */
static bool ask(struct sending *s, uint64_t *at, bool *done, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *v = http_get(s->cli->http, s->path, fault);
    bool same = json_get_u64(v, "size_bytes", 0) == s->size;

    *at = 0;
    *done = false;
    if (!v && fault->exit == CLI_NOT_FOUND && strstr(fault->detail, "no image")) {
        *fault = (struct fault){0};
        return true;
    }
    if (!v)
        return false;
    if (str_eq(json_get_text(v, "state"), "uploading")) {
        *at = same ? json_get_u64(v, "uploaded_bytes", 0) : 0;
        return *at <= s->size || fault_set(fault, CLI_FAILED, "the reply is none; is this vmmd?");
    }
    if (same && s->all_sent)
        return *done = true;
    fault_set(fault, CLI_CONFLICT, "there is an image %.160s already", s->name);
    return fault_hint(fault,
                      "vmmctl disk delete-image %.160s removes it; --name gives this one "
                      "another name",
                      s->name);
}

static bool is_passing(const struct fault *fault)
{
    return fault->exit == CLI_UNREACHABLE || fault->exit == CLI_TIMED_OUT ||
           str_eq(fault->code, "busy") || str_eq(fault->code, "unavailable") ||
           str_eq(fault->code, "rate-limited");
}

/* Once: from where the service stands to the end. */
static bool try(struct sending *s, uint64_t *stood, struct fault *fault)
{
    uint64_t at;
    bool done;

    if (!ask(s, &at, &done, fault))
        return false;
    if (done)
        return true;
    if (s->began_ms == 0) {
        s->first = at;
        s->began_ms = clock_mono_ms();
        if (at)
            cli_say(s->cli, "going on with what is there of %s", s->name);
    }
    *stood = at;
    return send_from(s, at, fault);
}

static bool send_all(struct sending *s, struct fault *fault)
{
    uint64_t stood = 0, before = 0;
    int64_t pause_ms = RETRY_MS;
    unsigned tries = 0;

    while (!try(s, &stood, fault)) {
        if (stood > before) {
            tries = 0;
            pause_ms = RETRY_MS;
        }
        before = stood;
        progress_end(&s->progress);
        if (fault->exit == CLI_INTERRUPTED)
            cli_say(s->cli, "the same command goes on with it");
        if (!is_passing(fault) || ++tries > TRIES)
            return false;
        cli_say(s->cli, "%s; trying again", fault->detail);
        if (interrupt_wait(pause_ms))
            return fault_set(fault, CLI_INTERRUPTED, "%s", "");
        pause_ms = pause_ms * 2 < RETRY_MAX_MS ? pause_ms * 2 : RETRY_MAX_MS;
        *fault = (struct fault){0};
    }
    return true;
}

bool disk_upload_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(sending_clear) struct sending s = {.cli = cli, .file = cli_word(cli, 0), .fd = -1};
    const char *slash = strrchr(s.file, '/'), *name = args_text(cli->args, "name");

    progress_init(&s.progress, cli);
    s.name = name ? name : slash ? slash + 1 : s.file;
    if (!open_file(&s, fault))
        return false;
    s.root = root_of(cli, fault);
    if (!s.root)
        return false;
    s.path = http_path("/imports/{}/{}", s.root, s.name);
    if (!send_all(&s, fault))
        return false;
    progress_end(&s.progress);
    if (cli->quiet)
        fprintf(cli->out, "%s\n", s.name);
    cli_say(cli, "%s is there: vmmctl disk import VM %s --root %s", s.name, s.name, s.root);
    return true;
}

bool disk_delete_image_run(struct cli *cli, struct fault *fault)
{
    const char *name = cli_word(cli, 0);
    CLEANUP(mem_freep) char *question = str_format("Delete the image %s on the host?", name);
    CLEANUP(mem_freep) char *root = root_of(cli, fault);
    CLEANUP(mem_freep) char *path = root ? http_path("/imports/{}/{}", root, name) : NULL;
    CLEANUP(http_reply_clear) struct http_reply reply = {0};
    const struct http_request request = {.method = "DELETE", .path = path};

    if (!root || !cli_confirm(cli, question, fault) ||
        !http_call(cli->http, &request, &reply, fault))
        return false;
    cli_say(cli, "%s is deleted", name);
    return true;
}
