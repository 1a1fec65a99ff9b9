/* What the field tables cannot say: which members of a VM's configuration go together. Pure; what
 * depends on the host is in core/vm/create.c. */
#pragma once
#include "core/model/vm.h"

/* INVALID with err->field at the member that has to change. */
bool vm_spec_rules(const struct vm_spec *spec, struct err *err) MUST_USE;
/* The same of one disk, for adding, growing and limiting one. */
bool disk_size_rules(int format, uint64_t size_bytes, struct err *err) MUST_USE;
bool disk_limits_rules(const struct disk_limits *limits, struct err *err) MUST_USE;
/* Do they differ in nothing that a running machine can be told? */
bool vm_limits_eq(const struct vm_limits *a, const struct vm_limits *b);
/* INVALID: QEMU would not find the threads it needs for this many processors. */
bool vm_limits_suffice(const struct vm_spec *spec, struct err *err) MUST_USE;
bool disk_limits_eq(const struct disk_limits *a, const struct disk_limits *b);
/* Processors the board has room for: cpu.max_vcpus, at least vcpus. */
unsigned vm_spec_max_vcpus(const struct vm_spec *spec);
/* IDE devices (disks and CD drives) a board takes: 6 (q35) or 4. */
unsigned vm_spec_ide_room(const struct vm_spec *spec);
