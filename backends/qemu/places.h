/* What it takes to go on with a machine's memory: JSON that memory_made() writes when an image is
 * made and a start from it reads. The state in an image belongs to devices by their places, so they
 * are noted as they are at that moment, whatever was plugged in or taken away before:
 *
 *   {"version":1,"qemu":"7.2.22","machine":"pc-q35-7.2","cpu":"host","accel":"kvm",
 *    "host_cpu":{"name":"…","id":"GenuineIntel-6-85-4","features":"…"},
 *    "vcpus":2,"root_ports":8,"usb_ports":15,
 *    "devices":{"diskdev0":{"bus":"rp1","addr":0,"num-queues":1},"tablet0":{"port":"2"},…}}
 *
 * For this folder only; pure but for places_look(). */
#pragma once
#include "core/base/json.h"

#include <stdbool.h>

struct machine;

/* QEMU's two names for how many queues a virtio device has. */
#define PLACES_QUEUES 2
extern const char *const places_queues[PLACES_QUEUES];

/* The whole of it, checked; the caller's. UNSUPPORTED: it is not of this form. */
json_t *places_read(const char *made, struct err *err) MUST_USE;
const char *places_machine(const json_t *made); /* the versioned type, as QEMU calls it */
unsigned places_vcpus(const json_t *made);
unsigned places_ports(const json_t *made);     /* root ports; 0 without PCI Express */
unsigned places_usb_ports(const json_t *made); /* of the controller that disks can use */
size_t places_count(const json_t *made);
/* Adds to a -device what puts it where the one of its id was; false when there was none. */
bool places_put(const json_t *made, json_t *device);

/* Adds vcpus, root_ports, usb_ports and devices as QEMU tells them (places_look.c). */
bool places_look(struct machine *m, json_t *made, struct err *err) MUST_USE;
/* Adds each device of QEMU's list of USB devices, a text for people, to 'devices'. */
void places_read_usb(const char *text, json_t *devices);
