/* The commit log of a VM: see commitlog.h.
 *
 * A record is written whole, slot by slot, so that only the slot being written can be torn by a
 * power cut; the checksum over all of it tells. The sequence says which slot is whose: one that
 * lies in another's place was not written by this code. */
#include "core/base/commitlog.h"

#include "core/base/crc.h"
#include "core/base/failpoint.h"
#include "core/base/fs.h"
#include "core/base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC     "VMCL"
#define LOG_BYTES ((off_t)COMMITLOG_SLOTS * COMMITLOG_SLOT_BYTES)

struct slot {
    char magic[4];
    uint32_t length;
    uint64_t sequence;
    char text[COMMITLOG_SLOT_BYTES - 20];
    uint32_t crc; /* of all before it */
};
_Static_assert(sizeof(struct slot) == COMMITLOG_SLOT_BYTES, "no gaps");
_Static_assert(COMMITLOG_TEXT_MAX <= sizeof((struct slot *)0)->text, "fits");

static bool write_slot(int fd, const void *data, off_t at, struct err *err)
{
    size_t done = 0;

    while (done < COMMITLOG_SLOT_BYTES) {
        ssize_t n =
            pwrite(fd, (const char *)data + done, COMMITLOG_SLOT_BYTES - done, at + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_errno(err, n < 0 ? errno : ENOSPC, "write the VM's commit log");
        done += (size_t)n;
    }
    return true;
}

/* ---- the file ---- */

/* Blocks that hold zeros, not ones that are only promised: a record then changes nothing but its
 * own slot. The size is right only after all that: what was cut off is done again. */
static bool fill(int fd, off_t from, struct err *err)
{
    static const char zeros[COMMITLOG_SLOT_BYTES];

    for (off_t at = from - from % COMMITLOG_SLOT_BYTES; at < LOG_BYTES; at += COMMITLOG_SLOT_BYTES)
        if (!write_slot(fd, zeros, at, err))
            return false;
    return (ftruncate(fd, LOG_BYTES) == 0 || err_errno(err, errno, "size the VM's commit log")) &&
           fs_sync(fd, "the VM's commit log", err);
}

int commitlog_open(int dir, struct err *err)
{
    CLEANUP(closep) int fd = fs_open(dir, COMMITLOG_NAME, O_RDWR | O_CREAT, 0600, err);
    struct stat st;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0) {
        err_errno(err, errno, "look at the VM's commit log");
        return -1;
    }
    if (st.st_size != LOG_BYTES &&
        (!FAILPOINT("commitlog.make", err) || !fs_sync(dir, "the VM's directory", err) ||
         !fill(fd, st.st_size < LOG_BYTES ? st.st_size : LOG_BYTES, err)))
        return -1;
    return TAKE_FD(fd);
}

/* ---- reading ---- */

/* Its record's number when it is beyond 'newest'; 0 for an empty, torn or foreign one. */
static uint64_t sequence_of(const struct slot *slot, unsigned index, uint64_t newest)
{
    if (memcmp(slot->magic, MAGIC, sizeof slot->magic) != 0 || slot->length > COMMITLOG_TEXT_MAX ||
        slot->sequence <= newest || slot->sequence % COMMITLOG_SLOTS != index ||
        slot->crc != crc32c(0, slot, offsetof(struct slot, crc)))
        return 0;
    return slot->sequence;
}

/* 1: a slot was read, 0: the file ends before it, -1: failure. */
static int read_slot(int fd, unsigned index, struct slot *slot, struct err *err)
{
    ssize_t n;

    do
        n = pread(fd, slot, sizeof *slot, (off_t)index * COMMITLOG_SLOT_BYTES);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        err_errno(err, errno, "read the VM's commit log");
        return -1;
    }
    return n == sizeof *slot;
}

bool commitlog_last(int fd, uint64_t *sequence, json_t **record, struct err *err)
{
    struct slot slot;
    struct err unread = {0};

    *sequence = 0;
    *record = NULL;
    for (unsigned i = 0; i < COMMITLOG_SLOTS; i++) {
        int got = read_slot(fd, i, &slot, err);
        uint64_t number = got > 0 ? sequence_of(&slot, i, *sequence) : 0;
        json_t *read = number ? json_read(slot.text, slot.length, &unread) : NULL;
        if (got < 0) {
            json_decref(*record);
            *record = NULL;
            *sequence = 0;
            return false;
        }
        if (!json_is_object(read)) {
            json_decref(read);
            continue;
        }
        json_decref(*record);
        *record = read;
        *sequence = number;
    }
    return true;
}

/* ---- writing ---- */

bool commitlog_write(int fd, uint64_t sequence, const char *text, struct err *err)
{
    struct slot slot = {.sequence = sequence};
    size_t len = strlen(text);

    if (len > COMMITLOG_TEXT_MAX || sequence == 0)
        return err_set(err, ERR_INVALID, "a record of %zu bytes does not fit into the commit log",
                       len);
    memcpy(slot.magic, MAGIC, sizeof slot.magic);
    slot.length = (uint32_t)len;
    memcpy(slot.text, text, len);
    slot.crc = crc32c(0, &slot, offsetof(struct slot, crc));
    if (!FAILPOINT("commitlog.write", err) ||
        !write_slot(fd, &slot, (off_t)(sequence % COMMITLOG_SLOTS) * COMMITLOG_SLOT_BYTES, err) ||
        !FAILPOINT("commitlog.flush", err))
        return false;
    return (fdatasync(fd) == 0 || err_errno(err, errno, "flush the VM's commit log")) &&
           FAILPOINT("commitlog.flushed", err);
}
