/* A VM's configuration: what a client writes, what the store keeps, what a backend starts. */
#pragma once
#include "core/model/field.h"

enum vm_backend { VM_BACKEND_QEMU, VM_BACKEND_FAKE };
enum vm_machine { VM_MACHINE_Q35, VM_MACHINE_PC };
enum vm_accel { VM_ACCEL_AUTO, VM_ACCEL_KVM, VM_ACCEL_TCG };
enum disk_format { DISK_QCOW2, DISK_RAW };
enum disk_bus { DISK_BUS_VIRTIO, DISK_BUS_SCSI, DISK_BUS_IDE };
enum nic_network { NIC_USER };
enum nic_model { NIC_VIRTIO, NIC_E1000E };

extern const char *const vm_backend_names[];
extern const char *const vm_machine_names[];
extern const char *const vm_accel_names[];
extern const char *const disk_format_names[];
extern const char *const disk_bus_names[];
extern const char *const nic_network_names[];
extern const char *const nic_model_names[];

struct vm_boot {
    char *kernel;  /* name of a boot entry of vmmd.conf, NULL: the disks' boot loader */
    char *cmdline; /* for that kernel, NULL for none */
};

struct vm_disk {
    struct uuid id; /* given by vmmd */
    char *pool;     /* name or id as the client wrote it; the pool's id once created */
    uint64_t size_bytes;
    int format; /* enum disk_format */
    int bus;    /* enum disk_bus */
};

struct vm_nic {
    int network; /* enum nic_network */
    int model;   /* enum nic_model */
    char *mac;   /* NULL: vmmd chooses one when the VM is created */
};

struct vm_spec {
    char *name;
    char *notes;
    json_t *labels;
    int backend; /* enum vm_backend */
    int machine; /* enum vm_machine */
    int accel;   /* enum vm_accel */
    uint32_t vcpus;
    uint64_t memory_bytes;
    struct vm_boot boot;
    struct vm_disk *disks;
    size_t n_disks;
    struct vm_nic *nics;
    size_t n_nics;
    uint32_t shutdown_timeout_s; /* grace for 'shutdown' before it fails */
};

extern const struct model vm_model;      /* struct vm_spec, schema VmSpec */
extern const struct model vm_disk_model; /* struct vm_disk, schema VmDisk */
extern const struct model vm_nic_model;  /* struct vm_nic, schema VmNic */

void vm_spec_clear(struct vm_spec *spec); /* for CLEANUP(vm_spec_clear) */
