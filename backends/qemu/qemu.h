/* What the program that links backend_qemu has to tell it before the first call. */
#pragma once
#include "core/base/err.h"

#include <stdint.h>

/* The number of this daemon: raised in the database at every start. Workers refuse a lower one.
 * Call once, before any start() or attach(). */
void backend_qemu_init(uint32_t epoch);

/* Where backend_probe_host() finds the KVM self-test and keeps its verdict until the next boot.
 * 'kvmtest': path of vmmd-kvmtest (may be "/proc/self/fd/N"), NULL: beside the running program.
 * 'cache_dir': a directory this process may write to, NULL: nothing is kept. Both are copied. */
void backend_probe_init(const char *kvmtest, const char *cache_dir);
/* Path of vmmd-pack (may be "/proc/self/fd/N"), before there are threads. Without it no memory
 * image can be packed. */
void image_pack_init(const char *path);
/* The same for vmmd-inspect: without it no stranger's image is looked into. */
void image_inspect_init(const char *path);
