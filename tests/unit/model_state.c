/* The table of states and verbs, walked exhaustively. */
#include "tests/lib/harness.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/model/state.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static void every_text_parses_back(void **state)
{
    for (unsigned i = 0; i < VM_RUN_COUNT; i++) {
        enum vm_run run;
        assert_true(vm_run_parse(vm_run_text((enum vm_run)i), &run) && run == i);
    }
    for (unsigned i = 0; i < VM_REASON_COUNT; i++) {
        enum vm_reason reason;
        assert_true(vm_reason_parse(vm_reason_text((enum vm_reason)i), &reason) && reason == i);
    }
    for (unsigned i = 0; i < VM_DESIRED_COUNT; i++) {
        enum vm_desired desired;
        assert_true(vm_desired_parse(vm_desired_text((enum vm_desired)i), &desired) &&
                    desired == i);
    }
    for (unsigned i = 0; i < VM_VERB_COUNT; i++) {
        enum vm_verb verb;
        assert_true(vm_verb_parse(vm_verb_text((enum vm_verb)i), &verb) && verb == i);
    }
}

static void nonsense_does_not_parse(void **state)
{
    enum vm_run run;
    enum vm_verb verb;

    assert_false(vm_run_parse("Off", &run));
    assert_false(vm_run_parse(NULL, &run));
    assert_false(vm_verb_parse("", &verb));
    assert_false(vm_verb_parse("destroy", &verb));
}

/* For each state and verb: the check agrees with the table, and a refusal names what is possible.
 */
static void every_refusal_says_what_is_possible(void **state)
{
    for (unsigned run = 0; run < VM_RUN_COUNT; run++) {
        for (unsigned verb = 0; verb < VM_VERB_COUNT; verb++) {
            struct err err = {0};
            bool may = vm_may((enum vm_verb)verb, (enum vm_run)run);
            assert_int_equal(vm_check((enum vm_verb)verb, (enum vm_run)run, "web", &err), may);
            if (may)
                continue;
            assert_int_equal(err.code, ERR_WRONG_STATE);
            assert_non_null(strstr(err.detail, vm_run_text((enum vm_run)run)));
            for (unsigned v = 0; v < VM_VERB_COUNT; v++)
                if (vm_may((enum vm_verb)v, (enum vm_run)run))
                    assert_non_null(strstr(err.detail, vm_verb_text((enum vm_verb)v)));
        }
    }
}

static void a_live_vm_can_always_be_stopped_and_never_deleted_or_started(void **state)
{
    for (unsigned run = 0; run < VM_RUN_COUNT; run++) {
        bool live = vm_run_is_live((enum vm_run)run);
        assert_int_equal(vm_may(VM_VERB_STOP, (enum vm_run)run), live);
        assert_int_equal(vm_may(VM_VERB_DELETE, (enum vm_run)run), !live);
        assert_int_equal(vm_may(VM_VERB_START, (enum vm_run)run), !live);
    }
}

/* From every state 'off' and 'running' can be reached, and nothing becomes itself. */
static void no_state_is_a_dead_end(void **state)
{
    for (unsigned from = 0; from < VM_RUN_COUNT; from++) {
        unsigned seen = 1u << from, before;
        assert_false(vm_run_may_become((enum vm_run)from, (enum vm_run)from));
        do {
            before = seen;
            for (unsigned a = 0; a < VM_RUN_COUNT; a++)
                for (unsigned b = 0; b < VM_RUN_COUNT; b++)
                    if ((seen >> a & 1) && vm_run_may_become((enum vm_run)a, (enum vm_run)b))
                        seen |= 1u << b;
        } while (seen != before);
        assert_true(seen >> VM_OFF & 1);
        assert_true(seen >> VM_RUNNING & 1);
    }
}

static void whatever_lives_may_crash_and_nothing_off_does(void **state)
{
    for (unsigned run = 0; run < VM_RUN_COUNT; run++)
        assert_int_equal(vm_run_may_become((enum vm_run)run, VM_CRASHED),
                         vm_run_is_live((enum vm_run)run));
}

/* docs/states.md; the caller's. */
static char *the_page(void)
{
    const char *src = getenv("VMMD_SRC") ? getenv("VMMD_SRC") : ".";
    CLEANUP(mem_freep) char *path = str_format("%s/docs/states.md", src);
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct err err = {0};
    char *page = NULL;

    assert_true(fd >= 0 && fs_read_all(fd, 1 << 20, &page, NULL, &err));
    return page;
}

/* Finds the row "| `verb` | " of docs/states.md and compares its cells with the table. */
static void the_page_shows_the_table(void **state)
{
    CLEANUP(mem_freep) char *page = the_page();

    for (unsigned verb = 0; verb < VM_VERB_COUNT; verb++) {
        CLEANUP(strbuf_clear) struct strbuf row = {0};

        strbuf_addf(&row, "| `%s` |", vm_verb_text((enum vm_verb)verb));
        for (unsigned run = 0; run < VM_RUN_COUNT; run++)
            strbuf_adds(&row, vm_may((enum vm_verb)verb, (enum vm_run)run) ? " yes |" : "  |");
        strbuf_addf(&row, " %s |", vm_verb_is_exclusive((enum vm_verb)verb) ? "yes" : "no");
        if (!strstr(page, row.data))
            fail_msg("docs/states.md has no row '%s'", row.data);
    }
}

/* Whether the row "| from | …to… |" of docs/states.md has 'to'. */
static bool page_allows(const char *page, const char *from, const char *to)
{
    CLEANUP(mem_freep) char *head = str_format("\n| %s | ", from);
    CLEANUP(mem_freep) char *cell = NULL;
    const char *row = strstr(page, head);
    char *save = NULL;

    if (!row)
        fail_msg("docs/states.md does not say what follows '%s'", from);
    row += strlen(head);
    cell = str_format("%.*s", (int)strcspn(row, "|\n"), row);
    for (char *word = strtok_r(cell, ", ", &save); word; word = strtok_r(NULL, ", ", &save))
        if (str_eq(word, to))
            return true;
    return false;
}

static void the_page_says_what_may_follow_what(void **state)
{
    CLEANUP(mem_freep) char *page = the_page();

    for (enum vm_run from = VM_OFF; from < VM_RUN_COUNT; from++)
        for (enum vm_run to = VM_OFF; to < VM_RUN_COUNT; to++)
            if (page_allows(page, vm_run_text(from), vm_run_text(to)) !=
                vm_run_may_become(from, to))
                fail_msg("docs/states.md and the table disagree on %s → %s", vm_run_text(from),
                         vm_run_text(to));
}

/* The rules in words, each held against every pair of states. */
static void nothing_lives_without_a_start_and_nothing_rests_half_way(void **state)
{
    for (enum vm_run from = VM_OFF; from < VM_RUN_COUNT; from++) {
        for (enum vm_run to = VM_OFF; to < VM_RUN_COUNT; to++) {
            if (!vm_run_may_become(from, to))
                continue;
            if (!vm_run_is_live(from) && vm_run_is_live(to))
                assert_int_equal(to, VM_STARTING); /* what is dead comes to life by a start */
            if (to == VM_STOPPING)
                assert_true(from == VM_RUNNING || from == VM_PAUSED);
            if (to ==
                VM_SAVED) /* or by going back to a snapshot, or a start that used no image up */
                assert_true(from != VM_STOPPING && from != VM_UNKNOWN);
            if (to == VM_UNKNOWN)
                assert_true(vm_run_is_live(from)); /* only of a worker can one not know */
            if (to == VM_STARTING)
                assert_false(vm_run_is_live(from) && from != VM_UNKNOWN); /* never two of one VM */
        }
        if (vm_run_is_live(from))
            assert_true(vm_run_may_become(from, VM_OFF)); /* whatever lives can be ended */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_parses_back),
        cmocka_unit_test(nonsense_does_not_parse),
        cmocka_unit_test(every_refusal_says_what_is_possible),
        cmocka_unit_test(a_live_vm_can_always_be_stopped_and_never_deleted_or_started),
        cmocka_unit_test(no_state_is_a_dead_end),
        cmocka_unit_test(whatever_lives_may_crash_and_nothing_off_does),
        cmocka_unit_test(the_page_shows_the_table),
        cmocka_unit_test(the_page_says_what_may_follow_what),
        cmocka_unit_test(nothing_lives_without_a_start_and_nothing_rests_half_way),
    };

    return cmocka_run_group_tests_name("model/state", tests, NULL, NULL);
}
