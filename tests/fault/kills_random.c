/* Random kills: main, the front, vmmd, a worker or a QEMU is killed at a random moment or at a
 * random failpoint, while several clients create, change, start, stop, move and delete VMs
 * and their snapshots. After each
 * kill all comes to rest, and what the clients were told is true (tests/lib/history.h), and nothing
 * is left over (tests/lib/settled.h). Nothing is ever repaired by hand.
 *
 * $VMMD_KILLS says how many (300), $VMMD_MINUTES for how long instead, $VMMD_SEED repeats the
 * choices of a run. tools/campaign runs it for long. */
#include "core/base/clock.h"
#include "core/base/failpoint.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "tests/lib/counter.h"
#include "tests/lib/history.h"
#include "tests/lib/points.h"
#include "tests/lib/settled.h"

#include <curl/curl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef VMMD_FAILPOINTS

#define SETTLED_MS 15000
#define POINT_MS   150
#define NAMES_MAX  256
#define VMS        (HISTORY_CLIENTS * HISTORY_VMS)

enum victim { MAIN, FRONT, PARENT, WORKER, QEMU, VICTIMS };
static const char *const victim_names[VICTIMS] = {"main", "front", "vmmd", "worker", "QEMU"};

static struct rig rig = {.more = "restart_limit = 64\n"};
static char *points_dir;
static struct point known[NAMES_MAX]; /* the points that were passed so far, by name */
static unsigned n_known, first_seed, seed, killed[VICTIMS], at_points, in_copies;
static char now[160]; /* the kill under way */

static unsigned below(unsigned n)
{
    return (unsigned)rand_r(&seed) % n;
}

static uint64_t number(const char *variable, uint64_t otherwise)
{
    uint64_t n = otherwise;

    (void)str_to_u64(getenv(variable), &n);
    return n;
}

/* ---- where ---- */

static bool is_known(const char *name)
{
    for (unsigned i = 0; i < n_known; i++)
        if (str_eq(known[i].name, name))
            return true;
    return false;
}

static void learn_points(void)
{
    CLEANUP(mem_freep) struct point *passed = NULL;
    size_t n = points_passed(&passed);

    for (size_t i = 0; i < n && n_known < NAMES_MAX; i++)
        if (!is_known(passed[i].name))
            known[n_known++] = passed[i];
}

/* Half of the kills fall at a failpoint, if a process comes by. */
static void await_the_moment(const struct point *point)
{
    bool reached = false;

    if (point)
        reached = points_reached(POINT_MS);
    else
        (void)poll(NULL, 0, (int)below(120)); /* the randomness of the moment, not a condition */
    at_points += reached;
}

/* ---- whom ---- */

/* Of the process as it is now, so that no other can be hit later. -1: there is none. */
static int handle(pid_t pid)
{
    return pid > 0 ? pidfd_open(pid, 0) : -1;
}

/* Asked while the daemon surely answers: nobody is held yet. */
static int choose_victim(enum victim victim, unsigned vm)
{
    struct rig_pids pids = {0};

    if (victim == WORKER || victim == QEMU)
        pids = rig_pids(&rig, history_name(vm));
    switch (victim) {
    case MAIN:
        return handle(rig_child(&rig, "vmmd-main"));
    case FRONT:
        return handle(rig_child(&rig, "vmmd-front"));
    case PARENT:
        return handle(rig.vmmd);
    case WORKER:
        return handle(pids.worker);
    default:
        return handle(pids.qemu);
    }
}

static void strike(enum victim victim, unsigned vm, int fd)
{
    if (victim == WORKER || victim == QEMU)
        history_hit(vm);
    in_copies += history_is_copying();
    if (victim == PARENT) {
        rig_kill(&rig, points_release);
        killed[PARENT]++;
        rig_spawn(&rig);
    } else {
        killed[victim] += pidfd_send_signal(fd, SIGKILL, NULL, 0) == 0;
        points_release();
    }
}

/* Half of the blows are followed by a second, which falls into what the first has begun. */
static void strike_again(void)
{
    enum victim victim = (enum victim)below(WORKER);
    int fd;

    if (below(2))
        return;
    (void)poll(NULL, 0, (int)below(120)); /* the randomness of the moment, not a condition */
    fd = choose_victim(victim, 0);
    if (fd < 0)
        return; /* it is just being started */
    str_copy(now + strlen(now), sizeof now - strlen(now), ", then ");
    str_copy(now + strlen(now), sizeof now - strlen(now), victim_names[victim]);
    strike(victim, 0, fd);
    close(fd);
}

/* ---- a round ---- */

static void round_of_kills(void)
{
    const struct point *point = n_known && below(2) ? &known[below(n_known)] : NULL;
    enum victim victim = (enum victim)below(VICTIMS);
    unsigned vm = below(VMS);
    int fd;

    points_record();
    history_go();
    fd = choose_victim(victim, vm);
    for (unsigned i = 1; fd < 0 && i < VMS; i++) /* that VM is off: another */
        fd = choose_victim(victim, ++vm);
    if (fd < 0)
        fd = choose_victim(victim = MAIN, vm);
    snprintf(now, sizeof now, "%s (%s) killed at %s", victim_names[victim], history_name(vm),
             point ? point->name : "a random moment");
    if (point)
        points_arm(point, false);
    await_the_moment(point);
    if (fd >= 0)
        strike(victim, vm, fd);
    points_release();
    if (fd >= 0)
        close(fd);
    strike_again();
    settled_service(&rig, SETTLED_MS);
    history_stop();
    settled_await(&rig, SETTLED_MS);
    history_check();
    learn_points();
    counter_install(&rig);
}

static unsigned total(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < VICTIMS; i++)
        n += killed[i];
    return n;
}

static void report(int64_t began_ms)
{
    const struct history_totals *t = history_totals();

    print_message("%u kills (%u at failpoints, %u during moves and merges) in %lld s:", total(),
                  at_points, in_copies, (long long)(clock_mono_ms() - began_ms) / 1000);
    for (unsigned i = 0; i < VICTIMS; i++)
        print_message(" %s %u", victim_names[i], killed[i]);
    print_message("\n%lu requests: %lu acknowledged, %lu refused, %lu unanswered, %lu repeated\n",
                  t->requests, t->acknowledged, t->refused, t->unanswered, t->repeated);
    print_message("%lu snapshots taken, %lu merged away, %lu reverted to, %lu moves\n",
                  t->snapshots, t->merges, t->reverts, t->moves);
    print_message("0 acknowledged writes lost, 0 remains, 0 repairs by hand\n");
}

static void whoever_is_killed_whenever_nothing_acknowledged_is_lost(void **state)
{
    uint64_t kills = number("VMMD_KILLS", 300), minutes = number("VMMD_MINUTES", 0);
    int64_t began_ms = clock_mono_ms();
    int64_t until_ms = began_ms + (int64_t)minutes * 60000;

    while (minutes ? clock_mono_ms() < until_ms : total() < kills || in_copies < kills / 2)
        round_of_kills();
    now[0] = 0;
    report(began_ms);
}

static int tell(void **state)
{
    if (now[0]) {
        print_message("[  CASE    ] VMMD_SEED=%u, kill %u: %s\n", first_seed, total(), now);
        rig_print_log(&rig, 12000);
    }
    return 0;
}

static int setup(void **state)
{
    CLEANUP(mem_freep) char *path = NULL;

    seed = (unsigned)number("VMMD_SEED", (uint64_t)clock_wall_ms() & 0xffffff);
    first_seed = seed;
    print_message("VMMD_SEED=%u\n", seed);
    curl_global_init(CURL_GLOBAL_DEFAULT); /* before there are threads */
    points_dir = tmp_dir_make();
    assert_int_equal(chmod(points_dir, 0755), 0); /* main and the workers have another uid */
    path = str_format("%s/socket", points_dir);
    points_open(path);
    rig_make(&rig, 0);
    history_init(&rig, seed);
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    points_close();
    tmp_dir_remove(points_dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(whoever_is_killed_whenever_nothing_acknowledged_is_lost, tell),
    };
    const char *why;

    if (rig_possible_bare(&why))
        return cmocka_run_group_tests_name("fault/kills_random", tests, setup, teardown);
    print_message("[  SKIPPED ] fault/kills_random: %s\n", why);
    return 0;
}

#else
int main(void)
{
    print_message("[  SKIPPED ] this build has no failpoints\n");
    return 0;
}
#endif
