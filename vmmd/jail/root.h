/* The jail's file system: built before QEMU starts, emptied once it runs. */
#pragma once
#include "vmmd/jail/request.h"

#define JAIL_PRELOAD_DIR  "/preload"
#define JAIL_PRELOAD_PATH JAIL_PRELOAD_DIR "/vmmd-preload.so"

/* Makes and enters a read-only tmpfs root with /usr (read-only), lib, lib64, bin, /dev/null,
 * /dev/kvm when 'kvm_path' is the path of a node, and /in with copies of the request's input files,
 * read from 'fds'; with the library that QEMU preloads (JAIL_PRELOAD_PATH, copied from 'preload')
 * when the request has a descriptor for it. The caller is root of its own user and mount
 * namespaces. Blocks on the copying. */
bool jail_root_build(const struct jail_request *request, const int *fds, const char *kvm_path,
                     int preload, struct err *err) MUST_USE;
/* Takes /usr, /in, /preload, /dev/kvm and the links away: only /dev/null stays. */
bool jail_root_seal(struct err *err) MUST_USE;
