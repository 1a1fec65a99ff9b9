/* Whether what an image was made with fits what is here: for this folder and its tests. */
#pragma once
#include "core/base/json.h"
#include "core/port/backend.h"

/* What is here. */
struct fit_host {
    const char *qemu;                              /* its version; "" when there is none */
    const json_t *cpu;                             /* as fit_host_cpu() says */
    bool (*knows)(void *ctx, const char *machine); /* whether this QEMU has the machine type */
    void *ctx;
};

/* Pure. UNSUPPORTED with the reason. */
bool fit_check(const json_t *made, const struct fit_host *host, const struct vm_spec *spec,
               enum vm_accel accel, struct err *err) MUST_USE;
/* The processor that /proc/cpuinfo describes, in 'text': {"name","id","features"}; the caller's. */
json_t *fit_host_cpu(const char *text);

bool machine_memory_made(struct machine *m, char **made, struct err *err) MUST_USE;
bool machine_memory_fits(const char *made, const struct vm_spec *spec, enum vm_accel accel,
                         struct err *err) MUST_USE;
