/* The machine of a VM's states, walked from outside: each verb and each event in each state in
 * which a VM can rest, then many in a random order, against a statement of the rules of its own.
 * What is told of it must be a way that the table allows (tests/unit/model_state.c compares that
 * with the page). */
#include "tests/lib/world.h"

#include "core/base/clock.h"
#include "core/base/str.h"
#include "core/event/event.h"
#include "core/vm/registry.h"

#include <stdlib.h>
#include <string.h>

static struct world w;

/* What can happen: first the verbs, then what a guest, QEMU or a worker does. */
enum happening { START, SHUTDOWN, STOP, RESET, PAUSE, RESUME, POWEROFF, PANIC, CRASH, LOST };
#define HAPPENINGS (LOST + 1)
#define VERBS      (RESUME + 1)

static const char *const words[HAPPENINGS] = {"start",        "shut down",  "stop",     "reset",
                                              "pause",        "resume",     "poweroff", "panic",
                                              "QEMU crashed", "worker lost"};

static char now[48]; /* what is under way: said when it goes wrong */

static const char *const states[] = {"off", "running", "paused", "crashed"};

/* The rules. What is not in here is refused and changes nothing (verbs) or cannot be (events). */
static const struct rule {
    const char *from;
    enum happening what;
    const char *to, *reason, *desired;
} rules[] = {
    {"off", START, "running", "", "running"},
    {"crashed", START, "running", "", "running"},
    {"running", SHUTDOWN, "off", "guest-shutdown", "off"},
    {"running", STOP, "off", "user", "off"},
    {"running", RESET, "running", "", "running"},
    {"running", PAUSE, "paused", "user", "paused"},
    {"running", POWEROFF, "off", "guest-shutdown", "off"},
    {"running", PANIC, "paused", "guest-panic", "running"},
    {"running", CRASH, "crashed", "signal", NULL},
    {"running", LOST, "crashed", "worker-lost", NULL},
    {"paused", STOP, "off", "user", "off"},
    {"paused", RESET, "paused", NULL, NULL},
    {"paused", RESUME, "running", "", "running"},
    {"paused", CRASH, "crashed", "signal", NULL},
    {"paused", LOST, "crashed", "worker-lost", NULL},
};

static const struct rule *rule_for(const char *from, enum happening what)
{
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (rules[i].what == what && str_eq(rules[i].from, from))
            return &rules[i];
    return NULL;
}

/* ---- making it happen ---- */

static void act(enum happening what, bool possible)
{
    static const enum vm_verb verbs[] = {VM_VERB_START, VM_VERB_SHUTDOWN, VM_VERB_STOP,
                                         VM_VERB_RESET, VM_VERB_PAUSE,    VM_VERB_RESUME};

    assert_string_equal(world_act(&w, "web", verbs[what]), possible ? "succeeded" : "wrong-state");
}

static void type(const char *line)
{
    struct err err = {0};

    if (!vm_serial_write(w.core, "web", 0, line, strlen(line), &world_admin, &err))
        fail_msg("%s", err.detail);
}

static void tell(enum machine_event_kind kind, enum vm_run run, enum vm_reason reason)
{
    struct machine_event event = {.kind = kind, .run = run, .reason = reason};
    struct uuid id;

    assert_true(uuid_parse(world_vm(&w, "web", "id"), &id));
    vm_machine_event(w.core, &id, &event);
}

static void let_happen(enum happening what)
{
    if (what == POWEROFF)
        type("poweroff\n");
    else if (what == PANIC)
        type("panic\n");
    else if (what == CRASH)
        tell(MACHINE_EXITED, VM_CRASHED, VM_REASON_SIGNAL);
    else
        tell(MACHINE_LOST, VM_OFF, VM_REASON_NONE);
}

static void assert_rests_in(const char *state, const char *reason, const char *desired)
{
    world_await(&w, "web", "run.state", state);
    world_await(&w, "web", "job", "null");
    if (reason)
        assert_string_equal(world_vm(&w, "web", "run.reason"), reason);
    if (desired)
        assert_string_equal(world_vm(&w, "web", "desired"), desired);
}

/* False when it cannot happen there. */
static bool happen(const char *from, enum happening what, const char **to)
{
    const struct rule *rule = rule_for(from, what);
    char before[16];

    *to = from;
    if (!rule && what >= VERBS)
        return false;
    snprintf(now, sizeof now, "%s while %s", words[what], from);
    str_copy(before, sizeof before, world_vm(&w, "web", "desired"));
    if (what < VERBS)
        act(what, rule != NULL);
    else
        let_happen(what);
    if (rule)
        assert_rests_in(rule->to, rule->reason, rule->desired);
    else
        assert_rests_in(from, NULL, before);
    now[0] = 0;
    *to = rule ? rule->to : from;
    return true;
}

/* ---- what was told ---- */

static void assert_way_is_allowed(const char *text)
{
    CLEANUP(json_decrefp) json_t *event = json_loads(text, 0, NULL);
    const json_t *data = json_object_get(event, "data");
    enum vm_run from, to;

    assert_true(vm_run_parse(json_get_text(data, "from"), &from));
    assert_true(vm_run_parse(json_get_text(data, "to"), &to));
    if (from != to && !vm_run_may_become(from, to)) /* the same: for another reason */
        fail_msg("%s became %s", vm_run_text(from), vm_run_text(to));
}

/* Everything that was told since. */
static unsigned assert_all_ways_are_allowed(uint64_t seq)
{
    struct event_line line;
    struct err err = {0};
    uint64_t newest;
    unsigned n = 0;
    bool gap;

    while (seq < event_newest(w.core) &&
           event_wait(w.core, seq, 1000, &line, 1, &gap, &newest, &err) == 1) {
        if (str_eq(line.type, "vm.state")) {
            assert_way_is_allowed(line.json);
            n++;
        }
        seq = line.seq;
        event_line_clear(&line);
    }
    return n;
}

/* ---- the walks ---- */

static void bring_to(const char *state)
{
    const char *is = world_vm(&w, "web", "run.state"), *to;

    if (str_eq(is, "running") || str_eq(is, "paused"))
        assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    if (str_eq(state, "off") && !str_eq(world_vm(&w, "web", "run.state"), "crashed"))
        return;
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
    if (str_eq(state, "off"))
        assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    else if (str_eq(state, "paused"))
        assert_string_equal(world_act(&w, "web", VM_VERB_PAUSE), "succeeded");
    else if (str_eq(state, "crashed"))
        assert_true(happen("running", CRASH, &to));
}

static void every_happening_in_every_state_does_what_the_rules_say(void **state)
{
    uint64_t seq = event_newest(w.core);
    unsigned n = 0;
    const char *to;

    world_create(&w, "web", "");
    for (size_t s = 0; s < ARRAY_LEN(states); s++)
        for (enum happening what = START; what < HAPPENINGS; what++) {
            bring_to(states[s]);
            n += happen(states[s], what, &to);
        }
    print_message("%u happenings, %u changes of state\n", n, assert_all_ways_are_allowed(seq));
    assert_int_equal(n, 4 * VERBS + 6); /* and the events of what lives */
}

static void many_happenings_in_any_order_do_what_the_rules_say(void **state)
{
    const char *wanted = getenv("VMMD_STEPS"), *given = getenv("VMMD_SEED");
    unsigned steps = wanted ? (unsigned)atoi(wanted) : 300;
    unsigned seed = given ? (unsigned)atoi(given) : (unsigned)clock_wall_ms() & 0xffffff;
    unsigned dice = seed;
    uint64_t seq = event_newest(w.core);
    const char *is = "off";

    print_message("VMMD_SEED=%u\n", seed);
    world_create(&w, "web", "");
    for (unsigned i = 0; i < steps;) {
        enum happening what = (enum happening)((unsigned)rand_r(&dice) % HAPPENINGS);
        const char *from = is;
        if (!happen(from, what, &is))
            continue;
        i++;
        if (i % 100 == 0) { /* a restart: what is off or crashed stays, what runs ends */
            world_close(&w);
            assert_true(world_open(&w));
            is = str_eq(is, "running") || str_eq(is, "paused") ? "crashed" : is;
            assert_rests_in(is, NULL, NULL);
        }
    }
    print_message("%u happenings, %u changes of state\n", steps, assert_all_ways_are_allowed(seq));
}

static int setup(void **state)
{
    world_without_qemu();
    world_make(&w);
    return 0;
}

static int teardown(void **state)
{
    if (now[0])
        print_message("[  CASE    ] %s\n", now);
    world_remove(&w);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_happening_in_every_state_does_what_the_rules_say,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(many_happenings_in_any_order_do_what_the_rules_say, setup,
                                        teardown),
    };

    return cmocka_run_group_tests_name("core/states", tests, NULL, NULL);
}
