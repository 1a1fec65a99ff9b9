/* The real vmmd and vmmd-front in a temporary directory, with stand-ins for the rest (standin.h),
 * and verbs to start them, ask the helper and look at processes. One world at a time. */
#pragma once
#include "tests/lib/harness.h"
#include "tests/lib/standin.h"

#include "core/base/id.h"
#include "vmmd/priv/proto.h"

#include <sys/types.h>

#define PATIENCE 20000 /* ms: nothing takes that long unless it is broken */
#define NOBODY   65534 /* the ordinary user of the rootless stories */

extern struct parent_world {
    char *dir;
    char *log;  /* file with vmmd's stderr */
    uid_t uid;  /* who starts vmmd */
    pid_t vmmd; /* 0: not running */
    unsigned port;
} world;

/* Fixtures: a running vmmd of root, of an ordinary user, or everything but a running vmmd. The
 * teardown ends it, and every process that a story left. */
int start_as_root(void **state);
int start_as_user(void **state);
int make_only(void **state);
int stop(void **state);
/* For main(): the children of dead processes become ours. */
void parent_init(void);

char *below(const char *name); /* in the world's directory; the caller's */
void shell(const char *command);
void write_config(const char *extra); /* lines for [vmmd] */
pid_t start_vmmd(const char *failpoint);
char *read_log(void); /* the caller's */
void wait_serving(void);

/* Asks main. False when main died over it. The payload (NUL-terminated) is the caller's. */
bool ask(enum ask what, const void *data, size_t len, char **reply, size_t *reply_len, int *fd);
struct priv_reply request(struct priv_request req, int *fd); /* one request to the helper */
struct uuid vm_id(uint8_t n);
bool have_cgroups(void);
/* 'flags': enum priv_spawn_flag. The worker's report, the caller's. */
char *spawn(uint8_t vm, uint32_t slot, uint32_t flags);
void kill_worker(uint8_t vm);
pid_t worker_pid(const char *report);

int wait_exit(pid_t pid);  /* exit code, or 1000 + signal */
void wait_gone(pid_t pid); /* any process */
/* The child of 'parent' that was started under this name and is not 'old', waited for. */
pid_t child_named(pid_t parent, const char *name, pid_t old);
char *status_of(pid_t pid); /* /proc/PID/status, the caller's */
void assert_status(pid_t pid, const char *line);
void assert_no_rights(pid_t pid);
void assert_uid(pid_t pid, uid_t root_install); /* rootless: the caller's */
char *echo_over_tls(const char *text);          /* what the front and main answer; the caller's */

#define AS_ROOT(f) cmocka_unit_test_setup_teardown(f, start_as_root, stop)
#define AS_USER(f)                                                                                 \
    {                                                                                              \
#f "_rootless", f, start_as_user, stop, NULL                                               \
    }
#define MADE(f) cmocka_unit_test_setup_teardown(f, make_only, stop)
