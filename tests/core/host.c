/* The host: which accelerator is chosen and why, admission of memory, findings with their fix. */
#include "tests/lib/world.h"

#include "core/base/fs.h"
#include "core/base/str.h"
#include "core/core/parts.h"
#include "core/host/host.h"
#include "core/host/memory.h"
#include "core/host/survey.h"
#include "core/inspect/cpu.h"
#include "core/inspect/sysfs.h"

#include <stdio.h>
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

static void probe_says(bool healthy)
{
    w.core->probe.kvm_healthy = healthy;
    snprintf(w.core->probe.kvm_verdict, sizeof w.core->probe.kvm_verdict, "the verdict");
    snprintf(w.core->probe.kvm_fix, sizeof w.core->probe.kvm_fix, "the fix");
}

static void the_accelerator_follows_wish_and_health(void **state)
{
    static const struct {
        bool healthy;
        enum vm_accel wanted, chosen;
        bool ok;
    } rows[] = {
        {true, VM_ACCEL_AUTO, VM_ACCEL_KVM, true}, {true, VM_ACCEL_KVM, VM_ACCEL_KVM, true},
        {true, VM_ACCEL_TCG, VM_ACCEL_TCG, true},  {false, VM_ACCEL_AUTO, VM_ACCEL_TCG, true},
        {false, VM_ACCEL_TCG, VM_ACCEL_TCG, true}, {false, VM_ACCEL_KVM, VM_ACCEL_KVM, false},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum vm_accel chosen;
        struct err err = {0};
        char reason[256];

        probe_says(rows[i].healthy);
        assert_int_equal(host_choose_accel(w.core, rows[i].wanted, &chosen, reason, &err),
                         rows[i].ok);
        if (rows[i].ok) {
            assert_int_equal(chosen, rows[i].chosen);
            assert_true(strlen(reason) > 5);
        } else {
            assert_int_equal(err.code, ERR_UNSUPPORTED);
            assert_non_null(strstr(err.detail, "the verdict"));
            assert_non_null(strstr(err.detail, "the fix"));
        }
    }
}

static void memory_is_promised_until_it_is_gone(void **state)
{
    struct vm_spec spec = {.backend = VM_BACKEND_QEMU};
    uint64_t total, available, first, second;
    struct err err = {0};

    assert_true(memory_read(&total, &available, &err));
    assert_true(available <= total);
    spec.memory_bytes = available / 4 * 3;
    assert_true(memory_promise(w.core, &spec, &first, &err));
    assert_false(memory_promise(w.core, &spec, &second, &err));
    assert_int_equal(err.code, ERR_NO_MEMORY);
    assert_string_equal(err.field, "/memory_bytes");
    memory_release(w.core, first);
    assert_true(memory_promise(w.core, &spec, &first, &err));
    memory_release(w.core, first);
}

static void every_finding_that_is_no_good_news_says_what_to_do(void **state)
{
    struct err err = {0};
    CLEANUP(json_decrefp) json_t *host = NULL;
    json_t *list, *f;
    size_t i;

    probe_says(false);
    w.core->facts = (struct host_facts){0};
    host = host_show(w.core, &err);
    list = json_object_get(host, "findings");
    assert_true(json_array_size(list) >= 8);
    json_array_foreach (list, i, f) {
        const char *severity = json_get_text(f, "severity");
        assert_true(strlen(json_get_text(f, "evidence")) > 0);
        if ((str_eq(severity, "warning") || str_eq(severity, "error")) && !json_get_text(f, "fix"))
            fail_msg("%s has no fix", json_get_text(f, "id"));
    }
    f = json_array_get(list, 0); /* the gravest comes first */
    assert_string_equal(json_get_text(f, "severity"), "error");
}

static void findings_are_kept_for_a_while(void **state)
{
    CLEANUP(json_decrefp) json_t *first = survey_findings(w.core);
    CLEANUP(json_decrefp) json_t *again = NULL;

    w.core->facts.userns = !w.core->facts.userns; /* would change a finding */
    again = survey_findings(w.core);
    assert_true(json_equal(first, again));
    assert_ptr_not_equal(first, again); /* each caller has a value of its own */
}

static void the_processor_is_described(void **state)
{
    CLEANUP(closep) int root = sys_root();
    struct cpu_facts cpu;

    cpu_read(root, &cpu);
    assert_true(cpu.threads >= 1);
    assert_true(strlen(cpu.model) > 2);
    assert_null(strchr(cpu.model, '\n'));
}

#define STORY(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORY(the_accelerator_follows_wish_and_health),
        STORY(memory_is_promised_until_it_is_gone),
        STORY(every_finding_that_is_no_good_news_says_what_to_do),
        STORY(findings_are_kept_for_a_while),
        STORY(the_processor_is_described),
    };

    return cmocka_run_group_tests_name("core/host", tests, NULL, NULL);
}
