/* Which QMP commands pass the worker. */
#include "tests/lib/harness.h"

#include "core/base/json.h"
#include "vmmd/worker/rules.h"

#include <stdlib.h>
#include <string.h>

static enum err_code verdict(const char *text)
{
    CLEANUP(json_decrefp) json_t *request = json_loads(text, JSON_DECODE_ANY, NULL);
    const char *command = NULL;
    struct err err = {0};
    bool ok = rules_check(request, &command, &err);

    assert_non_null(request);
    assert_true(ok == (err.code == ERR_NONE));
    if (ok)
        assert_string_equal(command, json_get_text(request, "execute"));
    return err.code;
}

static enum err_code verdict_on(const char *name, const char *arguments)
{
    char text[400];

    snprintf(text, sizeof text, "{\"execute\":\"%s\",\"arguments\":%s}", name, arguments);
    return verdict(text);
}

/* Among them the first and the last of the table, which a bisection gone wrong would miss. */
static void what_a_vm_needs_passes(void **state)
{
    static const char *const names[] = {"add-fd",
                                        "blockdev-add",
                                        "blockdev-insert-medium",
                                        "blockdev-mirror",
                                        "blockdev-snapshot",
                                        "block-commit",
                                        "block-stream",
                                        "block-job-cancel",
                                        "block-job-complete",
                                        "block-job-finalize",
                                        "block-job-dismiss",
                                        "block_resize",
                                        "cont",
                                        "device_del",
                                        "getfd",
                                        "inject-nmi",
                                        "input-send-event",
                                        "job-finalize",
                                        "object-add",
                                        "query-status",
                                        "query-named-block-nodes",
                                        "quit",
                                        "remove-fd",
                                        "send-key",
                                        "stop",
                                        "system_powerdown",
                                        "x-query-usb",
                                        "system_reset"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (verdict_on(names[i], "{}") != ERR_NONE)
            fail_msg("%s is refused", names[i]);
    assert_int_equal(verdict("{\"execute\":\"cont\"}"), ERR_NONE);
}

static void what_leads_out_of_the_jail_does_not(void **state)
{
    static const char *const names[] = {"human-monitor-command",
                                        "",
                                        "x-exit-preconfig",
                                        "x-query-usb2",
                                        "chardev-add",
                                        "netdev_add",
                                        "pmemsave",
                                        "memsave",
                                        "dump-guest-memory",
                                        "xen-save-devices-state",
                                        "trace-event-set-state",
                                        "object_add",
                                        "CONT",
                                        "cont ",
                                        "query-status;quit",
                                        "query-Status\\u0041",
                                        "snapshot-save",
                                        "set_password",
                                        "qom-list-types",
                                        "device-list-properties",
                                        "qmp_capabilities",
                                        "block-export-add",
                                        "nbd-server-start"};

    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        if (verdict_on(names[i], "{}") == ERR_NONE)
            fail_msg("'%s' passes", names[i]);
}

static void copies_between_nodes_name_nodes_and_nothing_else(void **state)
{
    assert_int_equal(
        verdict_on("blockdev-mirror",
                   "{\"job-id\":\"f1\",\"device\":\"f2\",\"target\":\"f1\",\"sync\":\"top\","
                   "\"auto-finalize\":false,\"speed\":0}"),
        ERR_NONE);
    assert_int_equal(verdict_on("blockdev-mirror", "{\"replaces\":\"f3\"}"), ERR_FORBIDDEN);
    assert_int_equal(verdict_on("blockdev-mirror", "{\"target\":{\"driver\":\"file\"}}"),
                     ERR_FORBIDDEN);
    assert_int_equal(verdict_on("block-commit",
                                "{\"job-id\":\"f1\",\"device\":\"f1\",\"base-node\":\"f2\","
                                "\"backing-file\":\"a.qcow2\"}"),
                     ERR_NONE);
    assert_int_equal(verdict_on("block-commit", "{\"base\":\"/etc/passwd\"}"), ERR_FORBIDDEN);
    assert_int_equal(verdict_on("block-commit", "{\"backing-file\":\"/etc/passwd\"}"),
                     ERR_FORBIDDEN);
    assert_int_equal(verdict_on("block-commit", "{\"backing-file\":\"json:{}\"}"), ERR_FORBIDDEN);
}

static void disks_are_served_to_a_lent_socket_and_for_reading_only(void **state)
{
    static const char *const starts[] = {
        "{}", "{\"addr\":{\"type\":\"fd\",\"data\":{\"str\":\"7\"}}}",
        "{\"addr\":{\"type\":\"inet\",\"data\":{\"host\":\"::\",\"port\":\"10809\"}}}",
        "{\"addr\":{\"type\":\"unix\",\"data\":{\"path\":\"/tmp/s\",\"str\":\"nbd\"}}}",
        "{\"addr\":{\"type\":\"fd\",\"data\":{\"str\":\"nbd\"}},\"tls-creds\":\"x\"}"};
    static const char *const exports[] = {
        "{}", "{\"type\":\"nbd\",\"id\":\"a\",\"node-name\":\"f1\"}",
        "{\"type\":\"nbd\",\"id\":\"a\",\"node-name\":\"f1\",\"writable\":true}",
        "{\"type\":\"fuse\",\"id\":\"a\",\"node-name\":\"f1\",\"mountpoint\":\"/etc\"}",
        "{\"type\":\"vhost-user-blk\",\"id\":\"a\",\"node-name\":\"f1\",\"writable\":false}"};

    assert_int_equal(
        verdict_on("nbd-server-start", "{\"addr\":{\"type\":\"fd\",\"data\":{\"str\":\"nbd\"}}}"),
        ERR_NONE);
    assert_int_equal(verdict_on("block-export-add",
                                "{\"type\":\"nbd\",\"id\":\"a\",\"node-name\":\"f1\",\"name\":\"\","
                                "\"writable\":false}"),
                     ERR_NONE);
    for (size_t i = 0; i < ARRAY_LEN(starts); i++)
        assert_int_equal(verdict_on("nbd-server-start", starts[i]), ERR_FORBIDDEN);
    for (size_t i = 0; i < ARRAY_LEN(exports); i++)
        assert_int_equal(verdict_on("block-export-add", exports[i]), ERR_FORBIDDEN);
}

static void streams_and_files_are_passed_descriptors(void **state)
{
    assert_int_equal(verdict_on("migrate", "{\"uri\":\"fd:mig\"}"), ERR_FORBIDDEN);
    assert_int_equal(verdict_on("migrate_cancel", "{}"), ERR_FORBIDDEN);
    assert_int_equal(verdict_on("migrate-set-capabilities",
                                "{\"capabilities\":[{\"capability\":\"x-ignore-shared\","
                                "\"state\":true}]}"),
                     ERR_NONE);
    assert_int_equal(verdict_on("migrate-set-capabilities",
                                "{\"capabilities\":[{\"capability\":\"background-snapshot\","
                                "\"state\":true}]}"),
                     ERR_FORBIDDEN);
    assert_int_equal(verdict_on("migrate-incoming", "{\"uri\":\"fd:mig\"}"), ERR_NONE);
    assert_int_equal(verdict_on("migrate-incoming", "{\"uri\":\"exec:cat\"}"), ERR_FORBIDDEN);
    assert_int_equal(verdict_on("screendump", "{\"filename\":\"/dev/fdset/4\"}"), ERR_NONE);
    assert_int_equal(verdict_on("screendump", "{\"filename\":\"/tmp/x\"}"), ERR_FORBIDDEN);
}

static void a_request_has_its_two_members_only(void **state)
{
    static const char *const wrong[] = {"[]",
                                        "1",
                                        "\"cont\"",
                                        "{}",
                                        "{\"execute\":1}",
                                        "{\"execute\":\"cont\",\"id\":\"w1.1\"}",
                                        "{\"execute\":\"cont\",\"arguments\":[]}",
                                        "{\"exec-oob\":\"cont\"}",
                                        "{\"execute\":\"cont\",\"control\":{\"run-oob\":true}}"};

    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++)
        assert_int_equal(verdict(wrong[i]), ERR_INVALID);
}

static void disks_are_plugged_in_with_known_members_only(void **state)
{
    static const char *const good[] = {
        "{\"driver\":\"virtio-blk-pci\",\"id\":\"diskdev1\",\"drive\":\"fab\",\"serial\":\"1\","
        "\"werror\":\"stop\",\"rerror\":\"report\",\"bus\":\"rp3\"}",
        "{\"driver\":\"scsi-hd\",\"id\":\"diskdev2\",\"drive\":\"fab\",\"bus\":\"scsi0.0\","
        "\"scsi-id\":2}",
        "{\"driver\":\"nvme\",\"id\":\"diskdev3\",\"drive\":\"fab\",\"serial\":\"1\",\"bus\":"
        "\"rp4\"}",
        "{\"driver\":\"virtio-scsi-pci\",\"id\":\"scsi0\",\"bus\":\"rp5\"}",
        "{\"driver\":\"qemu-xhci\",\"id\":\"usb0\",\"bus\":\"rp6\"}",
        "{\"driver\":\"usb-bot\",\"id\":\"diskusb1\",\"bus\":\"usb0.0\"}",
    };
    static const char *const bad[] = {
        "{\"driver\":\"virtio-net-pci\",\"netdev\":\"n\"}",
        "{\"driver\":\"usb-host\",\"hostdevice\":\"/dev/bus/usb/001/001\"}",
        "{\"driver\":\"vhost-user-blk-pci\",\"chardev\":\"c\"}",
        "{\"driver\":\"virtio-blk-pci\",\"drive\":\"fab\",\"romfile\":\"/etc/shadow\"}",
        "{\"driver\":\"scsi-hd\",\"drive\":\"fab\",\"scsi-id\":\"2\"}",
        "{\"driver\":\"virtio-blk-pci\",\"drive\":{\"driver\":\"file\"}}",
        "{\"driver\":\"nvme\",\"drive\":\"fab\",\"pmrdev\":\"m\"}",
    };

    for (unsigned i = 0; i < ARRAY_LEN(good); i++)
        if (verdict_on("device_add", good[i]) != ERR_NONE)
            fail_msg("%s is refused", good[i]);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        if (verdict_on("device_add", bad[i]) != ERR_FORBIDDEN)
            fail_msg("%s passes", bad[i]);
}

static void only_processors_are_plugged_in(void **state)
{
    assert_int_equal(verdict_on("device_add", "{\"driver\":\"max-x86_64-cpu\",\"id\":\"vcpu-1\","
                                              "\"socket-id\":0,\"core-id\":1,\"thread-id\":0}"),
                     ERR_NONE);
    assert_int_equal(verdict_on("device_add", "{}"), ERR_FORBIDDEN);
    assert_int_equal(verdict("{\"execute\":\"device_add\"}"), ERR_FORBIDDEN);
    assert_int_equal(verdict_on("device_add", "{\"driver\":\"-x86_64-cpu\"}"), ERR_FORBIDDEN);
    assert_int_equal(
        verdict_on("device_add", "{\"driver\":\"vfio-pci\",\"host\":\"0000:01:00.0\"}"),
        ERR_FORBIDDEN);
    assert_int_equal(
        verdict_on("device_add", "{\"driver\":\"max-x86_64-cpu\",\"hv-passthrough\":true}"),
        ERR_FORBIDDEN);
    assert_int_equal(verdict_on("device_add", "{\"driver\":\"max-x86_64-cpu\",\"core-id\":\"1\"}"),
                     ERR_FORBIDDEN);
}

static void a_transaction_changes_known_nodes(void **state)
{
    assert_int_equal(verdict_on("transaction",
                                "{\"actions\":[{\"type\":\"blockdev-snapshot\",\"data\":"
                                "{\"node\":\"a\",\"overlay\":\"b\"}}]}"),
                     ERR_NONE);
    assert_int_equal(verdict_on("transaction",
                                "{\"actions\":[{\"type\":\"blockdev-snapshot-sync\",\"data\":"
                                "{\"device\":\"a\",\"snapshot-file\":\"/etc/x\"}}]}"),
                     ERR_FORBIDDEN);
    assert_int_equal(verdict_on("transaction", "{\"actions\":[]}"), ERR_FORBIDDEN);
    assert_int_equal(verdict_on("blockdev-reopen", "{\"options\":[{\"driver\":\"qcow2\","
                                                   "\"node-name\":\"a\",\"file\":\"b\"}]}"),
                     ERR_NONE);
    assert_int_equal(verdict_on("blockdev-reopen", "{\"options\":[{\"driver\":\"file\","
                                                   "\"filename\":\"/etc/shadow\"}]}"),
                     ERR_FORBIDDEN);
    assert_int_equal(verdict_on("blockdev-reopen", "{}"), ERR_FORBIDDEN);
    assert_int_equal(verdict_on("transaction", "{}"), ERR_FORBIDDEN);
}

static void a_block_node_reads_what_was_lent(void **state)
{
    static const char *const refused[] = {
        "{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"/etc/shadow\"}}",
        "{\"driver\":\"raw\",\"file\":{\"driver\":\"host_device\",\"filename\":\"/dev/fdset/1\"}}",
        "{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":[\"/dev/fdset/1\"]}}",
        "{\"driver\":\"qcow2\",\"file\":\"a\",\"backing\":{\"driver\":\"https\",\"url\":\"x\"}}",
        "{\"driver\":\"nbd\",\"server\":{\"type\":\"inet\",\"host\":\"1.2.3.4\",\"port\":\"1\"}}",
        "{\"driver\":7}"};

    assert_int_equal(verdict_on("blockdev-add",
                                "{\"driver\":\"raw\",\"node-name\":\"cd0-5\",\"file\":"
                                "{\"driver\":\"file\",\"filename\":\"/dev/fdset/5\"}}"),
                     ERR_NONE);
    assert_int_equal(verdict_on("blockdev-add", "{\"driver\":\"nbd\",\"server\":"
                                                "{\"type\":\"fd\",\"str\":\"7\"}}"),
                     ERR_NONE);
    for (unsigned i = 0; i < ARRAY_LEN(refused); i++)
        if (verdict_on("blockdev-add", refused[i]) != ERR_FORBIDDEN)
            fail_msg("%s passes", refused[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_vm_needs_passes),
        cmocka_unit_test(what_leads_out_of_the_jail_does_not),
        cmocka_unit_test(copies_between_nodes_name_nodes_and_nothing_else),
        cmocka_unit_test(disks_are_served_to_a_lent_socket_and_for_reading_only),
        cmocka_unit_test(streams_and_files_are_passed_descriptors),
        cmocka_unit_test(disks_are_plugged_in_with_known_members_only),
        cmocka_unit_test(only_processors_are_plugged_in),
        cmocka_unit_test(a_transaction_changes_known_nodes),
        cmocka_unit_test(a_block_node_reads_what_was_lent),
        cmocka_unit_test(a_request_has_its_two_members_only),
    };

    return cmocka_run_group_tests_name("worker/rules", tests, NULL, NULL);
}
