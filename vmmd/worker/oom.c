/* Whether memory ran out: see oom.h. The formats are those of proc(5) and of the kernel's
 * cgroup-v1/memory and cgroup-v2 documents. */
#include "vmmd/worker/oom.h"

#include "core/base/fs.h"
#include "core/base/id.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_TEXT (1u << 20)
#define V1_NONE  (1ull << 62)

/* ---- the place ---- */

/* Is 'word' one of the words between commas at 'list' (up to 'end')? */
static bool has_word(const char *list, const char *end, const char *word)
{
    while (list < end) {
        size_t len = strcspn(list, ",: \n");
        if (len == strlen(word) && strncmp(list, word, len) == 0)
            return true;
        if (list[len] != ',')
            return false;
        list += len + 1;
    }
    return false;
}

static const char *next_line(const char *line)
{
    line += strcspn(line, "\n");
    return *line ? line + 1 : line;
}

/* The path of this process in the hierarchy: v1's with the memory controller, or v2's. */
static bool find_group(const char *cgroup, bool v1, char *out, size_t size)
{
    for (const char *line = cgroup; *line; line = next_line(line)) {
        const char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        size_t len;
        if (!path)
            return false;
        if (v1 ? !has_word(names + 1, path, "memory") : strncmp(line, "0::", 3) != 0)
            continue;
        len = strcspn(path + 1, "\n");
        snprintf(out, size, "%.*s", (int)len, path + 1);
        return len < size && *out == '/';
    }
    return false;
}

/* Mount point of that hierarchy, and which part of it is mounted there. */
static bool find_mount(const char *mountinfo, bool v1, struct oom_place *out, char root[1024])
{
    for (const char *line = mountinfo; *line; line = next_line(line)) {
        const char *end = line + strcspn(line, "\n"), *dash = strstr(line, " - ");
        char type[16];
        int options = 0;
        if (!dash || dash > end || sscanf(dash, " - %15s %*s %n", type, &options) != 1)
            continue;
        if (!str_eq(type, v1 ? "cgroup" : "cgroup2") ||
            (v1 && (!options || !has_word(dash + options, end, "memory"))))
            continue;
        return sscanf(line, "%*s %*s %*s %1023s %255s", root, out->top) == 2 && *root == '/' &&
               *out->top == '/';
    }
    return false;
}

static bool find_in(const char *cgroup, const char *mountinfo, bool v1, struct oom_place *out)
{
    char root[1024];
    size_t len;

    if (!find_group(cgroup, v1, out->group, sizeof out->group) ||
        !find_mount(mountinfo, v1, out, root))
        return false;
    len = str_eq(root, "/") ? 0 : strlen(root);
    if (strncmp(out->group, root, len) == 0)
        memmove(out->group, out->group + len, strlen(out->group + len) + 1);
    if (str_eq(out->group, "/"))
        out->group[0] = 0;
    out->v1 = v1;
    out->file = v1 ? "memory.oom_control" : "memory.events";
    return true;
}

bool oom_find(const char *cgroup, const char *mountinfo, struct oom_place *out)
{
    return find_in(cgroup, mountinfo, true, out) || find_in(cgroup, mountinfo, false, out);
}

/* As vmmd/priv/leaf.h and limits.h name them: vm-<slot>-<uuid>/guest, and vm-<uuid> in v1. */
bool oom_is_own(const struct oom_place *place)
{
    const char *last = strrchr(place->group, '/'), *above;

    if (!last)
        return false;
    if (place->v1)
        return str_starts(last, "/vm-") && strlen(last) == strlen("/vm-") + UUID_TEXT - 1;
    above = memrchr(place->group, '/', (size_t)(last - place->group));
    return str_eq(last, "/guest") && above && str_starts(above, "/vm-");
}

bool oom_is_limit(const char *text)
{
    char *end;
    unsigned long long bytes = strtoull(text, &end, 10); /* v2 says "max", v1 a number */

    return end > text && bytes < V1_NONE;
}

uint64_t oom_parse(const char *text, const char *word)
{
    size_t len = strlen(word);

    for (const char *line = text; *line; line = next_line(line))
        if (str_starts(line, word) && line[len] == ' ')
            return strtoull(line + len + 1, NULL, 10);
    return 0;
}

/* ---- the counter ---- */

static char *read_text(const char *path)
{
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct err err = {0};
    char *text = NULL;

    return fd >= 0 && fs_read_all(fd, MAX_TEXT, &text, NULL, &err) ? text : NULL;
}

/* The group's own counter, or the nearest above: a controller need not reach down to it. */
static int open_counter(struct oom_place *place)
{
    char path[1400];
    char *slash;
    int fd;

    for (;;) {
        snprintf(path, sizeof path, "%s%s/%s", place->top, place->group, place->file);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        slash = strrchr(place->group, '/');
        if (fd >= 0 || !slash)
            return fd;
        *slash = 0;
    }
}

static void read_counter(int fd, char out[1024])
{
    ssize_t n = pread(fd, out, 1023, 0);

    out[n > 0 ? n : 0] = 0;
}

static uint64_t count(int fd, const char *word)
{
    char text[1024];

    read_counter(fd, text);
    return oom_parse(text, word);
}

/* Beside the counter, in the group where that was found. */
static int open_beside(const struct oom_place *place, const char *name)
{
    char path[1400];

    snprintf(path, sizeof path, "%s%s/%s", place->top, place->group, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void look_at_own(struct oom *o, const struct oom_place *place)
{
    CLEANUP(closep) int fd = open_beside(place, place->v1 ? "memory.limit_in_bytes" : "memory.max");
    char text[1024] = "";

    o->hits = open_beside(place, place->v1 ? "memory.failcnt" : place->file);
    if (fd >= 0)
        read_counter(fd, text);
    o->limited = oom_is_limit(text);
}

void oom_watch(struct oom *o, pid_t pid)
{
    char path[40];
    CLEANUP(mem_freep) char *cgroup = NULL;
    CLEANUP(mem_freep) char *mountinfo = read_text("/proc/self/mountinfo");
    struct oom_place place = {.v1 = false};

    oom_close(o);
    snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    cgroup = read_text(path);
    o->fd = cgroup && mountinfo && oom_find(cgroup, mountinfo, &place) ? open_counter(&place) : -1;
    if (o->fd < 0)
        return;
    o->before = count(o->fd, "oom_kill");
    o->v1 = place.v1;
    if (oom_is_own(&place))
        look_at_own(o, &place);
}

bool oom_struck(const struct oom *o)
{
    return o->fd >= 0 && count(o->fd, "oom_kill") > o->before;
}

bool oom_was_limit(const struct oom *o)
{
    char text[1024];

    if (o->hits < 0)
        return false;
    if (!o->v1)
        return count(o->hits, "oom") > 0;
    read_counter(o->hits, text);
    return strtoull(text, NULL, 10) > 0;
}

void oom_close(struct oom *o)
{
    closep(&o->fd);
    closep(&o->hits);
}
