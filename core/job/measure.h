/* Counts of jobs for core/core/measure.c. */
#pragma once
#include "core/core/measure.h"

struct jobs;
void jobs_measure(struct jobs *jobs, struct core_measures *out);
