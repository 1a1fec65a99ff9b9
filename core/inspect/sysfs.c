/* Reading /proc and /sys beneath a root: see sysfs.h. */
#include "core/inspect/sysfs.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_NAMES 16384u

int sys_root(void)
{
    return open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int sys_open(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* The path that a format makes; false when it is too long to be one. */
static bool PRINTF(2, 0) path_of(char out[PATH_MAX], const char *fmt, va_list args)
{
    int n = vsnprintf(out, PATH_MAX, fmt, args);

    return n > 0 && n < PATH_MAX;
}

#define PATH_FROM(path, fmt)                                                                       \
    char path[PATH_MAX];                                                                           \
    va_list args_;                                                                                 \
    va_start(args_, fmt);                                                                          \
    bool path_ok_ = path_of(path, fmt, args_);                                                     \
    va_end(args_);                                                                                 \
    if (!path_ok_)                                                                                 \
    path[0] = 0

bool sys_exists(int root, const char *fmt, ...)
{
    PATH_FROM(path, fmt);
    CLEANUP(closep) int fd = sys_open(root, path, O_PATH);

    return fd >= 0;
}

/* As much of the file as fits; its length, or -1. */
static ssize_t read_some(int root, const char *path, char *out, size_t size)
{
    CLEANUP(closep) int fd = sys_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    size_t have = 0;

    while (fd >= 0 && have < size) {
        ssize_t n = read(fd, out + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        have += (size_t)n;
    }
    return fd < 0 ? -1 : (ssize_t)have;
}

static bool text_of(int root, const char *path, char *out, size_t size)
{
    char raw[512];
    char *start = raw;
    ssize_t n = read_some(root, path, raw, sizeof raw - 1);

    out[0] = 0;
    if (n < 0)
        return false;
    raw[n] = 0;
    raw[strcspn(raw, "\n")] = 0;
    while (isspace((unsigned char)*start))
        start++;
    for (size_t len = strlen(start); len && isspace((unsigned char)start[len - 1]); len--)
        start[len - 1] = 0;
    str_copy(out, size, start);
    str_scrub(out);
    return true;
}

bool sys_text(int root, char *out, size_t size, const char *fmt, ...)
{
    PATH_FROM(path, fmt);
    return text_of(root, path, out, size);
}

bool sys_u64(int root, uint64_t *out, const char *fmt, ...)
{
    char text[64], *end;
    PATH_FROM(path, fmt);

    if (!text_of(root, path, text, sizeof text) || !isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *out = strtoull(text, &end, str_starts(text, "0x") ? 16 : 10);
    return errno == 0 && !*end;
}

bool sys_flag(int root, bool or_else, const char *fmt, ...)
{
    char text[64];
    PATH_FROM(path, fmt);

    if (!text_of(root, path, text, sizeof text))
        return or_else;
    return str_eq(text, "1") || str_eq(text, "Y") || str_eq(text, "y");
}

bool sys_link(int root, char *out, size_t size, const char *fmt, ...)
{
    PATH_FROM(path, fmt);
    CLEANUP(closep) int fd = sys_open(root, path, O_PATH | O_NOFOLLOW);
    char target[PATH_MAX], *slash;
    ssize_t n = fd < 0 ? -1 : readlinkat(fd, "", target, sizeof target - 1);

    out[0] = 0;
    if (n <= 0)
        return false;
    target[n] = 0;
    slash = strrchr(target, '/');
    str_copy(out, size, slash ? slash + 1 : target);
    str_scrub(out);
    return true;
}

char *sys_whole(int root, size_t max, const char *fmt, ...)
{
    PATH_FROM(path, fmt);
    CLEANUP(closep) int fd = sys_open(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct strbuf b = {0};
    char part[8192];

    if (fd < 0)
        return NULL;
    while (b.len < max) {
        size_t want = max - b.len < sizeof part ? max - b.len : sizeof part;
        ssize_t n = read(fd, part, want);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            strbuf_clear(&b);
            return NULL;
        }
        if (n == 0)
            break;
        strbuf_add(&b, part, (size_t)n);
    }
    return strbuf_take(&b);
}

static int by_nature(const void *a, const void *b)
{
    return strverscmp(*(char *const *)a, *(char *const *)b);
}

struct sys_names sys_list(int root, const char *fmt, ...)
{
    struct sys_names list = {0};
    size_t cap = 0;
    struct dirent *e;
    PATH_FROM(path, fmt);
    int fd = sys_open(root, path, O_RDONLY | O_DIRECTORY);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir) {
        closep(&fd);
        return list;
    }
    while (list.n < MAX_NAMES && (e = readdir(dir))) {
        if (e->d_name[0] == '.')
            continue;
        if (list.n == cap) {
            cap = cap ? cap * 2 : 32;
            list.name = mem_resize(list.name, cap, sizeof *list.name);
        }
        list.name[list.n++] = str_dup(e->d_name);
    }
    closedir(dir);
    if (list.n)
        qsort(list.name, list.n, sizeof *list.name, by_nature);
    return list;
}

void sys_names_clear(struct sys_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->name[i]);
    free(names->name);
    *names = (struct sys_names){0};
}

bool sys_has_word(const char *list, const char *word)
{
    size_t len = strlen(word);

    for (const char *p = strstr(list, word); p; p = strstr(p + len, word))
        if ((p == list || isspace((unsigned char)p[-1])) &&
            (!p[len] || isspace((unsigned char)p[len])))
            return true;
    return false;
}
