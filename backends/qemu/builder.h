/* The growing launch request: shared by the argv_*.c files only. Each of them adds the arguments of
 * one part of a machine. */
#pragma once
#include "backends/qemu/argv.h"

struct builder {
    const struct machine_plan *plan;
    const struct argv_facts *facts;
    struct launch *launch;
    json_t *argv, *fds, *logs; /* borrowed from launch->json */
    int next_fd;               /* descriptor number inside QEMU */
    unsigned next_set;         /* number of the next descriptor set */
    unsigned next_port;        /* q35: the next free root port */
    bool has_usb;              /* there is a USB controller */
    const json_t *made;        /* of a memory image to begin with (places.h); NULL: a cold start */
    size_t n_known;            /* devices that were put where they were */
    char astray[32];           /* one that was not among them; "": none */
};

/* Places on a q35's root bus that are no root ports: what cannot be plugged in later anyway. */
#define ROOT_PORT_FIRST 0x02
#define CARD_FIRST      0x10 /* network cards that are no PCI Express devices */
#define WATCHDOG_PLACE  0x1c
#define USB_PLACE       0x1d
#define USB_PORTS       15 /* as many as QEMU has */

void arg(struct builder *b, const char *option, const char *fmt, ...) PRINTF(3, 4);
void arg_json(struct builder *b, const char *option, json_t *value); /* takes 'value' */
/* Attaches 'fd' to the launch request; returns its index. */
unsigned launch_attach(struct builder *b, int fd);
/* Announces the next descriptor number inside QEMU with the role; returns the number. */
int launch_fd(struct builder *b, const char *role);
/* Announces 'fd' as a descriptor set of its own; returns its number: "/dev/fdset/<number>". */
unsigned launch_set(struct builder *b, int fd);
/* The same with a name, by which it is found again when it is not needed any more. */
unsigned launch_set_named(struct builder *b, int fd, const char *name);
bool is_q35(const struct builder *b);
/* Adds "bus": the next PCI slot that can be hot-plugged. */
void place_on_pci(struct builder *b, json_t *device);
/* Adds "bus" and, on a q35, "addr": a device of the root bus itself. */
void place_on_root(struct builder *b, json_t *device, unsigned place);
/* Adds "port" when the device goes where it was; else QEMU takes the first free one. */
void place_on_usb(struct builder *b, json_t *device);

/* argv_cpu.c: memory, board, processors */
void board_add(struct builder *b);
void processor_add(struct builder *b);
/* argv_firmware.c: the firmware's code and variables, the kernel given directly, boot order */
void firmware_add(struct builder *b);
void boot_add(struct builder *b);
enum boot_kind { BOOT_DISK, BOOT_CDROM, BOOT_NETWORK };
/* Adds "bootindex" to the n-th device of a kind, unless boot.order leaves the kind out. */
void boot_place(const struct builder *b, json_t *device, enum boot_kind kind, size_t n);
/* True when the network is to be tried before anything else. */
bool boot_network_first(const struct vm_spec *spec);
/* argv_device.c */
void consoles_add(struct builder *b);
void display_add(struct builder *b);
void entropy_add(struct builder *b);
void usb_add(struct builder *b, bool for_disks);
void helpers_add(struct builder *b); /* watchdog, pointer, generation id */
/* argv_net.c */
void nics_add(struct builder *b);
unsigned nics_pci_slots(const struct machine_plan *plan);
/* argv_disk.c */
bool disks_add(struct builder *b, struct err *err) MUST_USE;
unsigned disks_pci_slots(const struct machine_plan *plan);
unsigned disks_on_ide(const struct machine_plan *plan);
bool place_on_ide(const struct builder *b, json_t *device, unsigned n, const char *field,
                  struct err *err) MUST_USE;
/* argv_media.c */
bool cdroms_add(struct builder *b, struct err *err) MUST_USE;
