/* A QEMU that was taken over answers what it likes: main neither waits for ever for what it says,
 * nor believes what cannot be. */
#include "tests/unit/qemu_peer.h"

#include "backends/qemu/argv.h"

static const struct uuid vm = {{9, 9, 9}};

static struct machine *watched(struct peer *peer, const char *(*lie)(const char *command))
{
    struct err err = {0};
    struct link *link;
    struct machine *m;

    peer->lie = lie;
    link = link_new(peer_start(peer), 1);
    m = machine_new(&vm, &owner, link, NULL, true, &err);
    assert_non_null(m);
    return m;
}

static void finish(struct machine *m, struct peer *peer)
{
    machine_free(m);
    peer_stop(peer);
}

static const char *never_plugs_in(const char *command)
{
    return str_eq(command, "query-hotpluggable-cpus")
               ? "[{\"props\":{\"core-id\":1},\"vcpus-count\":1,\"type\":\"cpu\"},"
                 "{\"props\":{\"core-id\":2},\"vcpus-count\":1,\"type\":\"cpu\"},"
                 "{\"props\":{\"core-id\":0},\"vcpus-count\":1,\"qom-path\":\"/"
                 "x\",\"type\":\"cpu\"}]"
               : NULL;
}

static void processors_that_never_come_are_not_waited_for(void **state)
{
    struct peer peer = {0};
    struct machine *m = watched(&peer, never_plugs_in);
    struct err err = {0};
    unsigned now;

    assert_false(machine_set_vcpus(m, 3, &now, &err));
    assert_int_equal(err.code, ERR_HYPERVISOR);
    assert_int_equal(now, 1);
    finish(m, &peer);
}

static const char *is_huge(const char *command)
{
    return str_eq(command, "query-memory-size-summary") ? "{\"base-memory\":1099511627776}" : NULL;
}

static void a_memory_that_the_vm_was_not_given_is_not_written(void **state)
{
    struct peer peer = {0};
    struct machine *m = watched(&peer, is_huge);
    const struct machine_memory_save save = {
        .fd = memfd_create("image", MFD_CLOEXEC), .ram_bytes = 64u << 20, .way = MEMORY_STILL};
    struct err err = {0};

    assert_false(backend_qemu.memory_save(m, &save, &err));
    assert_int_equal(err.code, ERR_HYPERVISOR);
    finish(m, &peer);
}

static atomic_uint n_removed;

/* Each with the name under which main lent one. */
static const char *has_sets_without_end(const char *command)
{
    static char text[200000];
    char name[NODE_BYTES];
    size_t n = 1;

    file_node_name(&vm, name);

    if (str_eq(command, "remove-fd"))
        n_removed++;
    if (!str_eq(command, "query-fdsets"))
        return str_eq(command, "remove-fd") ? "{}" : NULL;
    text[0] = '[';
    for (unsigned i = 0; i < 1000; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "%s{\"fdset-id\":%u,\"fds\":[{\"fd\":%u,\"opaque\":\"%s\"}]}",
                              i ? "," : "", i, i, name);
    text[n] = ']';
    text[n + 1] = 0;
    return text;
}

static void a_list_without_end_is_not_worked_off(void **state)
{
    struct peer peer = {0};
    struct machine *m = watched(&peer, has_sets_without_end);
    struct err err = {0};

    n_removed = 0;
    assert_true(backend_qemu.drop_file(m, &vm, &err));
    assert_in_range(n_removed, 1, 2 * TIDY_MAX); /* asked what to say, each counts twice */
    finish(m, &peer);
}

static const char *is_far_beyond(const char *command)
{
    static char text[200];
    char name[NODE_BYTES];

    file_node_name(&vm, name);
    snprintf(text, sizeof text,
             "[{\"id\":\"%s\",\"status\":\"running\",\"current-progress\":9223372036854775807,"
             "\"total-progress\":1000}]",
             name);
    return str_eq(command, "query-jobs") ? text : NULL;
}

static void a_copy_is_never_further_than_its_end(void **state)
{
    struct peer peer = {0};
    struct machine *m = watched(&peer, is_far_beyond);
    struct machine_block_job job;
    struct err err = {0};

    assert_true(backend_qemu.block_job(m, &vm, &job, &err));
    assert_int_equal(job.state, BLOCK_JOB_RUNNING);
    assert_int_equal(job.done, 1000);
    assert_int_equal(job.total, 1000);
    finish(m, &peer);
}

int main(void)
{
#define STAGED(f) cmocka_unit_test_setup_teardown(f, stage_up, stage_down)
    const struct CMUnitTest tests[] = {
        STAGED(processors_that_never_come_are_not_waited_for),
        STAGED(a_memory_that_the_vm_was_not_given_is_not_written),
        STAGED(a_list_without_end_is_not_worked_off),
        STAGED(a_copy_is_never_further_than_its_end),
    };

    return cmocka_run_group_tests_name("qemu/lies", tests, NULL, NULL);
}
