/* When a VM's schedule takes a snapshot, and which of those it took stay (docs/snapshots.md). Pure:
 * no clock, no locks. All times are milliseconds since 1970, UTC. */
#pragma once
#include "core/base/id.h"
#include "core/model/vm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A snapshot belongs to the schedule as long as it is called so: "auto-2026-11-21-1030". */
void retention_name(int64_t at_ms, char out[NAME_MAX_BYTES + 1]);
bool retention_parse(const char *name, int64_t *at_ms);

/* The interval that a moment lies in, counted from 1970. */
int64_t schedule_slot(const struct vm_schedule *schedule, int64_t at_ms);
/* 'taken' newest first. However many were missed, one is due. */
bool schedule_is_due(const struct vm_schedule *schedule, const int64_t *taken, size_t n,
                     int64_t now_ms);
/* Marks those that stay: the newest keep_last, and the newest of each of the last keep_hourly
 * hours, keep_daily days and keep_weekly weeks (from Monday on) that have any. 'taken' newest
 * first. */
void retention_choose(const struct vm_schedule *schedule, const int64_t *taken, size_t n,
                      bool *stays);
