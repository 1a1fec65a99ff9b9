/* Failpoints: see failpoint.h. Compiled to nothing in product builds. */
#include "core/base/failpoint.h"

#ifdef VMMD_FAILPOINTS
#include "core/base/log.h"
#include "core/base/str.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
    bool loaded;
    char name[64]; /* "" when disarmed, "#" to count all */
    char action[8];
    uint64_t at;
    unsigned hits, passed;
} armed;

static void arm(const char *spec)
{
    char copy[96];
    char *equals, *colon;

    memset(&armed, 0, sizeof armed);
    armed.loaded = true;
    if (!spec || !*spec)
        return;
    str_copy(copy, sizeof copy, spec);
    equals = strchr(copy, '=');
    if (!equals)
        return;
    *equals = 0;
    colon = strchr(equals + 1, ':');
    if (colon)
        *colon = 0;
    if (!colon || !str_to_u64(colon + 1, &armed.at))
        armed.at = 1;
    if (copy[0] == '#' && str_to_u64(copy + 1, &armed.at))
        copy[1] = 0;
    str_copy(armed.name, sizeof armed.name, copy);
    str_copy(armed.action, sizeof armed.action, equals + 1);
}

void failpoint_arm(const char *spec)
{
    pthread_mutex_lock(&mutex);
    arm(spec);
    pthread_mutex_unlock(&mutex);
}

unsigned failpoint_passed(void)
{
    unsigned n;

    pthread_mutex_lock(&mutex);
    n = armed.passed;
    pthread_mutex_unlock(&mutex);
    return n;
}

bool failpoint(const char *name, struct err *err)
{
    bool fire, die;

    pthread_mutex_lock(&mutex);
    if (!armed.loaded)
        arm(getenv("VMMD_FAILPOINT"));
    armed.passed++;
    fire = (armed.name[0] == '#' || strcmp(armed.name, name) == 0) && ++armed.hits == armed.at;
    die = fire && strcmp(armed.action, "kill") == 0;
    pthread_mutex_unlock(&mutex);
    if (die) {
        log_warn("failpoint %s: killing myself", name);
        kill(getpid(), SIGKILL);
    }
    return !fire || err_set(err, ERR_INTERNAL, "failpoint %s", name);
}
#else
typedef int failpoint_not_compiled_in; /* ISO C wants a declaration in every file */
#endif
