/* A VM's configuration: what a client writes, what the store keeps, what a backend starts. */
#pragma once
#include "core/model/field.h"

/* What kind of guest it is: chooses defaults (core/model/profile.h), and nothing else. */
enum vm_profile {
    PROFILE_LINUX,
    PROFILE_LINUX_LEGACY,
    PROFILE_WINDOWS_11,
    PROFILE_WINDOWS_10,
    PROFILE_WINDOWS_LEGACY,
    PROFILE_BSD,
    PROFILE_DOS,
    PROFILE_OTHER
};
enum vm_backend { VM_BACKEND_QEMU, VM_BACKEND_FAKE };
enum vm_machine { VM_MACHINE_Q35, VM_MACHINE_PC };
enum vm_accel { VM_ACCEL_AUTO, VM_ACCEL_KVM, VM_ACCEL_TCG };
enum disk_format { DISK_QCOW2, DISK_RAW, DISK_VHD, DISK_VHDX };
enum disk_bus { DISK_BUS_VIRTIO, DISK_BUS_SCSI, DISK_BUS_IDE, DISK_BUS_USB, DISK_BUS_NVME };
enum nic_network { NIC_USER };
enum nic_model { NIC_VIRTIO, NIC_E1000E, NIC_E1000, NIC_RTL8139 };
enum vm_firmware_type { FIRMWARE_BIOS, FIRMWARE_UEFI };
enum vm_video_model { VIDEO_STD, VIDEO_VIRTIO, VIDEO_QXL, VIDEO_CIRRUS, VIDEO_NONE };
enum vm_clock { CLOCK_UTC, CLOCK_LOCALTIME };
enum vm_pointer { POINTER_TABLET, POINTER_MOUSE };
enum vm_watchdog { WATCHDOG_NONE, WATCHDOG_I6300ESB };
enum vm_restart_policy { RESTART_NEVER, RESTART_ON_CRASH, RESTART_ALWAYS };
enum vm_host_action { HOST_SHUTDOWN_GUEST, HOST_STOP_GUEST, HOST_SAVE_GUEST };

extern const char *const vm_profile_names[];
extern const char *const vm_backend_names[];
extern const char *const vm_machine_names[];
extern const char *const vm_accel_names[];
extern const char *const disk_format_names[];
extern const char *const disk_bus_names[];
extern const char *const disk_drivers[]; /* QEMU's words for the formats of images (image.h) */
extern const char *const nic_network_names[];
extern const char *const nic_model_names[];
extern const char *const vm_firmware_names[];
extern const char *const vm_video_names[];
extern const char *const vm_clock_names[];
extern const char *const vm_pointer_names[];
extern const char *const vm_watchdog_names[];
extern const char *const vm_restart_names[];
extern const char *const vm_host_action_names[];

#define VM_SERIAL_PORTS_MAX 4
#define VM_CDROMS_MAX       4
#define VM_HEADS_MAX        8
#define MEDIA_NAME_MAX      127
#define VM_DISKS_MAX        16

struct vm_cpu {
    char *model;                      /* of QEMU; NULL: the host's with KVM, else all TCG has */
    uint32_t sockets, cores, threads; /* 0: chosen by vmmd */
    uint32_t max_vcpus; /* vcpus can grow up to it while the VM runs; 0: they cannot */
};

struct vm_firmware {
    int type;         /* enum vm_firmware_type */
    bool secure_boot; /* UEFI with the usual keys enrolled */
};

struct vm_boot {
    char *kernel;  /* name of a boot entry of vmmd.conf, NULL: the disks' boot loader */
    char *cmdline; /* for that kernel, NULL for none */
    char *order;   /* "disk,cdrom,network": which kinds are tried, in this order */
    bool menu;     /* the firmware shows its boot menu for a few seconds */
};

struct vm_video {
    int model; /* enum vm_video_model */
    uint32_t heads;
};

struct vm_cdrom {
    char *media; /* name of an ISO file in the "media" folder of a pool root; NULL: empty tray */
};

struct vm_autostart {
    bool enabled;
    uint32_t order;   /* lower ones first; equal ones together */
    uint32_t delay_s; /* waited after this one before the next order */
};

struct vm_schedule {
    uint32_t every_min;  /* 0: none are taken */
    uint32_t offset_min; /* after midnight UTC, for intervals of hours and days */
    uint32_t keep_last, keep_hourly, keep_daily, keep_weekly;
};

struct vm_restart {
    int policy;             /* enum vm_restart_policy */
    uint32_t max_in_10_min; /* then it stays as it is */
};

struct vm_host_shutdown {
    int action; /* enum vm_host_action */
    uint32_t timeout_s;
};

/* What a guest may do to a disk in a second. 0: as much as it can. */
struct disk_limits {
    uint64_t iops, iops_read, iops_write;
    uint64_t bytes, bytes_read, bytes_write;
    /* What it may do for burst_s seconds before that holds. 0: no burst. */
    uint64_t iops_burst, iops_read_burst, iops_write_burst;
    uint64_t bytes_burst, bytes_read_burst, bytes_write_burst;
    uint32_t burst_s;
};

struct vm_disk {
    struct uuid id; /* given by vmmd */
    char *pool;     /* name or id as the client wrote it; the pool's id once created */
    uint64_t size_bytes;
    int format; /* enum disk_format */
    int bus;    /* enum disk_bus */
    struct disk_limits limits;
};

struct vm_nic {
    int network; /* enum nic_network */
    int model;   /* enum nic_model */
    char *mac;   /* NULL: vmmd chooses one when the VM is created */
};

/* What a guest may take of its host. 0: as much as there is, or what vmmd chooses. */
struct vm_limits {
    uint32_t cpu_weight;         /* among the others when processors are short; they have 100 */
    uint32_t cpu_percent;        /* of one processor */
    uint32_t io_weight;          /* among the others when disks are busy; they have 100 */
    uint32_t pids;               /* threads of QEMU */
    uint64_t memory_extra_bytes; /* beyond its memory and what vmmd adds for QEMU */
};

struct vm_spec {
    char *name;
    char *notes;
    json_t *labels;
    int profile; /* enum vm_profile */
    int backend; /* enum vm_backend */
    int machine; /* enum vm_machine */
    int accel;   /* enum vm_accel */
    uint32_t vcpus;
    struct vm_cpu cpu;
    uint64_t memory_bytes;
    bool memory_overcommit; /* may promise more memory than the host has free */
    struct vm_limits limits;
    bool require_limits; /* does not start where one of them cannot be enforced */
    struct vm_firmware firmware;
    struct vm_boot boot;
    struct vm_disk *disks;
    size_t n_disks;
    struct vm_nic *nics;
    size_t n_nics;
    struct vm_cdrom *cdroms;
    size_t n_cdroms;
    struct vm_video video;
    uint32_t serial_ports;
    bool rng;
    int pointer;               /* enum vm_pointer */
    int watchdog;              /* enum vm_watchdog */
    int clock;                 /* enum vm_clock */
    bool hyperv;               /* Hyper-V enlightenments */
    struct uuid generation_id; /* told to the guest; changes when its past is no longer its own */
    struct vm_schedule snapshot_schedule;
    struct vm_autostart autostart;
    struct vm_restart restart;
    struct vm_host_shutdown host_shutdown;
    uint32_t shutdown_timeout_s; /* grace for 'shutdown' before it fails */
};

extern const struct model vm_model;                        /* struct vm_spec, schema VmSpec */
extern const struct model vm_disk_model;                   /* struct vm_disk, schema VmDisk */
extern const struct model disk_limits_model;               /* schema DiskLimits */
extern const struct model vm_nic_model;                    /* struct vm_nic, schema VmNic */
bool check_boot_order(const char *text, const char **why); /* disk, cdrom, network, each once */
bool check_cpu_model(const char *text, const char **why);
bool check_media(const char *text, const char **why); /* a file name */

struct vm_spec *vm_spec_copy(const struct vm_spec *spec); /* never fails; owned by the caller */
void vm_spec_freep(struct vm_spec **spec);                /* for CLEANUP(vm_spec_freep) */
void vm_spec_clear(struct vm_spec *spec);                 /* for CLEANUP(vm_spec_clear) */
