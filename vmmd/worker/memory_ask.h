/* WORKER_MEMORY, checked (the JSON is described in backends/qemu/worker_wire.h). */
#pragma once
#include "backends/qemu/worker_wire.h"
#include "core/base/id.h"

#include <stdint.h>

#define MEMORY_NODE_BYTES 64

enum memory_ask_way {
    ASK_BACKGROUND,
    ASK_PRECOPY,
    ASK_STILL, /* the guest stays so */
    ASK_PAUSE  /* it stands still meanwhile, and goes on */
};

struct memory_ask {
    struct uuid image;
    enum memory_ask_way way;
    uint64_t ram_bytes;
    unsigned n;
    struct {
        char node[MEMORY_NODE_BYTES];    /* what a disk writes to */
        char overlay[MEMORY_NODE_BYTES]; /* what it is to write to */
    } overlays[WORKER_MEMORY_MAX];
};

/* Reads a request; owned by the caller (free()). NULL with MALFORMED or INVALID. What is accepted
 * names no node twice. */
struct memory_ask *memory_ask_read(const char *text, size_t len, struct err *err) MUST_USE;
/* The "image" of a request. */
bool memory_ask_image(const char *text, size_t len, struct uuid *image, bool *cancel,
                      struct err *err) MUST_USE;
