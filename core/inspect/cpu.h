/* The processor: what /proc/cpuinfo and sysfs say of it. */
#pragma once
#include "core/base/json.h"

#include <stdbool.h>

struct cpu_facts {
    char vendor[32], model[80], microcode[24]; /* "GenuineIntel" or "AuthenticAMD", …; "" unknown */
    unsigned family, model_number, stepping;
    unsigned threads, cores, sockets; /* online; at least 1 each */
    bool vmx, svm;                    /* hardware virtualization: Intel, AMD */
    bool slat;                        /* second-level address translation: ept or npt */
    bool hypervisor;                  /* this host is a guest itself */
    bool long_mode;                   /* 64-bit */
    char flags[4096];                 /* all of them, separated by blanks */
};
/* 'root': see sysfs.h. What cannot be read is "unknown", 0 or false. */
void cpu_read(int root, struct cpu_facts *out);

/* Members of the Cpu of the inventory: {vendor, model, …, flags, vulnerabilities}. 'flags' are
 * those that matter to guests. */
json_t *cpu_inventory(int root);
/* How the kernel judges the processor's known holes: object of name -> sentence. */
json_t *cpu_vulnerabilities(int root);
