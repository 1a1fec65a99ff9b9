/* The shape of the database, as a list of steps from nothing to today, and the walk through it. */
#pragma once
#include "store/conn.h"

#define STORE_APPLICATION_ID 0x766d6d64 /* "vmmd", in the file's header */

/* Step n (from 1 on) leads from user_version n - 1 to n. A step that was released is never changed:
 * write the next one. It runs with foreign keys off (tables can be rebuilt); they are checked
 * before it is committed. */
extern const char *const migrations[];
extern const unsigned n_migrations;

/* Refuses a file of a newer vmmd (UNSUPPORTED) or of another program (INTERNAL). Reads only, so it
 * goes before anything that changes the file. */
bool migrate_check(struct conn *conn, unsigned n_steps, struct err *err) MUST_USE;
/* Brings the database to version 'n_steps'. A file that has a version already is first copied to
 * "<name>.v<version>" beside it. Each step is one transaction. */
bool migrate(struct conn *conn, int dir, const char *path, const char *const *steps,
             unsigned n_steps, struct err *err) MUST_USE;
