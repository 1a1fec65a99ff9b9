/* What vmmd-preload.so, which goes into QEMU's process, finds there, and by which name QEMU asks
 * for it. Shared by whoever gives the descriptors (launch.c), the jail, which puts the library in
 * QEMU's way when one of them is given, and the library (vmmd/preload). Nothing else, and no type
 * of ours: the library stands alone. */
#pragma once

/* Descriptor numbers in QEMU: the last two that a jail places (JAIL_MAX_TARGET). Neither has to be
 * there. */
enum preload_fd {
    PRELOAD_FD_UFFD = 249, /* /dev/userfaultfd: QEMU may make userfaultfds without a right */
    PRELOAD_FD_MEMORY      /* a memory image, O_RDONLY, at no position in particular */
};

/* No file of that name is anywhere: an open of it is one of PRELOAD_FD_MEMORY. */
#define PRELOAD_MEMORY_PATH "/vmmd-memory-image"
