/* The commit log of a VM: a ring of slots in one small file, written in turn by the VM's worker and
 * read by main. It says which files a VM's disks go on in when that changed under a running guest
 * (docs/storage.md, "Records").
 *
 *   slot = {magic, sequence, length, JSON, CRC32C}, 4 KiB; slot of record n: n % COMMITLOG_SLOTS
 *
 * Preallocated and flushed before it is first used, so that writing a record needs no space and is
 * one write and one fdatasync. A slot that is torn or foreign is as if it were empty. */
#pragma once
#include "core/base/err.h"

#include <jansson.h>
#include <stdint.h>

#define COMMITLOG_SLOTS      64
#define COMMITLOG_SLOT_BYTES 4096
#define COMMITLOG_TEXT_MAX   4000 /* bytes of one record's JSON */
#define COMMITLOG_NAME       "commit.log"

/* Opens the log in the directory 'dir' (O_RDWR), and makes it, durably, when it is not there or has
 * not its size. -1 with *err set. */
int commitlog_open(int dir, struct err *err) MUST_USE;
/* The newest record: '*sequence' is 0 and '*record' NULL when there is none. Owned by the caller.
 */
bool commitlog_last(int fd, uint64_t *sequence, json_t **record, struct err *err) MUST_USE;
/* Writes record 'sequence' (> 0) and flushes it. After a failure it may be there or not. INVALID
 * when 'text' is too long. */
bool commitlog_write(int fd, uint64_t sequence, const char *text, struct err *err) MUST_USE;
