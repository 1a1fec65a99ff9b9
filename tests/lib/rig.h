/* A real daemon for integration tests: its own configuration, state and run directories below a
 * temporary directory, the tiny guest as boot entry "tiny", pools "main" and "second". Talks to it
 * over its unix socket. */
#pragma once
#include "tests/lib/harness.h"

#include "core/base/json.h"

#include <sys/types.h>

/* The tiny guest's command line. Without the last word Linux tries its timer's interrupt for 40 ms;
 * where the host takes an emulated processor away for as long, the guest goes on without that
 * interrupt or stands still ("MP-BIOS bug"). */
#define RIG_CMDLINE "console=ttyS0 quiet no_timer_check"

struct rig {
    char *dir;
    uid_t uid; /* vmmd runs as this user */
    pid_t vmmd;
    const char *more; /* further lines for [vmmd], or NULL */
    /* Called with the directory before the daemon begins and after it has ended, or NULL. */
    void (*before)(struct rig *r), (*after)(struct rig *r);
};

/* False when it cannot run here (then 'why' says so): no guest, or the user may not. */
bool rig_possible(const char **why);
/* The same for a rig whose VMs do not boot the tiny guest. */
bool rig_possible_bare(const char **why);
void rig_make(struct rig *r, uid_t uid); /* directories, configuration, daemon, pools */
void rig_spawn(struct rig *r);           /* the daemon alone; returns when it serves */
void rig_launch(struct rig *r);          /* ... does not wait for that */
void rig_await_served(struct rig *r);
void rig_await_log(struct rig *r, const char *words); /* in what the daemon has said so far */
void rig_stop(struct rig *r); /* SIGTERM; asserts exit status 0; VMs go on */
/* SIGKILL for vmmd; returns when its children have seen that and are gone, too. 'then' (or NULL) is
 * called once vmmd is dead. rig_spawn() starts the next. */
void rig_kill(struct rig *r, void (*then)(void));
void rig_remove(struct rig *r); /* stops all VMs and the daemon, asserts that nothing is left */

/* One request; the JSON of the reply (NULL for another type). '*status' is the HTTP status, 0 when
 * the connection failed. */
json_t *rig_call(struct rig *r, const char *method, const char *path, const char *body,
                 int *status);
/* The same without waiting for an operation's end, and with an Idempotency-Key unless NULL. */
json_t *rig_send(struct rig *r, const char *method, const char *path, const char *body,
                 const char *key, int *status);
/* The same with 'Prefer: wait=60', asserting the status. */
json_t *rig_do(struct rig *r, const char *method, const char *path, const char *body, int status);
/* The raw body of a GET that must answer 200; owned by the caller. */
char *rig_get_bytes(struct rig *r, const char *path, size_t *len);

/* Creates a VM from the members in 'more' and returns nothing; the tiny guest boots in it. */
void rig_create_tiny(struct rig *r, const char *name);
/* Writes the file 'image' over the only disk of the pool "main" whose file ends in ".<suffix>". */
void rig_fill_disk(struct rig *r, const char *suffix, const char *image);
void rig_act(struct rig *r, const char *name, const char *verb); /* must succeed */
/* Waits until run.state (and run.reason unless NULL) of the VM is as said; fails after 'ms'. */
void rig_await(struct rig *r, const char *name, const char *state, const char *reason, int ms);
char *rig_text(struct rig *r, const char *name, const char *member); /* of GET /vms/name; owned */

/* Reads the serial log from '*offset' on until 'text' was seen; '*offset' moves behind it. */
bool rig_hears(struct rig *r, const char *name, uint64_t *offset, const char *text, int ms);
void rig_expect(struct rig *r, const char *name, uint64_t *offset, const char *text, int ms);
void rig_type(struct rig *r, const char *name, const char *text);
/* Boots: waits for the guest's prompt. */
void rig_boot(struct rig *r, const char *name, uint64_t *offset);
/* Bytes that came in the next 'ms'. */
size_t rig_serial_during(struct rig *r, const char *name, uint64_t *offset, int ms);

/* The last bytes of the daemon's log, on the test's output: after a failure. */
void rig_print_log(struct rig *r, long last_bytes);

/* Processes. 0 when there is none. */
pid_t rig_child(struct rig *r, const char *argv0); /* vmmd-main, vmmd-front */
struct rig_pids {
    pid_t worker, jail, qemu, net, passt;
};
struct rig_pids rig_pids(struct rig *r, const char *name);
bool rig_lives(pid_t pid);
void rig_await_dead(pid_t pid, int ms);
