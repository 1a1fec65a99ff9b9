/* A VM's states and verbs, and the one table that says which verb is possible in which state. The
 * same table serves the claim, the sentence of the 409, the "actions" of every VM reply (from which
 * user interfaces draw their buttons) and docs/states.md. Pure: no I/O, no locks. */
#pragma once
#include "core/base/err.h"

/* What was observed of the VM. X(name, text) */
#define VM_RUNS(X)                                                                                 \
    X(OFF, "off")                                                                                  \
    X(STARTING, "starting")                                                                        \
    X(RUNNING, "running")                                                                          \
    X(PAUSED, "paused")                                                                            \
    X(STOPPING, "stopping")                                                                        \
    X(SAVED, "saved")                                                                              \
    X(CRASHED, "crashed")                                                                          \
    X(UNKNOWN, "unknown") /* its worker does not answer and is not proven dead */

/* Why it is in that state. X(name, text) */
#define VM_REASONS(X)                                                                              \
    X(NONE, "")                                                                                    \
    X(USER, "user")                                                                                \
    X(IO_ERROR, "io-error")                                                                        \
    X(NO_SPACE, "no-space")                                                                        \
    X(GUEST_PANIC, "guest-panic")                                                                  \
    X(WATCHDOG, "watchdog")                                                                        \
    X(MIGRATION, "migration")                                                                      \
    X(DEBUG, "debug")                                                                              \
    X(GUEST_SHUTDOWN, "guest-shutdown")                                                            \
    X(START_FAILED, "start-failed")                                                                \
    X(START_TIMEOUT, "start-timeout")                                                              \
    X(WORKER_LOST, "worker-lost")                                                                  \
    X(SIGNAL, "signal")                                                                            \
    X(SECCOMP, "seccomp")                                                                          \
    X(EXIT, "exit")                                                                                \
    X(OOM, "oom")                                                                                  \
    X(HOST_RESET, "host-reset")                                                                    \
    X(HOST_SHUTDOWN, "host-shutdown") /* saved by it while it ran: goes on after the boot */

/* What was asked for. */
#define VM_DESIRES(X) X(OFF, "off") X(RUNNING, "running") X(PAUSED, "paused") X(SAVED, "saved")

/* X(name, text, takes the VM exclusively, sentence part "… the VM") */
#define VM_VERBS(X)                                                                                \
    X(START, "start", true, "start")                                                               \
    X(SHUTDOWN, "shutdown", true, "shut down")                                                     \
    X(STOP, "stop", false, "force off")                                                            \
    X(RESET, "reset", true, "reset")                                                               \
    X(PAUSE, "pause", true, "pause")                                                               \
    X(RESUME, "resume", true, "resume")                                                            \
    X(SAVE, "save", true, "save")                                                                  \
    X(DISCARD, "discard", true, "discard the saved state of")                                      \
    X(DELETE, "delete", true, "delete")                                                            \
    X(SNAPSHOT, "snapshot", true, "take a snapshot of")                                            \
    X(REVERT, "revert", true, "revert")                                                            \
    X(DELETE_SNAPSHOT, "delete-snapshot", true, "delete a snapshot of")                            \
    X(ARCHIVE_SNAPSHOT, "archive-snapshot", true, "archive a snapshot of")                         \
    X(UNARCHIVE_SNAPSHOT, "unarchive-snapshot", true, "unarchive a snapshot of")                   \
    X(CLONE, "clone", true, "clone")                                                               \
    X(EXPORT, "export", true, "export")                                                            \
    X(FLATTEN, "flatten", true, "make independent")                                                \
    X(MOVE_STORAGE, "move-storage", true, "move the storage of")                                   \
    X(ADD_DISK, "add-disk", true, "add a disk to")                                                 \
    X(IMPORT_DISK, "import-disk", true, "import a disk of")                                        \
    X(REMOVE_DISK, "remove-disk", true, "remove a disk of")                                        \
    X(GROW_DISK, "grow-disk", true, "grow a disk of")                                              \
    X(SEND_KEY, "send-key", false, "press keys on")                                                \
    X(TYPE, "type", false, "type on")                                                              \
    X(POINTER, "pointer", false, "move the pointer of")                                            \
    X(NMI, "nmi", false, "interrupt")

enum vm_run {
#define X(name, text) VM_##name,
    VM_RUNS(X)
#undef X
        VM_RUN_COUNT
};
enum vm_reason {
#define X(name, text) VM_REASON_##name,
    VM_REASONS(X)
#undef X
        VM_REASON_COUNT
};
enum vm_desired {
#define X(name, text) VM_DESIRED_##name,
    VM_DESIRES(X)
#undef X
        VM_DESIRED_COUNT
};
enum vm_verb {
#define X(name, text, exclusive, words) VM_VERB_##name,
    VM_VERBS(X)
#undef X
        VM_VERB_COUNT
};

const char *vm_run_text(enum vm_run run);
const char *vm_reason_text(enum vm_reason reason); /* "" for none */
const char *vm_desired_text(enum vm_desired desired);
const char *vm_verb_text(enum vm_verb verb);
bool vm_run_parse(const char *text, enum vm_run *out);
bool vm_reason_parse(const char *text, enum vm_reason *out);
bool vm_desired_parse(const char *text, enum vm_desired *out);
bool vm_verb_parse(const char *text, enum vm_verb *out);

bool vm_may(enum vm_verb verb, enum vm_run run);
/* As vm_may(), with WRONG_STATE and the sentence: what is wrong and what is possible. */
bool vm_check(enum vm_verb verb, enum vm_run run, const char *name, struct err *err) MUST_USE;
bool vm_verb_is_exclusive(enum vm_verb verb); /* needs the VM's claim; 'stop' takes it over */
bool vm_run_may_become(enum vm_run from, enum vm_run to);
bool vm_run_is_live(enum vm_run run); /* a worker exists or may exist */
