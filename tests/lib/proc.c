/* Looking at processes: see proc.h. */
#include "tests/lib/proc.h"

#include "core/base/str.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Calls 'look' for each process until it returns true; that pid, or 0. */
static pid_t each(bool (*look)(pid_t pid, void *ctx), void *ctx)
{
    DIR *dir = opendir("/proc");
    pid_t found = 0;

    for (struct dirent *e; dir && !found && (e = readdir(dir));) {
        pid_t pid = (pid_t)atoi(e->d_name);
        if (pid > 0 && look(pid, ctx))
            found = pid;
    }
    if (dir)
        closedir(dir);
    return found;
}

static size_t slurp(pid_t pid, const char *name, char *out, size_t size)
{
    char path[64];
    size_t n = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    f = fopen(path, "re");
    if (f) {
        n = fread(out, 1, size - 1, f);
        fclose(f);
    }
    out[n] = 0;
    return n;
}

bool proc_status(pid_t pid, const char *name, char *out, size_t size)
{
    char text[8192], key[64];
    char *at, *end;

    slurp(pid, "status", text, sizeof text);
    snprintf(key, sizeof key, "%s:\t", name);
    at = strstr(text, key);
    if (!at)
        return false;
    at += strlen(key);
    end = strchr(at, '\n');
    if (end)
        *end = 0;
    str_copy(out, size, at);
    return true;
}

bool proc_lives(pid_t pid)
{
    char state[32];

    return pid > 0 && proc_status(pid, "State", state, sizeof state) && state[0] != 'Z' &&
           state[0] != 'X';
}

bool proc_waits_for_disk(pid_t pid)
{
    char path[64], state[32];
    bool waits = false;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    dir = opendir(path);
    for (struct dirent *e; dir && !waits && (e = readdir(dir));)
        waits = atoi(e->d_name) > 0 &&
                proc_status((pid_t)atoi(e->d_name), "State", state, sizeof state) &&
                state[0] == 'D';
    if (dir)
        closedir(dir);
    return waits;
}

struct wanted {
    pid_t parent;
    const char *argv0, *argv1;
};

static bool matches(pid_t pid, void *ctx)
{
    const struct wanted *w = ctx;
    char args[4096], ppid[32];
    size_t n = slurp(pid, "cmdline", args, sizeof args);

    if (!n || !str_starts(args, w->argv0) || !proc_lives(pid))
        return false;
    if (w->argv1)
        return strlen(args) + 1 < n && strcmp(args + strlen(args) + 1, w->argv1) == 0;
    return proc_status(pid, "PPid", ppid, sizeof ppid) && atoi(ppid) == w->parent;
}

pid_t proc_child_named(pid_t parent, const char *argv0_prefix)
{
    struct wanted w = {parent, argv0_prefix, NULL};

    return each(matches, &w);
}

pid_t proc_with_args(const char *argv0, const char *argv1)
{
    struct wanted w = {0, argv0, argv1};

    return each(matches, &w);
}

unsigned proc_entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned n = 0;

    for (struct dirent *e; dir && (e = readdir(dir));)
        n += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

struct count {
    const char *path;
    unsigned n;
};

static bool count_mounts(pid_t pid, void *ctx)
{
    static char text[262144];
    struct count *c = ctx;

    slurp(pid, "mountinfo", text, sizeof text);
    c->n += strstr(text, c->path) != NULL;
    return false;
}

unsigned proc_count_mounts(const char *path)
{
    struct count c = {path, 0};

    each(count_mounts, &c);
    return c.n;
}

static bool has_open(pid_t pid, const char *path)
{
    char dirname[64], target[512];
    bool found = false;
    DIR *dir;

    snprintf(dirname, sizeof dirname, "/proc/%d/fd", (int)pid);
    dir = opendir(dirname);
    for (struct dirent *e; dir && !found && (e = readdir(dir));) {
        ssize_t n = readlinkat(dirfd(dir), e->d_name, target, sizeof target - 1);
        target[n > 0 ? n : 0] = 0;
        found = strstr(target, path) != NULL;
    }
    if (dir)
        closedir(dir);
    return found;
}

static bool count_open(pid_t pid, void *ctx)
{
    struct count *c = ctx;

    c->n += pid != getpid() && has_open(pid, c->path);
    return false;
}

unsigned proc_count_open(const char *path)
{
    struct count c = {path, 0};

    each(count_open, &c);
    return c.n;
}

struct users {
    const char *argv0, *dir;
    pid_t *out;
    unsigned cap, n;
};

static bool is_user(pid_t pid, void *ctx)
{
    struct users *u = ctx;
    char args[256];

    if (slurp(pid, "cmdline", args, sizeof args) && str_starts(args, u->argv0) &&
        has_open(pid, u->dir) && proc_lives(pid)) {
        if (u->n < u->cap)
            u->out[u->n] = pid;
        u->n++;
    }
    return false;
}

unsigned proc_users(const char *argv0_prefix, const char *dir, pid_t *out, unsigned cap)
{
    struct users u = {argv0_prefix, dir, out, cap, 0};

    each(is_user, &u);
    return u.n;
}

struct children {
    pid_t parent, *out;
    unsigned cap, n;
};

static bool is_child(pid_t pid, void *ctx)
{
    struct children *c = ctx;
    char ppid[32];

    if (proc_status(pid, "PPid", ppid, sizeof ppid) && atoi(ppid) == c->parent && proc_lives(pid)) {
        if (c->n < c->cap)
            c->out[c->n] = pid;
        c->n++;
    }
    return false;
}

unsigned proc_children(pid_t parent, pid_t *out, unsigned cap)
{
    struct children c = {parent, out, cap, 0};

    each(is_child, &c);
    return c.n;
}
