/* QEMU's standard error: see words.h. */
#include "vmmd/worker/words.h"

#include "core/base/fs.h"
#include "core/base/log.h"
#include "vmmd/worker/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void words_open(struct worker *w, int pipe, int log)
{
    struct words *s = &w->words;
    struct stat st;

    s->pipe = pipe;
    s->log = log;
    if (log < 0)
        return;
    if (fstat(log, &st) == 0 && st.st_size <= WORDS_MAX_LOG / 2)
        s->logged = (uint64_t)st.st_size;
    else if (ftruncate(log, 0) < 0)
        log_warn("QEMU's log cannot be begun anew");
    if (lseek(log, 0, SEEK_END) < 0)
        log_warn("QEMU's log cannot be appended to");
}

static void remember(struct words *s, const char *data, size_t len)
{
    if (len >= WORDS_TAIL) {
        data += len - WORDS_TAIL;
        len = WORDS_TAIL;
        s->len = 0;
    }
    if (s->len + len > WORDS_TAIL) {
        size_t drop = s->len + len - WORDS_TAIL;
        memmove(s->tail, s->tail + drop, s->len - drop);
        s->len -= drop;
    }
    memcpy(s->tail + s->len, data, len);
    s->len += len;
}

static void keep(struct words *s, const char *data, size_t len)
{
    static const char full[] = "\n[the log is full: nothing more is kept]\n";
    struct err err = {0};

    if (s->log < 0 || s->logged > WORDS_MAX_LOG)
        return;
    s->logged += len;
    err_ignore(fs_write_all(s->log, data, len, &err), &err);
    if (s->logged > WORDS_MAX_LOG)
        err_ignore(fs_write_all(s->log, full, sizeof full - 1, &err), &err);
}

/* False when the pipe has nothing more now, or has ended. */
static bool read_some(struct words *s)
{
    char piece[4096];
    ssize_t n = read(s->pipe, piece, sizeof piece);

    if (n > 0) {
        remember(s, piece, (size_t)n);
        keep(s, piece, (size_t)n);
        return true;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    close(s->pipe);
    s->pipe = -1;
    return false;
}

void words_ready(struct worker *w)
{
    if (w->words.pipe >= 0)
        read_some(&w->words);
}

void words_close(struct worker *w)
{
    struct words *s = &w->words;
    unsigned pieces = 0;

    while (s->pipe >= 0 && pieces++ < 256 && read_some(s))
        ;
    closep(&s->pipe);
    closep(&s->log);
}

void words_text(const struct worker *w, char *out)
{
    const struct words *s = &w->words;
    size_t from = 0, n = 0;

    while (from < s->len && (unsigned char)s->tail[from] <= ' ')
        from++;
    for (; from < s->len; from++) {
        unsigned char c = (unsigned char)s->tail[from];
        if (c != '\r')
            out[n++] = c == '\n' || (c >= ' ' && c < 0x7f) ? (char)c : '?';
    }
    while (n && out[n - 1] <= ' ')
        n--;
    out[n] = 0;
}
