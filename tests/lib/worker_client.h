/* Verbs for tests that speak with a vmmd-worker: one daemon's conversation, and a guest of one boot
 * sector that greets on the serial port and echoes. Every verb fails the test when it cannot do
 * what it says; nothing waits longer than WORKER_TEST_MS. */
#pragma once
#include "backends/qemu/worker_wire.h"
#include "core/base/json.h"
#include "tests/lib/spawn.h"

#define WORKER_TEST_MS                                                                             \
    60000 /* for what happens soon, on a machine that does other things as well */

/* One daemon's conversation. */
struct client {
    int sock;
    uint32_t epoch, last_id;
    struct frame_reader in;
    json_t *events;      /* all that came, oldest first */
    uint64_t serial_end; /* as told last */
};

void client_init(struct client *c, int sock, uint32_t epoch); /* 'sock' is borrowed */
void client_clear(struct client *c);
/* Sends a request; returns its id. */
uint32_t client_send(struct client *c, uint16_t type, const void *data, size_t len, const int *fds,
                     unsigned n_fds);
/* The answer to request 'id' (owned by the caller); other frames are noted. */
json_t *client_answer(struct client *c, uint32_t id, bool *failed);
/* Reads one frame that is no answer and notes it. */
void client_wait(struct client *c);
/* A request that must be granted: its answer, owned by the caller. */
json_t *client_ask(struct client *c, uint16_t type, const char *text);
void client_tell(struct client *c, uint16_t type, const char *text); /* the same, answer dropped */
/* A request that must be refused with this code. */
void client_expect_refusal(struct client *c, uint16_t type, const char *text, const char *code);
json_t *client_hello(struct client *c, uint64_t after);
json_t *client_qmp(struct client *c, const char *command);
/* Waits for an event by name; borrowed from the client. */
const json_t *client_await_event(struct client *c, const char *name);
/* Waits until the peer has closed. */
void client_await_end(struct client *c);

struct guest {
    struct spawned s;
    struct client c; /* epoch 5 */
    int serial_log, qemu_log;
    int uffd; /* /dev/userfaultfd, lent to QEMU; -1 (after guest_init) when it is not */
    uint64_t file_max_bytes; /* of LAUNCH, unless 0 */
    pid_t qemu;              /* once launched */
};

/* Spawns a worker and says HELLO. */
void guest_init(struct guest *g, bool rootless);
void guest_clear(struct guest *g);
/* A second conversation: a new connection to worker.sock. */
int guest_dial(const struct guest *g);
/* LAUNCH with one more argument for QEMU and, with 'mtu', a passt NIC; the answer is the caller's.
 */
json_t *guest_launch_answer(struct guest *g, const char *extra_arg, const char *mtu, bool *failed);
void guest_launch(struct guest *g, const char *mtu);
/* All of it: worker, QEMU, running, "BOOT" seen. */
void guest_boot(struct guest *g, bool rootless);
void guest_type(struct guest *g, const char *text);
/* The serial log as text, owned by the caller; and waiting until it holds 'text'. */
char *guest_serial(const struct guest *g);
void guest_await_serial(struct guest *g, const char *text);
/* A negative status: whichever. */
void guest_expect_record(const struct guest *g, const char *cause, int wstatus);
/* The worker has left by itself without complaint; its socket and its lock are gone. */
void guest_expect_clean_end(struct guest *g);
bool guest_lock_is_free(const struct guest *g);
