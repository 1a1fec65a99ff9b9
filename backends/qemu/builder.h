/* The growing launch request: shared by argv.c and argv_disk.c only. */
#pragma once
#include "backends/qemu/argv.h"

struct builder {
    const struct machine_plan *plan;
    const struct argv_facts *facts;
    struct launch *launch;
    json_t *argv, *fds; /* borrowed from launch->json */
    int next_fd;        /* descriptor number inside QEMU */
    unsigned next_set;  /* number of the next descriptor set */
    unsigned next_port; /* q35: the next free root port */
};

void arg(struct builder *b, const char *option, const char *fmt, ...) PRINTF(3, 4);
void arg_json(struct builder *b, const char *option, json_t *value); /* takes 'value' */
/* Attaches 'fd' to the launch request; returns its index. */
unsigned launch_attach(struct builder *b, int fd);
/* Announces the next descriptor number inside QEMU with the role; returns the number. */
int launch_fd(struct builder *b, const char *role);
/* Adds "bus": the next PCI slot that can be hot-plugged. */
void place_on_pci(struct builder *b, json_t *device);

/* argv_disk.c */
bool disks_add(struct builder *b, struct err *err) MUST_USE;
bool disks_want_scsi(const struct machine_plan *plan);
unsigned disks_pci_slots(const struct machine_plan *plan);
