/* The counting guest: see counter.h. */
#include "tests/lib/counter.h"

#include "core/base/clock.h"
#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

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

char *counter_spec_with(const char *name, const char *more)
{
    return str_format(
        "{\"name\":\"%s\",\"machine\":\"pc\",\"accel\":\"tcg\",\"memory_bytes\":16777216,"
        "\"nics\":[],\"shutdown_timeout_s\":3,"
        "\"disks\":[{\"size_bytes\":1048576,\"format\":\"raw\",\"bus\":\"ide\",\"pool\":\"main\"}]"
        "%s}",
        name, more);
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
    CLEANUP(mem_freep) char *pattern = str_format("%s/main/*/*.raw", r->dir);
    glob_t found;

    if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            install(found.gl_pathv[i]);
    globfree(&found);
}

char *counter_image(struct rig *r, pid_t qemu)
{
    CLEANUP(mem_freep) char *pool = str_format("%s/main/", r->dir);
    CLEANUP(mem_freep) char *fds = str_format("/proc/%d/fd", (int)qemu);
    DIR *dir = opendir(fds);
    char *found = NULL;

    for (struct dirent *e; dir && !found && (e = readdir(dir));) {
        char target[512] = "";
        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
        if (n > 0 && str_starts(target, pool))
            found = str_dup(target);
    }
    if (dir)
        closedir(dir);
    if (found && strstr(found, " (deleted)"))
        fail_msg("the file that QEMU uses does not exist: %s", found);
    return found;
}

uint32_t counter_on_disk(const char *image)
{
    CLEANUP(closep) int fd = open(image, O_RDONLY | O_CLOEXEC);
    struct sector s = {0};

    if (fd < 0 || pread(fd, &s, sizeof s, COUNTER_SECTOR) != sizeof s)
        fail_msg("%s cannot be read", image);
    if (memcmp(s.magic, "CNT1", 4) != 0)
        return 0;
    if (s.counter != s.again)
        fail_msg("%s holds half a sector: %u and %u", image, s.counter, s.again);
    return s.counter;
}

unsigned counter_processors(const char *image)
{
    CLEANUP(closep) int fd = open(image, O_RDONLY | O_CLOEXEC);
    struct sector s = {0};

    if (fd < 0 || pread(fd, &s, sizeof s, COUNTER_SECTOR) != sizeof s)
        fail_msg("%s cannot be read", image);
    return s.more_cpus + 1u;
}

uint32_t counter_said(struct rig *r, const char *name)
{
    CLEANUP(mem_freep) char *path = str_format("/api/v1/vms/%s/serial?offset=0", name);
    CLEANUP(mem_freep) char *text = NULL;
    uint32_t said = 0;
    char *save = NULL;
    size_t len;

    text = rig_get_bytes(r, path, &len);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        uint32_t now;
        if (line[0] == 'E')
            fail_msg("%s met a disk error after %x", name, said);
        if ((line[0] != '+' && line[0] != 'B') || strlen(line) != 9)
            continue; /* the firmware's words, the end of a line that was cut, a killed guest's */
        now = (uint32_t)strtoul(line + 1, NULL, 16);
        if (now < said)
            fail_msg("%s went back from %x to %x", name, said, now);
        said = now;
    }
    return said;
}

void counter_await_life(const char *image, int ms)
{
    uint32_t before = counter_on_disk(image);
    int64_t deadline = clock_mono_ms() + ms;

    while (counter_on_disk(image) == before) {
        if (clock_mono_ms() > deadline)
            fail_msg("the guest on %s writes nothing: still %u", image, before);
        (void)poll(NULL, 0, 10); /* asked again until it has written */
    }
}
