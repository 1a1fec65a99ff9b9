/* The guest that checks its memory: see pattern.h. */
#include "tests/lib/pattern.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECTOR      512
#define SETTINGS_AT 8
#define SOON_MS     60000
#define CHECK_MS    200000 /* all of 4 GiB, by emulated processors */

/* start.S and pattern.c: pattern_guest.S. */
extern const unsigned char pattern_guest[], pattern_guest_end[];

/* The first sector where it is, the rest behind the counter's; unless there is one. */
static void write_guest(const char *path, const struct pattern *p)
{
    const uint32_t settings[] = {p->stride, p->hot, p->burst, 0};
    const size_t rest = (size_t)(pattern_guest_end - pattern_guest) - SECTOR;
    CLEANUP(closep) int fd = open(path, O_RDWR | O_CLOEXEC);
    unsigned char sector[SECTOR];

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, sector, SECTOR, 0), SECTOR);
    if (sector[SECTOR - 2] == 0x55)
        return;
    assert_int_equal(pwrite(fd, pattern_guest, SECTOR, 0), SECTOR);
    assert_int_equal(pwrite(fd, settings, sizeof settings, SETTINGS_AT), sizeof settings);
    assert_int_equal(pwrite(fd, pattern_guest + SECTOR, rest, (off_t)2 * SECTOR), rest);
    assert_int_equal(fsync(fd), 0);
}

static void install(struct rig *r, const struct pattern *p)
{
    CLEANUP(mem_freep) char *files = str_format("%s/main/*/*.raw", r->dir);
    glob_t found;

    assert_int_equal(glob(files, GLOB_NOSORT, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        write_guest(found.gl_pathv[i], p);
    globfree(&found);
}

void pattern_make(struct rig *r, const struct pattern *p)
{
    CLEANUP(mem_freep)
    char *spec = str_format(
        "{\"name\":\"%s\",\"machine\":\"pc\",\"accel\":\"%s\",\"memory_bytes\":%llu,\"vcpus\":%u,"
        "\"nics\":[],\"video\":{\"model\":\"none\"},\"pointer\":\"mouse\",\"rng\":false,"
        "\"shutdown_timeout_s\":3,\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\","
        "\"bus\":\"ide\",\"pool\":\"main\"}]%s}",
        p->name, p->accel ? p->accel : "tcg", (unsigned long long)p->memory_bytes, p->vcpus,
        p->more ? p->more : "");

    json_decref(rig_do(r, "POST", "/api/v1/vms", spec, 201));
    install(r, p);
}

/* ---- what it says ---- */

static void hear_number(const char *name, struct pattern_heard *heard, uint32_t now)
{
    const bool next = now == heard->last + 1;

    if (!next && heard->jumps)
        heard->first = now;
    else if (!next && heard->last)
        fail_msg("%s: after %x it said %x", name, heard->last, now);
    heard->jumps = heard->jumps && next;
    heard->last = now;
}

static void hear(const char *name, const char *line, struct pattern_heard *heard)
{
    const size_t len = strlen(line);
    unsigned number, pages;

    if (line[0] == 'X' && len == 17)
        fail_msg("%s: its memory at %s is wrong, after %x", name, line + 1, heard->last);
    if (line[0] == 'D' && len == 17)
        fail_msg("%s: its block %s is wrong, after %x", name, line + 1, heard->last);
    if (line[0] == 'E' && len == 17)
        fail_msg("%s: it met an error (%s), after %x", name, line, heard->last);
    if (line[0] == '+' && len == 9) {
        hear_number(name, heard, (uint32_t)strtoul(line + 1, NULL, 16));
    } else if (line[0] == 'B' && len == 9) {
        heard->boots++;
        heard->last = (uint32_t)strtoul(line + 1, NULL, 16);
        heard->jumps = false;
    } else if (len == 18 && sscanf(line, "V%8x %8x", &number, &pages) == 2) {
        heard->checks++;
        heard->pages = pages;
    }
}

void pattern_listen(struct rig *r, const char *name, struct pattern_heard *heard)
{
    CLEANUP(mem_freep)
    char *path =
        str_format("/api/v1/vms/%s/serial?offset=%llu", name, (unsigned long long)heard->offset);
    CLEANUP(mem_freep) char *text = NULL;
    char *line, *end;
    size_t len;

    text = rig_get_bytes(r, path, &len);
    for (line = text; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        hear(name, line, heard);
    }
    heard->offset += (uint64_t)(line - text);
}

void pattern_await(struct rig *r, const char *name, struct pattern_heard *heard, unsigned n)
{
    int64_t deadline_ms = clock_mono_ms() + SOON_MS;
    uint32_t until;

    pattern_listen(r, name, heard);
    while (heard->jumps || heard->last == 0) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("%s does not go on: it stood at %x", name, heard->last);
        (void)poll(NULL, 0, 20); /* asked again until it has counted */
        pattern_listen(r, name, heard);
    }
    for (until = heard->last + n; heard->last < until; pattern_listen(r, name, heard)) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("%s does not go on: it stands at %x", name, heard->last);
        (void)poll(NULL, 0, 20); /* the same */
    }
}

void pattern_check(struct rig *r, const char *name, struct pattern_heard *heard)
{
    const int64_t deadline_ms = clock_mono_ms() + CHECK_MS;
    const unsigned before = heard->checks;

    rig_type(r, name, "v");
    for (; heard->checks == before; pattern_listen(r, name, heard)) {
        if (clock_mono_ms() > deadline_ms)
            fail_msg("%s has not checked its memory: it stands at %x", name, heard->last);
        (void)poll(NULL, 0, 20); /* asked again until it has */
    }
    assert_true(heard->pages > 0);
}
