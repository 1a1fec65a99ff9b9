/* The counting guest: see counter.h. */
#include "tests/lib/counter.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/chain.h"

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sector {
    char magic[4];
    uint32_t counter;
    uint8_t more_cpus;
    char zeroes[499];
    uint32_t again;
};

char *counter_spec(const char *name)
{
    return counter_spec_with(name, "");
}

#define DISK "{\"size_bytes\":1048576,\"format\":\"raw\",\"bus\":\"ide\",\"pool\":\"main\"}"

static char *spec_of(const char *name, const char *disks, const char *more)
{
    return str_format(
        "{\"name\":\"%s\",\"machine\":\"pc\",\"accel\":\"tcg\",\"memory_bytes\":16777216,"
        "\"nics\":[],\"video\":{\"model\":\"none\"},\"pointer\":\"mouse\",\"rng\":false,"
        "\"shutdown_timeout_s\":3,\"disks\":[%s]%s}",
        name, disks, more);
}

char *counter_spec_with(const char *name, const char *more)
{
    return spec_of(name, DISK, more);
}

char *counter_spec_two(const char *name)
{
    return spec_of(name, DISK "," DISK, "");
}

static void install(const char *path)
{
    CLEANUP(closep) int fd = open(path, O_RDWR | O_CLOEXEC);
    unsigned char sector[COUNTER_SECTOR];

    if (fd >= 0 && pread(fd, sector, sizeof sector, 0) == sizeof sector && sector[510] != 0x55)
        assert_int_equal(pwrite(fd, counter_guest, COUNTER_SECTOR, 0), COUNTER_SECTOR);
}

void counter_install(struct rig *r)
{
    CLEANUP(mem_freep) char *pattern = str_format("%s/{main,second}/*/*.raw", r->dir);
    glob_t found;

    if (glob(pattern, GLOB_NOSORT | GLOB_BRACE, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            install(found.gl_pathv[i]);
    globfree(&found);
}

bool counter_is_installed(struct rig *r, const char *name)
{
    struct chain chain;
    unsigned char mark[2];

    if (!chain_of_disk(r, name, 0, &chain))
        return false;
    chain_read(&chain, COUNTER_SECTOR - sizeof mark, mark, sizeof mark);
    return mark[0] == 0x55 && mark[1] == 0xaa;
}

void counter_has_its_files(struct rig *r, pid_t qemu)
{
    CLEANUP(mem_freep) char *fds = str_format("/proc/%d/fd", (int)qemu);
    DIR *dir = opendir(fds);

    for (struct dirent *e; dir && (e = readdir(dir));) {
        char target[512] = "";
        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
        if (n > 0 && str_starts(target, r->dir) && strstr(target, " (deleted)") &&
            !strstr(target, ".mem (deleted)")) /* a memory that was gone on with is mapped */
            fail_msg("a file that QEMU uses does not exist: %s", target);
    }
    if (dir)
        closedir(dir);
}

static bool is_whole(const struct sector *s)
{
    return memcmp(s->magic, "CNT1", 4) != 0 || s->counter == s->again;
}

static struct sector read_sector(const struct chain *chain)
{
    struct sector s = {0};

    for (int i = 0; i < 3; i++) { /* the guest may be writing it at this moment */
        chain_read(chain, COUNTER_SECTOR, &s, sizeof s);
        if (is_whole(&s))
            return s;
    }
    fail_msg("%s holds half a sector: %u and %u", chain->files[0].path, s.counter, s.again);
    return s;
}

static uint32_t counter_of(const struct chain *chain)
{
    struct sector s = read_sector(chain);

    return memcmp(s.magic, "CNT1", 4) == 0 ? s.counter : 0;
}

uint32_t counter_on_disk(struct rig *r, const char *name)
{
    struct chain chain;
    uint32_t least = 0;

    chain_hold(r);
    for (unsigned i = 0; chain_of_disk(r, name, i, &chain); i++) {
        uint32_t n = counter_of(&chain);
        least = i == 0 || n < least ? n : least;
    }
    chain_let_go();
    return least;
}

uint32_t counter_in_file(const char *path)
{
    struct chain chain = {.n = 1};

    str_copy(chain.files[0].path, sizeof chain.files[0].path, path);
    return counter_of(&chain);
}

uint32_t counter_in_snapshot(struct rig *r, const char *name, const char *snapshot)
{
    struct chain chain;
    uint32_t least = 0;

    chain_hold(r);
    for (unsigned i = 0; chain_of_snapshot(r, name, snapshot, i, &chain); i++) {
        uint32_t n = counter_of(&chain);
        least = i == 0 || n < least ? n : least;
    }
    chain_let_go();
    return least;
}

unsigned counter_processors(struct rig *r, const char *name)
{
    struct chain chain;

    assert_true(chain_of_disk(r, name, 0, &chain));
    return read_sector(&chain).more_cpus + 1u;
}

/* What it finds when it starts is on its first disk, and was perhaps never said: the others may
 * lack it. */
static void hear(const char *name, const char *line, bool goes_back, uint32_t *said)
{
    uint32_t now;

    if (line[0] == 'E')
        fail_msg("%s met a disk error after %x", name, *said);
    if ((line[0] != '+' && line[0] != 'B') || strlen(line) != 9)
        return; /* the firmware's words, the end of a line that was cut, a killed guest's */
    now = (uint32_t)strtoul(line + 1, NULL, 16);
    if (now < *said && !(goes_back && line[0] == 'B'))
        fail_msg("%s went back from %x to %x", name, *said, now);
    *said = line[0] == '+' ? now : now < *said ? 0 : *said;
}

uint32_t counter_said_on(struct rig *r, const char *name, struct counter_heard *heard,
                         bool goes_back)
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
        hear(name, line, goes_back, &heard->said);
    }
    heard->offset += (uint64_t)(line - text);
    return heard->said;
}

uint32_t counter_said(struct rig *r, const char *name)
{
    struct counter_heard heard = {0};

    return counter_said_on(r, name, &heard, false);
}

void counter_await_life(struct rig *r, const char *name, int ms)
{
    int64_t deadline = clock_mono_ms() + ms;
    uint32_t before;

    chain_hold(r);
    before = counter_on_disk(r, name);
    while (counter_on_disk(r, name) == before) {
        if (clock_mono_ms() > deadline)
            fail_msg("the guest of %s writes nothing: still %u", name, before);
        (void)poll(NULL, 0,
                   25); /* asked again until it has written, which is twenty times a second */
    }
    chain_let_go();
}
