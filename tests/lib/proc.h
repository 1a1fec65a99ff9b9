/* Looking at processes through /proc, for tests. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

pid_t proc_child_named(pid_t parent, const char *argv0_prefix); /* 0 when there is none */
pid_t proc_with_args(const char *argv0, const char *argv1);
unsigned proc_children(pid_t parent, pid_t *out, unsigned cap); /* how many */
bool proc_lives(pid_t pid);                                     /* a zombie does not */
bool proc_waits_for_disk(
    pid_t pid); /* one of its threads at this moment, and no signal ends that */
/* Entries of a directory; 0 when it does not exist. */
unsigned proc_entries(const char *dir);
/* Mounts below 'path' in any process's namespace that we can see. */
unsigned proc_count_mounts(const char *path);
/* Processes that have a file, socket or working directory below 'path'. */
unsigned proc_count_open(const char *path);
/* Processes of that name that have a file below 'dir' open: how many; the first 'cap' into 'out'.
 */
unsigned proc_users(const char *argv0_prefix, const char *dir, pid_t *out, unsigned cap);
/* The line "Name:\t…" of /proc/PID/status, into 'out'. */
bool proc_status(pid_t pid, const char *name, char *out, size_t size);
