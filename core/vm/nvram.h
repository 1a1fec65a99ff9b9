/* The variables of a VM's UEFI firmware: a file in the VM's directory, made from the firmware's own
 * template before the first start and deleted with the VM. */
#pragma once
#include "core/core/core.h"
#include "core/model/vm.h"

struct vm;

/* Opens them O_RDWR for the firmware that 'spec' asks for, -1 on failure. With and without Secure
 * Boot are two files: what one firmware has written means nothing to the other. Blocks on the disk
 * when they are made. UNSUPPORTED when the firmware is not installed. */
int vm_nvram_open(struct core *core, const struct vm *vm, const struct vm_spec *spec,
                  struct err *err) MUST_USE;
/* Whether there are any for that firmware. */
bool vm_nvram_is_there(struct core *core, const struct vm *vm, const struct vm_spec *spec) MUST_USE;
