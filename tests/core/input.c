/* Keyboard, pointer, NMI, serial ports and heads on the fake backend, which tells on its first
 * serial port what was done to it. */
#include "tests/lib/world.h"

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/base/thread.h"
#include "core/vm/input.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct world w;

static int setup(void **state)
{
    world_make(&w);
    return 0;
}

static int teardown(void **state)
{
    world_remove(&w);
    return 0;
}

static void start(const char *more)
{
    world_create(&w, "web", more);
    assert_string_equal(world_act(&w, "web", VM_VERB_START), "succeeded");
}

/* All that the port said, once 'wanted' is in it. */
static char *said(unsigned port, const char *wanted)
{
    struct strbuf all = {0};
    uint64_t offset = 0, end;
    struct err err = {0};
    char text[4096];

    while (!all.data || !strstr(all.data, wanted)) {
        ssize_t n =
            vm_serial_read(w.core, "web", port, &offset, text, sizeof text, 5000, &end, &err);
        if (n <= 0)
            fail_msg("'%s' was not said, only: %s", wanted, all.data ? all.data : err.detail);
        strbuf_add(&all, text, (size_t)n);
        offset += (uint64_t)n;
    }
    return strbuf_take(&all);
}

static void assert_in_order(const char *text, const char *const *parts)
{
    for (; *parts; parts++) {
        const char *at = strstr(text, *parts);
        if (!at)
            fail_msg("'%s' is not said where it should be", *parts);
        text = at + strlen(*parts);
    }
}

static bool send_keys(const char *keys, unsigned hold_ms, struct err *err)
{
    CLEANUP(json_decrefp) json_t *list = json_loads(keys, 0, NULL);

    return vm_send_keys(w.core, "web", list, hold_ms, NULL, &world_admin, err);
}

static void keys_go_down_in_order_and_up_in_reverse(void **state)
{
    CLEANUP(mem_freep) char *text = NULL;
    struct err err = {0};

    start("");
    assert_true(send_keys("[\"ctrl\",\"Alt\",\"del\"]", 1, &err));
    text = said(0, "key ctrl up");
    assert_in_order(text,
                    (const char *const[]){"key ctrl down", "key alt down", "key delete down",
                                          "key delete up", "key alt up", "key ctrl up", NULL});
}

static void a_text_is_typed_key_by_key(void **state)
{
    CLEANUP(mem_freep) char *text = NULL;
    struct err err = {0};

    start("");
    assert_true(vm_type(w.core, "web", "aB\n", KEY_LAYOUT_US, 1, NULL, &world_admin, &err));
    text = said(0, "key ret up");
    assert_in_order(text,
                    (const char *const[]){"key a down", "key a up", "key shift down", "key b down",
                                          "key b up", "key shift up", "key ret down", NULL});
}

static void what_cannot_be_typed_is_refused_before_the_first_key(void **state)
{
    CLEANUP(mem_freep) char *text = NULL;
    struct err err = {0};

    start("");
    assert_false(vm_type(w.core, "web", "a\u20ac", KEY_LAYOUT_US, 1, NULL, &world_admin, &err));
    assert_int_equal(err.code, ERR_INVALID);
    err = (struct err){0};
    assert_false(vm_type(w.core, "web",
                         "0123456789012345678901234567890123456789012345678901234567"
                         "890",
                         KEY_LAYOUT_US, 1000, NULL, &world_admin, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_true(send_keys("[\"z\"]", 1, &err));
    text = said(0, "key z up");
    assert_null(strstr(text, "key a down"));
    assert_null(strstr(text, "key 0 down"));
}

struct client {
    unsigned patience; /* times it is still there */
};

static bool has_left(void *ctx)
{
    struct client *c = ctx;

    return c->patience-- == 0;
}

static void a_client_that_leaves_types_no_further(void **state)
{
    struct client client = {3};
    const struct vm_patience patience = {has_left, &client};
    CLEANUP(mem_freep) char *text = NULL;
    struct err err = {0};

    start("");
    assert_false(vm_type(w.core, "web", "abcdef", KEY_LAYOUT_US, 1, &patience, &world_admin, &err));
    assert_int_equal(err.code, ERR_CANCELLED);
    assert_non_null(strstr(err.detail, "3 of 6"));
    err = (struct err){0};
    assert_true(send_keys("[\"z\"]", 1, &err)); /* the keyboard is free again */
    text = said(0, "key z up");
    assert_non_null(strstr(text, "key c up"));
    assert_null(strstr(text, "key d down"));
}

static void *type_slowly(void *arg)
{
    struct err *err = arg;

    if (!vm_type(w.core, "web", "aaaaaaaaaa", KEY_LAYOUT_US, 50, NULL, &world_admin, err))
        assert_true(err->code != 0);
    return NULL;
}

static void two_who_type_take_turns(void **state)
{
    struct err slow = {0}, err = {0};
    CLEANUP(mem_freep) char *text = NULL;
    CLEANUP(mem_freep) char *begun = NULL;
    const char *last = NULL;
    pthread_t thread;

    start("");
    assert_true(thread_start(&thread, "typist", type_slowly, &slow, &err));
    begun = said(0, "key a down");
    assert_true(send_keys("[\"z\"]", 1, &err));
    pthread_join(thread, NULL);
    assert_int_equal(slow.code, 0);
    text = said(0, "key z up");
    for (const char *p = text; (p = strstr(p, "key a up")); p++)
        last = p;
    assert_non_null(last);
    assert_true(last < strstr(text, "key z down"));
}

static void typing_ends_with_the_machine(void **state)
{
    struct err slow = {0}, err = {0};
    CLEANUP(mem_freep) char *begun = NULL;
    pthread_t thread;

    start("");
    assert_true(thread_start(&thread, "typist", type_slowly, &slow, &err));
    begun = said(0, "key a down");
    assert_string_equal(world_act(&w, "web", VM_VERB_STOP), "succeeded");
    pthread_join(thread, NULL);
    assert_int_not_equal(slow.code, 0);
    assert_non_null(strstr(slow.detail, "of 10 keys were typed"));
}

static bool point(const char *vm, struct pointer_move move, const char *buttons, struct err *err)
{
    CLEANUP(json_decrefp) json_t *list = buttons ? json_loads(buttons, 0, NULL) : NULL;

    move.buttons = list;
    return vm_point(w.core, vm, &move, &world_admin, err);
}

static void the_pointer_goes_to_a_place_and_its_buttons_stay_down_until_let_go(void **state)
{
    struct err err = {0};
    CLEANUP(mem_freep) char *text = NULL;

    start("");
    assert_true(point("web", (struct pointer_move){.x = 1, .y = 0.5, .dx = NAN, .dy = NAN},
                      "[\"left\"]", &err));
    assert_true(
        point("web", (struct pointer_move){.x = 0, .y = 0, .dx = NAN, .dy = NAN}, NULL, &err));
    assert_true(point("web", (struct pointer_move){.x = NAN, .y = NAN, .dx = NAN, .dy = NAN},
                      "[\"wheel-up\"]", &err));
    text = said(0, "button wheel-up up");
    assert_in_order(text, (const char *const[]){"pointer x 32767", "pointer y 16384",
                                                "button left down", "pointer x 0", "pointer y 0",
                                                "button left up", "button wheel-up down", NULL});
}

static void a_mouse_is_moved_and_a_tablet_is_placed(void **state)
{
    struct err err = {0};
    CLEANUP(mem_freep) char *text = NULL;

    start("\"pointer\":\"mouse\"");
    assert_false(
        point("web", (struct pointer_move){.x = 1, .y = 1, .dx = NAN, .dy = NAN}, NULL, &err));
    assert_int_equal(err.code, ERR_INVALID);
    err = (struct err){0};
    assert_true(
        point("web", (struct pointer_move){.x = NAN, .y = NAN, .dx = -3, .dy = 4}, NULL, &err));
    text = said(0, "pointer y by 4");
    assert_non_null(strstr(text, "pointer x by -3"));
}

static void an_nmi_reaches_the_machine(void **state)
{
    struct err err = {0};

    start("");
    assert_true(vm_nmi(w.core, "web", &world_admin, &err));
    free(said(0, "nmi"));
}

static void who_does_not_run_takes_no_input(void **state)
{
    CLEANUP(json_decrefp) json_t *keys = json_pack("[s]", "a");
    struct err err[5] = {0};

    world_create(&w, "web", "");
    assert_false(vm_nmi(w.core, "web", &world_admin, &err[0]));
    assert_false(vm_type(w.core, "web", "a", KEY_LAYOUT_US, 1, NULL, &world_admin, &err[1]));
    assert_false(vm_send_keys(w.core, "web", keys, 1, NULL, &world_admin, &err[2]));
    assert_false(point("web", (struct pointer_move){.x = 0, .y = 0}, NULL, &err[3]));
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(err[i].code, ERR_WRONG_STATE);
    assert_false(vm_nmi(w.core, "nobody", &world_admin, &err[4]));
    assert_int_equal(err[4].code, ERR_NOT_FOUND);
}

static void a_dry_run_presses_nothing(void **state)
{
    struct origin origin = world_admin;
    struct err err = {0};
    CLEANUP(mem_freep) char *text = NULL;

    origin.dry_run = true;
    start("");
    assert_true(vm_nmi(w.core, "web", &origin, &err));
    assert_true(vm_type(w.core, "web", "a", KEY_LAYOUT_US, 1, NULL, &origin, &err));
    assert_true(send_keys("[\"z\"]", 1, &err));
    text = said(0, "key z up");
    assert_null(strstr(text, "nmi"));
    assert_null(strstr(text, "key a"));
}

static void every_serial_port_has_its_own_log_and_input(void **state)
{
    struct err err = {0};
    CLEANUP(mem_freep) char *text = NULL;
    uint64_t offset = 0, end;
    char none[16];

    start("\"serial_ports\":2");
    assert_true(vm_serial_write(w.core, "web", 1, "ping", 4, &world_admin, &err));
    text = said(1, "ping");
    assert_null(strstr(text, "booted"));
    assert_false(vm_serial_write(w.core, "web", 2, "ping", 4, &world_admin, &err));
    assert_int_equal(err.code, ERR_INVALID);
    assert_string_equal(err.field, "?port");
    err = (struct err){0};
    assert_int_equal(vm_serial_read(w.core, "web", 3, &offset, none, sizeof none, 0, &end, &err),
                     -1);
    assert_string_equal(err.field, "?port");
}

static void every_head_has_its_own_screen(void **state)
{
    struct err err = {0};
    char *png = NULL;
    size_t len;

    start("\"video\":{\"model\":\"virtio\",\"heads\":2}");
    assert_true(vm_screenshot(w.core, "web", 1, &png, &len, &err));
    free(png);
    assert_false(vm_screenshot(w.core, "web", 2, &png, &len, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(keys_go_down_in_order_and_up_in_reverse),
        T(a_text_is_typed_key_by_key),
        T(what_cannot_be_typed_is_refused_before_the_first_key),
        T(a_client_that_leaves_types_no_further),
        T(two_who_type_take_turns),
        T(typing_ends_with_the_machine),
        T(the_pointer_goes_to_a_place_and_its_buttons_stay_down_until_let_go),
        T(a_mouse_is_moved_and_a_tablet_is_placed),
        T(an_nmi_reaches_the_machine),
        T(who_does_not_run_takes_no_input),
        T(a_dry_run_presses_nothing),
        T(every_serial_port_has_its_own_log_and_input),
        T(every_head_has_its_own_screen),
    };

    world_without_qemu();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
