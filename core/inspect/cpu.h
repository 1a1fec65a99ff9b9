/* The processor's abilities that matter to a VM manager. */
#pragma once
#include <stdbool.h>

struct cpu_facts {
    char model[80];
    unsigned threads; /* online */
    bool vmx, svm;    /* hardware virtualization: Intel, AMD */
    bool slat;        /* second-level address translation: ept or npt */
    bool hypervisor;  /* this host is a guest itself */
    bool long_mode;   /* 64-bit */
};
void cpu_read(struct cpu_facts *out);
