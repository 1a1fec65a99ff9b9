/* Starts a vmmd-worker with its jail the way the helper does, for tests of those two alone: two
 * processes, the namespaces, the uid map, the descriptors of docs/processes.md. They end with the
 * test program, however it ends. */
#pragma once
#include "core/base/id.h"

#include <stdbool.h>
#include <sys/types.h>

#define SPAWN_JAIL_UID     1000016 /* root of the jail; QEMU is the next one */
#define SPAWN_WORKER_UID   1000000
#define SPAWN_NET_UID      1000100
#define SPAWN_ROOTLESS_UID 65533

struct spawned {
    pid_t worker; /* our child: wait for it with spawn_wait() */
    pid_t jail;   /* the worker's child, pid 1 of its namespace */
    int main;     /* our end of the first conversation */
    char *run;    /* the directory of all workers, as the path of a tmp_dir */
    char vm[UUID_TEXT];
    bool rootless;
};

/* Root only: 'rootless' starts both as an ordinary user with one mapped id. Fails the test on
 * error. */
void spawn_worker(struct spawned *s, bool rootless);
/* Again a worker for the same VM, in the same directory, after spawn_wait(). */
void spawn_again(struct spawned *s);
/* The worker's wait status; fails the test when it does not end in time. Closes 'main'. */
int spawn_wait(struct spawned *s, int within_ms);
/* Ends what still lives and removes the directory. */
void spawn_clear(struct spawned *s);
/* A path below the VM's run directory, owned by the caller. */
char *spawn_path(const struct spawned *s, const char *name);
