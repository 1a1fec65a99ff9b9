/* Files that files of other VMs lie on, which are "lent" (docs/storage.md, "Whose a file is"): for
 * core's own files. */
#pragma once
#include "core/disk/file.h"

/* Of the VM's own files those that must stay when it goes: lent ones, and what they lie on. */
bool file_is_lent(struct core *core, const struct file *file) REQUIRES(core->registry.lock);
/* Rows of all files of a VM that goes: what must stay belongs to nobody, the rest is 'trash'. */
bool files_write_gone(struct core *core, struct store_txn *txn, const struct uuid *vm,
                      const struct uuid *job, struct err *err) MUST_USE;
/* Memory follows: what must stay is not among the VM's files any more. */
void files_leave(struct core *core, const struct uuid *vm);
/* The same of one file. */
bool layer_write_nobodys(struct store_txn *txn, const struct layer *layer,
                         struct err *err) MUST_USE;
void file_leave(struct core *core, const struct uuid *file);
/* Removes files of nobody that nothing lies on; what cannot be removed now is at the next start. */
void files_settle_nobodys(struct core *core);
/* Names of up to 5 VMs with files on this one, as "a, b and 3 more"; "" when there is none. */
void file_borrowers(struct core *core, const struct uuid *file, char out[512]);
