/* See retention.h. */
#include "core/snap/retention.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define MINUTE_MS  INT64_C(60000)
#define HOUR_MS    (60 * MINUTE_MS)
#define DAY_MS     (24 * HOUR_MS)
#define WEEK_MS    (7 * DAY_MS)
#define TO_MONDAY  (3 * DAY_MS) /* 1970 began on a Thursday */
#define STAMP_TEXT "auto-%04d-%02d-%02d-%02d%02d"

void retention_name(int64_t at_ms, char out[NAME_MAX_BYTES + 1])
{
    const time_t at = (time_t)(at_ms / 1000);
    struct tm tm;

    gmtime_r(&at, &tm);
    snprintf(out, NAME_MAX_BYTES + 1, STAMP_TEXT, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
             tm.tm_hour, tm.tm_min);
}

bool retention_parse(const char *name, int64_t *at_ms)
{
    char again[NAME_MAX_BYTES + 1];
    struct tm tm = {0};
    int64_t at;

    if (sscanf(name, "auto-%4d-%2d-%2d-%2d%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min) != 5)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    at = (int64_t)timegm(&tm) * 1000;
    retention_name(at, again); /* exactly so, and a day that there is */
    if (at < 0 || strcmp(again, name) != 0)
        return false;
    *at_ms = at;
    return true;
}

int64_t schedule_slot(const struct vm_schedule *s, int64_t at_ms)
{
    int64_t offset_ms = (s->every_min ? s->offset_min % s->every_min : 0) * MINUTE_MS;

    return s->every_min ? (at_ms - offset_ms) / (s->every_min * MINUTE_MS) : 0;
}

bool schedule_is_due(const struct vm_schedule *s, const int64_t *taken, size_t n, int64_t now_ms)
{
    return s->every_min && (!n || schedule_slot(s, taken[0]) < schedule_slot(s, now_ms));
}

/* The newest in each of the last 'count' intervals of this length that have one. */
static void choose_newest(int64_t length_ms, int64_t shift_ms, uint32_t count, const int64_t *taken,
                          size_t n, bool *stays)
{
    int64_t last = -1;

    for (size_t i = 0; i < n && count; i++) {
        int64_t interval = (taken[i] + shift_ms) / length_ms;
        if (interval == last)
            continue;
        last = interval;
        stays[i] = true;
        count--;
    }
}

void retention_choose(const struct vm_schedule *s, const int64_t *taken, size_t n, bool *stays)
{
    memset(stays, 0, n * sizeof *stays);
    for (size_t i = 0; i < n && i < s->keep_last; i++)
        stays[i] = true;
    choose_newest(HOUR_MS, 0, s->keep_hourly, taken, n, stays);
    choose_newest(DAY_MS, 0, s->keep_daily, taken, n, stays);
    choose_newest(WEEK_MS, TO_MONDAY, s->keep_weekly, taken, n, stays);
}
