/* What main and a worker say to each other: frames (core/base/frame.h) over one stream socket.
 *
 * A worker listens on worker.sock in its run directory; the first conversation comes over the
 * socket that the helper returned from WORKER_SPAWN, later ones over worker.sock. The first frame
 * of a conversation is HELLO. The highest epoch wins: a newer daemon's HELLO ends the older
 * conversation, an older one's is refused with BUSY. See docs/processes.md. */
#pragma once
#include "core/base/frame.h"

#define WORKER_VERSION    1
#define WORKER_EVENTS     1024 /* kept for a daemon that was away */
#define WORKER_SOCK       "worker.sock"
#define WORKER_ALIVE      "alive" /* flock()ed as long as the worker or its jail lives */
#define WORKER_EXIT       "exit"  /* the exit record, published when QEMU is gone */
#define WORKER_PASSTS     1       /* descriptors of the role passt in one LAUNCH */
#define WORKER_SERIALS    4       /* serial ports at most */
#define WORKER_SEAL_MS    30000   /* from LAUNCH to QEMU sealed */
#define WORKER_PIVOT_MAX  40      /* disks that switch at once: their record fits into a slot */
#define WORKER_MEMORY_MAX 40      /* disks that switch as the memory is written */

/* Requests; each is answered by OK or ERROR with the same id. Payloads are JSON but for INPUT. */
enum worker_type {
    WORKER_HELLO = 1, /* {"min":1,"max":1,"events_after":n} -> {"version","vm","pid","qemu_pid",
                       *  "phase","status":"running|paused|…"(QEMU's run state, "" before LAUNCH),
                       *  "events":last seq,"serial_end":bytes,"held":bool,
                       *  "commit_log":bool (it can pivot),"pivoting":bool,"memory":bool (it can
                       *  write memory images),"memory_limited":bool (the kernel ends a QEMU that
                       *  takes more than it was given),"memory_image":uuid of one or null}; events
                       *  after n follow as EVENT frames */
    WORKER_LAUNCH,    /* struct worker_launch as JSON (below) + descriptors ->
                       *  {"qemu_pid":n,"memory_limited":bool} once QMP answers and the jail is sealed;
                       *  the guest has not run an instruction */
    WORKER_QMP,   /* {"execute":"…","arguments":{…}} + descriptors -> QMP's "return" value */
    WORKER_INPUT, /* raw bytes for the first serial port -> {"serial_end":n} */
    WORKER_KILL,  /* {} -> {} when QEMU is gone and the exit record is published */
    WORKER_HOLD,  /* {"on":bool}: keep QEMU after a guest's power-off (a storage job runs) */
    WORKER_INPUT_PORT, /* u32 port and raw bytes for it -> {"serial_end":n} */
    WORKER_PIVOT, /* {"jobs":["…",…],"record":{"job":uuid,"leaves":[{"disk":uuid,"file":uuid},…]}}:
                   *  the block jobs switch their disks together, and the record goes into the
                   *  commit log -> {"outcome":"committed|cancelled|unknown","pause_us":n,
                   *  "detail":"…","job":uuid}; the same as the event WORKER_PIVOTED */
    WORKER_MEMORY,       /* {"image":uuid,"way":"background|precopy|still|pause","ram_bytes":n,
                          *  "overlays":[{"node":"…","overlay":"…"},…]} + the image's descriptor: the
                          *  guest's memory is written, and its disks switch at that instant -> {} once
                          *  it has begun. A guest goes on that stands still for "pause" */
    WORKER_MEMORY_STATE, /* {"image":uuid} -> {"image","state":"none|writing|ended","still":bool,
                          *  "switched":bool,"done","total":bytes,"pause_us","ram_bytes",
                          *  "held_bytes","error":"…","no_space":bool}; the same as the event
                          *  WORKER_MEMORY_ENDED */
    WORKER_MEMORY_END,  /* {"image":uuid,"cancel":bool} -> {}: cancel asks for its end, and lets the
                         *  guest go on that stands still after it has worked; else one that has
                         *  ended is forgotten */
    WORKER_MEMORY_LOOK, /* {} -> {"can":bool,"background":bool,"reason":why not,"pause":bool (it
                         *  knows this way),"from_image":bool (the guest began with one)} */

    WORKER_OK = 100,
    WORKER_ERROR,  /* {"code":slug,"detail":"…"} */
    WORKER_EVENT,  /* {"seq":n,"at":wall ms,"event":"RESET|STOP|RESUME|SHUTDOWN|…","data":{…}};
                    *  the worker's own: "WORKER_EXITED" with the exit record as data,
                    *  "WORKER_PASST_ENDED": the guest has lost its network, "WORKER_PIVOTED",
                    *  "WORKER_MEMORY_ENDED", and "WORKER_LOG_FAILED": the guest is stopped since the
                    * commit log failed. Data  that is too large  is left out and "truncated":true
                    * added */
    WORKER_SERIAL, /* u64 end of the first serial port's log, at most every 20 ms */
    WORKER_SERIAL_PORT /* the same of another port: struct worker_serial_port */
};

struct worker_serial_port {
    uint64_t end;
    uint32_t port, pad;
};

/* A VM that was started by an earlier release has one serial port, and its worker knows neither of
 * the two frames with a port: nothing has to be agreed on. */

/* LAUNCH: {"argv":["/usr/bin/qemu-system-x86_64",…],
 *          "fds":[{"fd":3,"role":"qmp"},{"fd":4,"role":"serial"},{"fd":5,"role":"passt"},
 *                 {"fd":6,"role":"file","index":0},{"input":"kernel","role":"file","index":1}],
 *          "passt":["--mtu","…"],
 *          "file_max_bytes":n,        (no file grows further by QEMU's writing; left out: all may)
 *          "logs":{"serial":i,"serial1":k,…,"qemu":j,"commit":l}}
 * A serial entry may have a "port", 0 when it has none; its log is "serial" for port 0 and
 * "serial<port>" for the others.
 * "fd" is the number QEMU finds it under; "input" copies the file to /in/<name> inside the jail;
 * "index" and the logs' numbers count the descriptors attached to the frame. The worker makes the
 * ends of qmp, serial and passt itself. */

/* Phases of a worker, in HELLO's reply. */
#define WORKER_PHASES(X) X(idle) X(launching) X(ready) X(exited)

/* The exit record: {"boot_id","cause","wstatus","qemu_log":"last lines","at"} and, for
 * launch-failed and distrusted, "detail"; causes: */
#define WORKER_CAUSES(X)                                                                           \
    X(guest_shutdown, "guest-shutdown") /* the guest powered off */                                \
    X(killed, "killed")                 /* WORKER_KILL */                                          \
    X(host_quit, "host-quit")           /* QMP quit */                                             \
    X(guest_panic, "guest-panic")                                                                  \
    X(launch_failed, "launch-failed")                                                              \
    X(distrusted, "distrusted")     /* the worker ended it for what it said: "detail" */           \
    X(oom, "oom")                   /* the kernel ended QEMU because memory ran out */             \
    X(memory_limit, "memory-limit") /* ... because the VM reached its limit of memory */           \
    X(signal, "signal")             /* QEMU died of a signal; SIGSYS is the seccomp filter */      \
    X(exit, "exit")                 /* QEMU ended by itself with a status */
