/* One check of the host: the form that the files check_*.c fill in, a table each. To add a check,
 * add a row and its function; docs/doctor.md lists them (a test compares). */
#pragma once
#include "core/inspect/cpu.h"
#include "core/inspect/facts.h"

#include <stddef.h>

enum severity {
    SEVERITY_NONE = -1, /* says nothing about this host: left out */
    SEVERITY_OK,
    SEVERITY_INFO,    /* works, but a thing that some VMs want is missing */
    SEVERITY_WARNING, /* VMs run slower, less safely, or soon not any more */
    SEVERITY_ERROR    /* VMs do not start */
};

/* What a check sees and what it writes down. */
struct sight {
    const struct inspect_facts *facts;
    const struct cpu_facts *cpu;
    char evidence[512]; /* what was read, and where; one line */
    char fix[256];      /* instead of the table's; "" to keep that */
};

struct check {
    const char *id; /* stable: scripts name it */
    const char *title;
    enum severity (*look)(struct sight *s);
    const char *fix; /* shown unless the severity is ok; NULL: nothing to be done */
};

struct check_topic {
    const char *name;
    const struct check *checks;
    size_t n;
};

extern const struct check_topic checks_configuration, checks_cpu, checks_kvm, checks_memory,
    checks_storage, checks_isolation, checks_qemu, checks_network, checks_clock;

/* Writes the evidence, cut to fit, and returns 'severity': "return saw(s, SEVERITY_OK, …)". */
enum severity saw(struct sight *s, enum severity severity, const char *fmt, ...) PRINTF(3, 4);
/* Another fix than the table's. */
void advise(struct sight *s, const char *fmt, ...) PRINTF(2, 3);
