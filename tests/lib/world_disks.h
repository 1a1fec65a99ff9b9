/* What tests do with disks of the VMs of a world. Those that wait for an operation say whether it
 * succeeded; "the last disk" is the one with the highest position. */
#pragma once
#include "tests/lib/world.h"

/* How many there are; '*size_bytes' (unless NULL) is that of the last. */
unsigned world_disks(struct world *w, uint64_t *size_bytes);
bool world_disk_add(struct world *w, const char *vm, const char *body); /* JSON of a VmDisk */
bool world_disk_remove(struct world *w);                                /* the last */
bool world_disk_grow(struct world *w, uint64_t size_bytes);             /* the last */

/* Puts an image in the root "main", to be imported as "there.qcow2": of 2 MiB, empty. */
void world_image_is_there(struct world *w);

/* The same for the walks, whose VM is "web" with two disks, and what holds afterwards. */
bool world_disk_add_one(struct world *w);
bool world_disk_import_one(struct world *w);
bool world_disk_grow_one(struct world *w);
void world_has_three_disks(struct world *w);
void world_has_one_disk(struct world *w);
void world_has_a_grown_disk(struct world *w);
