/* An archived image, expanded for one who is to go on with it: another file, of their own, while
 * the archived one stays as it is (docs/memory.md, "Archive"). Steps of the operations that revert
 * a VM and clone it, and of unarchiving, which puts the new file in the old one's place. */
#pragma once
#include "core/disk/file.h"

/* The file that one of 'image' becomes: a new id, in the same pool, of the VM 'vm'; its id is zero
 * when the image is not archived. NO_SPACE and others of the pool; NOT_FOUND when the archived file
 * is gone. Looks at files: no lock but vm->writing may be held. */
bool ram_expand_plan(struct core *core, const struct uuid *image, const struct uuid *vm,
                     struct layer *out, struct err *err) MUST_USE;
/* What the file of an archived image takes once it is expanded; 0: it is not archived. */
uint64_t ram_expand_bytes(struct core *core, const struct uuid *image);
/* Puts the room by for 'job' and expands 'from' into 'to': whole, flushed and compared; what is
 * there of an earlier attempt is replaced. Says in the job how far it is, and lets the guest of
 * 'vm' go first. Blocks as long as that takes. CANCELLED; NO_SPACE; UNSUPPORTED when the archived
 * file was changed by somebody else. space_release() is the job's settle(). */
bool ram_expand(struct core *core, struct vm *vm, struct job *job, const struct layer *from,
                const struct layer *to, struct err *err) MUST_USE;
/* What is known of the expanded one: as of 'image', but that it is not archived. NULL: NOT_FOUND.
 */
struct ram_image *ram_expand_facts(struct core *core, const struct uuid *image,
                                   struct err *err) MUST_USE;
