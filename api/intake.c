/* Bodies that are files: see intake.h. */
#include "api/intake.h"

#include "api/server.h"
#include "api/stream.h"
#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/disk/upload.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE 3 /* times stall_ms: a link that is gone for a moment breaks nothing */

struct intake {
    struct stream stream; /* who it is, asked again now and then */
    struct upload *upload;
    int64_t since_ms; /* monotonic; of the bytes counted */
    uint64_t bytes;
};

/* ---- beginning ---- */

static bool read_number(const char **at, uint64_t *out)
{
    char text[24] = "";
    const size_t n = strspn(*at, "0123456789");

    if (!n || n >= sizeof text)
        return false;
    memcpy(text, *at, n);
    *at += n;
    return str_to_u64(text, out);
}

/* "bytes FIRST-LAST/TOTAL", or "bytes * /TOTAL" (without the space) for no byte, behind the last.
 */
static bool parse_range(const char *p, struct upload_ask *out)
{
    uint64_t last;

    if (strncasecmp(p, "bytes ", 6) != 0)
        return false;
    p += 6;
    if (*p == '*') {
        p++;
        if (*p++ != '/' || !read_number(&p, &out->total) || *p)
            return false;
        out->from = out->total;
        return out->len == 0;
    }
    if (!read_number(&p, &out->from) || *p++ != '-' || !read_number(&p, &last) || *p++ != '/' ||
        !read_number(&p, &out->total) || *p)
        return false;
    return last >= out->from && last < out->total && last - out->from + 1 == out->len;
}

static bool read_range(const struct request *rq, struct upload_ask *out, struct err *err)
{
    const char *length = rq->head.content_length;

    if (length && !str_to_u64(length, &out->len))
        return err_set(err, ERR_MALFORMED, "Content-Length must be a number");
    out->total = out->len;
    if (!rq->head.content_range || parse_range(rq->head.content_range, out))
        return true;
    return err_set(err, ERR_MALFORMED,
                   "Content-Range must be 'bytes FIRST-LAST/TOTAL' with as many bytes as "
                   "Content-Length says, or 'bytes */TOTAL' without a body");
}

bool intake_begin(struct request *rq, struct err *err)
{
    struct upload_ask ask = {.no_more = &rq->api->stopping};
    struct upload *upload;

    if (rq->route->body != BODY_FILE)
        return true;
    ask.root = rq->ref;
    ask.name = rq->segments[rq->n_segments - 1];
    ask.sha256 = request_query(rq, "sha256");
    if (!read_range(rq, &ask, err))
        return false;
    upload = upload_begin(rq->api->config.core, &ask, err);
    if (!upload)
        return false;
    rq->intake = mem_alloc(sizeof *rq->intake);
    stream_init(&rq->intake->stream, rq);
    rq->intake->upload = upload;
    rq->intake->since_ms = clock_mono_ms();
    if (rq->head.has_body)
        conn_deadline(rq->conn, METER_BODY, PATIENCE * (int64_t)rq->api->config.stall_ms);
    return true;
}

/* ---- taking ---- */

/* What we take ourselves, for the disk, is not the client's. */
static void set_pace(struct request *rq, size_t len, int64_t began_ms)
{
    const int64_t window_ms = PATIENCE * (int64_t)rq->api->config.stall_ms;
    const int64_t now_ms = clock_mono_ms();
    struct intake *in = rq->intake;
    int64_t left;

    in->since_ms += now_ms - began_ms;
    in->bytes += len;
    if (in->bytes >= (uint64_t)window_ms) {
        in->bytes = 0;
        in->since_ms = now_ms;
    }
    left = in->since_ms + window_ms - now_ms;
    conn_deadline(rq->conn, METER_BODY, left > 0 ? left : 1);
}

bool intake_add(struct request *rq, const char *data, size_t len, struct err *err)
{
    const int64_t began_ms = clock_mono_ms();
    struct intake *in = rq->intake;
    bool ok;

    conn_deadline(rq->conn, METER_BODY, 0);
    ok = atomic_load(&rq->api->stopping)
             ? err_set(err, ERR_UNAVAILABLE, "vmmd is stopping: go on in a moment")
             : stream_may(&in->stream, err) && upload_add(in->upload, data, len, err);
    if (ok)
        set_pace(rq, len, began_ms);
    else
        upload_close(TAKE(in->upload)); /* whoever hears of it may go on at once */
    return ok;
}

/* ---- ending ---- */

struct upload *intake_take(struct request *rq)
{
    return TAKE(rq->intake->upload);
}

void intake_end(struct request *rq)
{
    struct intake *in = TAKE(rq->intake);

    if (!in)
        return;
    upload_close(in->upload);
    stream_clear(&in->stream);
    free(in);
}
