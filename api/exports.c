/* Exported images: POST /snapshots/{id}/actions/export, and what comes of it. */
#include "api/handlers.h"
#include "api/idem.h"
#include "api/operations.h"
#include "api/server.h"
#include "api/stream.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/snap/export.h"
#include "core/snap/snap.h"

#include <errno.h>
#include <inttypes.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES (256u << 10)

struct export_args {
    int format;
    char *root;
    uint32_t disk;
};
static const struct field export_fields[] = {
    {.name = "format",
     .type = FIELD_ENUM,
     .offset = offsetof(struct export_args, format),
     .names = disk_format_names,
     .fallback = "\"qcow2\"",
     .help = "of the image"},
    {.name = "root",
     .type = FIELD_TEXT,
     .offset = offsetof(struct export_args, root),
     .min = 1,
     .max = NAME_MAX_BYTES,
     .check = check_line,
     .help = "id of a pool root; else that of the snapshot's file"},
    {.name = "disk",
     .type = FIELD_U32,
     .offset = offsetof(struct export_args, disk),
     .max = 63,
     .fallback = "0",
     .help = "which of the snapshot's disks"},
};
static const struct model export_model = {"ExportArguments", sizeof(struct export_args),
                                          export_fields, ARRAY_LEN(export_fields)};

static void export_args_clear(struct export_args *args)
{
    model_clear(&export_model, args);
}

bool snapshots_export(struct request *rq, struct err *err)
{
    CLEANUP(export_args_clear) struct export_args args = {0};
    struct core *core = rq->api->config.core;
    struct export_ask ask;
    struct origin origin;
    struct uuid op = {0};
    char vm[UUID_TEXT];
    bool replay;

    if (!request_decode(rq, &export_model, &args, err) || !request_origin(rq, &origin, err) ||
        !idem_find(rq, &origin, "operation", &replay, &op, err))
        return false;
    if (replay)
        return operation_reply(rq, &op, err);
    ask = (struct export_ask){(enum disk_format)args.format, args.root, args.disk};
    if ((!snapshot_vm(core, rq->ref, vm, err) ||
         !snapshot_export(core, vm, rq->ref, &ask, &origin, &op, err)) &&
        !idem_lost_race(rq, &origin, "operation", &op, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : operation_reply(rq, &op, err);
}

bool exports_list(struct request *rq, struct err *err)
{
    CLEANUP(query_clear) struct query query = {0};
    CLEANUP(strbuf_clear) struct strbuf text = {0};

    if (!request_list(rq, &schema_export, &query, err))
        return false;
    export_list(rq->api->config.core, &query, &text);
    return reply_text(rq, &text);
}

bool exports_delete(struct request *rq, struct err *err)
{
    struct origin origin;

    if (!request_origin(rq, &origin, err) ||
        !export_remove(rq->api->config.core, rq->ref, &origin, err))
        return false;
    return origin.dry_run ? reply_dry_run(rq, NULL, NULL) : reply_empty(rq, 204);
}

/* ---- the content ---- */

struct sender {
    struct stream stream;
    int fd;
    uint64_t from;
};

static ssize_t send_more(void *ctx, uint64_t at, char *out, size_t room)
{
    struct sender *s = ctx;
    ssize_t n;

    if (!stream_goes_on(&s->stream))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    stream_turn_begins(&s->stream);
    do
        n = pread(s->fd, out, room, (off_t)(s->from + at));
    while (n < 0 && errno == EINTR);
    stream_turn_ends(&s->stream);
    return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void sender_free(void *ctx)
{
    struct sender *s = ctx;

    stream_clear(&s->stream);
    closep(&s->fd);
    free(s);
}

/* "bytes=N-" or "bytes=N-M", one of them; anything else is the whole. INVALID beyond the end. */
static bool read_range(struct request *rq, uint64_t size, uint64_t *from, uint64_t *len,
                       bool *is_part, struct err *err)
{
    const char *text = MHD_lookup_connection_value(rq->mhd, MHD_HEADER_KIND, "Range");
    uint64_t last = size ? size - 1 : 0;
    char *end;

    *from = 0;
    *len = size;
    *is_part = false;
    if (!text || !str_starts(text, "bytes=") || text[6] < '0' || text[6] > '9')
        return true;
    *from = strtoull(text + 6, &end, 10);
    if (*end++ != '-')
        return *from = 0, true;
    if (*end >= '0' && *end <= '9')
        last = strtoull(end, &end, 10);
    if (*end)
        return *from = 0, true;
    if (*from >= size || last < *from)
        return err_field(err, ERR_INVALID, "", "the image has %" PRIu64 " bytes", size);
    *len = (last < size ? last + 1 : size) - *from;
    return *is_part = true;
}

bool exports_content(struct request *rq, struct err *err)
{
    struct MHD_Response *response;
    uint64_t size, from, len;
    struct sender *s;
    bool is_part;
    int fd = export_open(rq->api->config.core, rq->ref, &size, err);

    if (fd < 0)
        return false;
    if (!read_range(rq, size, &from, &len, &is_part, err)) {
        close(fd);
        return false;
    }
    s = mem_alloc(sizeof *s);
    stream_init(&s->stream, rq);
    s->fd = fd;
    s->from = from;
    response = MHD_create_response_from_callback(len, BLOCK_BYTES, send_more, s, sender_free);
    if (!response) {
        sender_free(s);
        return err_set(err, ERR_UNAVAILABLE, "too many connections");
    }
    reply_header(rq, "Accept-Ranges", "bytes");
    if (is_part)
        reply_header(rq, "Content-Range", "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, from,
                     from + len - 1, size);
    reply_stream(rq, "application/octet-stream", response);
    if (is_part)
        rq->reply.status = 206;
    return true;
}
