/* Starting a VM that is saved: what differs from a cold start. See resume.c; start.c calls it. */
#pragma once
#include "core/core/parts.h"

/* The image that the VM goes on with; zero: none, it is a cold start. */
struct uuid resume_image(struct core *core, struct vm *vm);
/* Everything that has to fit does, and '*fd' is the image to begin with, '*made' (the caller's)
 * what its machine said of it; -1 and NULL without one. Refusals say what does not, and that
 * 'discard' gives the saved state up; nothing is changed. */
bool resume_open(struct core *core, struct vm *vm, const struct vm_spec *spec, enum vm_accel accel,
                 int *fd, char **made, struct err *err) MUST_USE;
/* The image is used up and the VM 'running', durably: the guest may go on. True as well when there
 * is none. */
bool resume_commit(struct core *core, struct job *job, struct vm *vm, struct err *err) MUST_USE;
/* Entered again: false when the job had used the image up and QEMU was lost before it had ended. */
bool resume_is_possible(struct core *core, const struct job *job, struct vm *vm,
                        struct err *err) MUST_USE;
