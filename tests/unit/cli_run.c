/* Whole command lines: what is sent, what is printed, which exit code comes out. */
#include "tests/unit/cli_line.h"

#include <signal.h>
#include <sys/stat.h>

/* ---- lists and objects ---- */

#define COLUMNS "fields=name%2Cstate%2Cvcpus%2Cmemory_bytes%2Cdisks%2Ccreated_at"

static void a_list_is_fetched_page_by_page_with_the_token(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/vms?" COLUMNS "&page_size=1000 HTTP",
         .status = 200,
         .wants = "Authorization: Bearer vmmd_1_secret\r\n",
         .body = "{\"items\":[" VM("web", "running") "],\"next_page_token\":\"a/b\"}"},
        {.line = "GET /api/v1/vms?" COLUMNS "&page_size=1000&page_token=a%2Fb HTTP",
         .status = 200,
         .body = "{\"items\":[" VM("\\u001b[2Jdb", "off") "],\"next_page_token\":null}"},
    };

    assert_int_equal(RUN("ls", steps), CLI_OK);
    assert_string_equal(out, "NAME       STATE    VCPUS   MEMORY  DISKS  CREATED\n"
                             "web        running  1      512 MiB      1  2026-11-21 01:02:03\n"
                             "\\x1b[2Jdb  off      1      512 MiB      1  2026-11-21 01:02:03\n");
    assert_string_equal(err_text, "");
}

static void what_is_asked_for_is_the_service_s_to_find(void **state)
{
    static const struct step steps[] = {
        {.line =
             "GET /api/v1/vms?filter=label.ci%3D%3Dtrue&order=-memory_bytes&page_size=1000 HTTP",
         .status = 200,
         .body = "{\"items\":[],\"next_page_token\":\"x\"}"},
        {.line =
             "GET /api/v1/vms?filter=label.ci%3D%3Dtrue&order=-memory_bytes&page_size=1000&page_"
             "token=x HTTP",
         .status = 200,
         .body = "{\"items\":[],\"next_page_token\":null}"},
    };
    static const struct step limited[] = {
        {.line = "GET /api/v1/pools?fields=name%2Clabel.x%2Cdisks.size_bytes&page_size=1 HTTP",
         .status = 200,
         .body = "{\"items\":[{\"name\":\"a\",\"labels\":{\"x\":\"1\"},\"disks\":[{\"size_bytes\":"
                 "1024},{\"size_bytes\":2048}]}],\"next_page_token\":\"more\"}"},
    };

    assert_int_equal(RUN("ls|--filter|label.ci==true|--order|-memory_bytes|-o|json", steps),
                     CLI_OK);
    assert_int_equal(
        RUN("pool|list|--limit|1|--fields|name,label.x,disks.size_bytes|-o|csv", limited), CLI_OK);
    assert_string_equal(out, "name,label.x,disks.size_bytes\r\na,1,\"1024,2048\"\r\n");
}

static void a_filter_stands_for_the_names_of_vms(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/vms?fields=id,name&filter=label.ci%3D%3Dtrue&page_size=1000 HTTP",
         .status = 200,
         .body = "{\"items\":[{\"name\":\"a\"},{\"name\":\"b\"}],\"next_page_token\":null}"},
        {.line = "POST /api/v1/vms/actions/stop",
         .status = 200,
         .body = "{\"items\":[{\"operation\":" OP("queued", "", "") "},{\"operation\":" OP(
             "queued", "", "") "}]}"},
        {.line = "GET /api/v1/operations/op-1", .status = 200, .body = OP("succeeded", "", "")},
        {.line = "GET /api/v1/operations/op-1", .status = 200, .body = OP("succeeded", "", "")},
    };

    assert_int_equal(RUN("vm|stop|--force|--filter|label.ci==true", steps), CLI_OK);
    assert_string_equal(err_text, "a is off\nb is off\n");
    assert_int_equal(run("vm|stop|a|--filter|label.ci==true", NULL, 0), CLI_USAGE);
    assert_int_equal(run("vm|stop|--filter|", NULL, 0), CLI_USAGE);
    assert_int_equal(run("vm|stop", NULL, 0), CLI_USAGE);
    assert_int_equal(run("recover|--apply", NULL, 0), CLI_USAGE);
}

static void json_is_the_object_as_the_api_gave_it(void **state)
{
    static const struct step steps[] = {{.line = "GET /api/v1/vms/we%2Fb%20%3F HTTP",
                                         .status = 200,
                                         .body = "{\"b\":[1],\"a\":null}"}};

    assert_int_equal(RUN("vm|show|we/b ?|-o|json", steps), CLI_OK);
    assert_string_equal(out, "{\n  \"b\": [\n    1\n  ],\n  \"a\": null\n}\n");
}

static void every_format_has_its_shape(void **state)
{
    static const struct {
        const char *line, *out;
    } cases[] = {
        {"ls|-o|name", "a,\"b\n"},
        {"ls|-q", "1\n"},
        {"ls|-o|jsonl|--fields|run.state", "{\"run.state\":\"off\"}\n"},
        {"ls|-o|csv|--fields|name,run.state", "name,run.state\r\n\"a,\"\"b\",off\r\n"},
        {"ls|-o|yaml", "- name: \"a,\\\"b\"\n  id: \"1\"\n  run:\n    state: \"off\"\n"},
        {"ls|--no-headers|--fields|id,name", "1  a,\"b\n"},
    };
    static const struct step steps[] = {
        {.line = "GET /api/v1/vms",
         .status = 200,
         .body = "{\"items\":[{\"name\":\"a,\\\"b\",\"id\":\"1\",\"run\":{\"state\":\"off\"}}]}"}};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(RUN(cases[i].line, steps), CLI_OK);
        assert_string_equal(out, cases[i].out);
    }
}

static void a_problem_gives_its_exit_code_and_its_words(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/vms/web",
         .status = 404,
         .body = "{\"detail\":\"no VM is called web\",\"code\":\"not-found\"}"}};

    assert_int_equal(RUN("vm|show|web", steps), CLI_NOT_FOUND);
    assert_string_equal(out, "");
    assert_string_equal(err_text, "vmmctl: no VM is called web [not-found]\n  request: r-test\n");
}

static void a_reply_that_is_no_json_is_a_failure(void **state)
{
    static const struct step steps[] = {{.line = "GET", .status = 200, .body = "<html>"}};
    static const struct step redirect[] = {
        {.line = "GET", .status = 302, .head = "Location: http://evil.example/\r\n"}};

    assert_int_equal(RUN("vm|show|web", steps), CLI_FAILED);
    assert_int_equal(RUN("vm|show|web", redirect), CLI_FAILED);
}

/* ---- operations ---- */

static void start_waits_until_the_operation_has_succeeded(void **state)
{
    static const struct step steps[] = {
        {.line = "POST /api/v1/vms/web/actions/start",
         .status = 202,
         .body = OP("queued", "", ""),
         .wants = "Idempotency-Key: "},
        {.line = "GET /api/v1/operations/op-1?wait=5",
         .status = 200,
         .body = OP("running", "launch", "")},
        {.line = "GET /api/v1/operations/op-1?wait=5",
         .status = 200,
         .body = OP("interrupted", "boot", "")},
        {.line = "GET /api/v1/operations/op-1?wait=5",
         .status = 200,
         .body = OP("succeeded", "boot", "")},
    };

    assert_int_equal(RUN("start|web", steps), CLI_OK);
    assert_string_equal(out, "");
    assert_string_equal(err_text, "web vm.start: launch\nweb vm.start: boot\nweb runs\n");
}

static void a_failed_operation_is_exit_code_1_with_its_error(void **state)
{
    static const struct step steps[] = {
        {.line = "POST", .status = 202, .body = OP("queued", "", "")},
        {.line = "GET /api/v1/operations/op-1",
         .status = 200,
         .body = OP("failed", "",
                    ",\"error\":{\"code\":\"no-memory\",\"detail\":\"512 MiB are needed\","
                    "\"pointer\":null},\"request_id\":\"r-9\"")},
    };

    assert_int_equal(RUN("vm|start|web", steps), CLI_FAILED);
    assert_string_equal(err_text, "vmmctl: 512 MiB are needed [no-memory]\n  request: r-9\n");
}

static void no_wait_prints_the_operation(void **state)
{
    static const struct step steps[] = {
        {.line = "POST", .status = 202, .body = OP("queued", "", "")}};

    assert_int_equal(RUN("start|web|--no-wait", steps), CLI_OK);
    assert_string_equal(out, "op-1\n");
}

static void a_time_limit_leaves_the_operation_running(void **state)
{
    static const struct step steps[] = {
        {.line = "POST", .status = 202, .body = OP("queued", "", "")},
        {.line = "GET /api/v1/operations/op-1?wait=0",
         .status = 200,
         .body = OP("running", "", "")},
    };

    assert_int_equal(RUN("start|web|--timeout|0", steps), CLI_TIMED_OUT);
    assert_non_null(strstr(err_text, "vmmctl op wait op-1"));
}

static void a_lost_connection_repeats_the_post_once_with_the_same_key(void **state)
{
    static const struct step steps[] = {
        {.line = "POST /api/v1/vms/web/actions/pause", .status = 0},
        {.line = "POST /api/v1/vms/web/actions/pause", .status = 202, .body = OP("queued", "", "")},
    };
    static const struct step twice[] = {{.line = "POST", .status = 0},
                                        {.line = "POST", .status = 0}};

    assert_int_equal(RUN("vm|pause|web|--no-wait", steps), CLI_OK);
    assert_int_equal(service.same_keys, 1);
    assert_int_equal(RUN("vm|pause|web|--no-wait", twice), CLI_UNREACHABLE);
}

static void a_vm_is_saved_and_what_prevents_it_is_said(void **state)
{
    static const struct step saved[] = {
        {.line = "POST /api/v1/vms/web/actions/save", .status = 202, .body = OP("queued", "", "")},
        {.line = "GET /api/v1/operations/op-1", .status = 200, .body = OP("succeeded", "", "")},
    };
    static const struct step refused[] = {
        {.line = "POST /api/v1/vms/web/actions/save",
         .status = 409,
         .body = "{\"code\":\"wrong-state\",\"detail\":\"disk 0 is on an NVMe controller\"}"},
    };
    static const struct step gone[] = {
        {.line = "POST /api/v1/vms/web/actions/discard",
         .status = 202,
         .body = OP("queued", "", "")},
        {.line = "GET /api/v1/operations/op-1", .status = 200, .body = OP("succeeded", "", "")},
    };

    assert_int_equal(RUN("save|web", saved), CLI_OK);
    assert_non_null(strstr(err_text, "is saved"));
    assert_int_not_equal(RUN("vm|save|web", refused), CLI_OK);
    assert_non_null(strstr(err_text, "NVMe"));
    assert_int_equal(RUN("vm|discard|web", gone), CLI_OK);
}

static void waiting_outlives_a_restart_of_the_service(void **state)
{
    static const struct step steps[] = {
        {.line = "POST", .status = 202, .body = OP("queued", "", "")},
        {.line = "GET /api/v1/operations/op-1", .status = 503, .body = "{\"detail\":\"starting\"}"},
        {.line = "GET /api/v1/operations/op-1", .status = 200, .body = OP("succeeded", "", "")},
    };

    assert_int_equal(RUN("vm|reset|web", steps), CLI_OK);
    assert_non_null(strstr(err_text, "trying again"));
}

static void a_second_ctrl_c_cancels_the_operation(void **state)
{
    static const struct step steps[] = {
        {.line = "POST /api/v1/vms/web/actions/start", .status = 202, .body = OP("queued", "", "")},
        {.line = "GET /api/v1/operations/op-1",
         .status = 200,
         .body = OP("running", "", ""),
         .signal = SIGINT,
         .again = 3},
        {.line = "POST /api/v1/operations/op-1/actions/cancel",
         .status = 202,
         .body = OP("cancelled", "", "")},
    };

    assert_int_equal(RUN("vm|start|web", steps), CLI_INTERRUPTED);
    assert_non_null(strstr(err_text, "vmmctl op wait op-1"));
    assert_non_null(strstr(err_text, "the operation is cancelled"));
}

static void a_termination_leaves_the_operation_at_once(void **state)
{
    static const struct step steps[] = {
        {.line = "POST /api/v1/vms/web/actions/start", .status = 202, .body = OP("queued", "", "")},
        {.line = "GET /api/v1/operations/op-1",
         .status = 200,
         .body = OP("running", "", ""),
         .signal = SIGTERM},
    };

    assert_int_equal(RUN("vm|start|web", steps), CLI_INTERRUPTED);
    assert_non_null(strstr(err_text, "vmmctl op wait op-1"));
}

/* ---- VMs ---- */

static void create_sends_the_spec_and_shows_the_vm(void **state)
{
    static const struct step steps[] = {
        {.line = "POST /api/v1/vms HTTP",
         .status = 202,
         .body = OP("queued", "", ""),
         .wants = "{\"name\":\"web\",\"vcpus\":2,\"memory_bytes\":1073741824,"
                  "\"disks\":[{\"size_bytes\":1048576}],\"nics\":[],\"labels\":{\"ci\":\"true\"},"
                  "\"start\":true}"},
        {.line = "GET /api/v1/operations/op-1", .status = 200, .body = OP("succeeded", "", "")},
        {.line = "GET /api/v1/vms/id-1", .status = 200, .body = VM("web", "running")},
    };

    assert_int_equal(RUN("vm|create|web|--vcpus|2|--memory|1G|--disk|size=1M|--nic|none|--label|"
                         "ci=true|--start|-q",
                         steps),
                     CLI_OK);
    assert_string_equal(out, "id-1\n");
    assert_string_equal(err_text, "");
}

static void stop_without_success_points_to_force(void **state)
{
    static const struct step steps[] = {
        {.line = "POST /api/v1/vms/web/actions/shutdown",
         .status = 202,
         .body = OP("queued", "", ""),
         .wants = "{\"timeout_s\":30}"},
        {.line = "GET /api/v1/operations/op-1",
         .status = 200,
         .body =
             OP("failed", "", ",\"error\":{\"code\":\"timeout\",\"detail\":\"it did not react\"}")},
    };

    assert_int_equal(RUN("stop|web|--grace|30s", steps), CLI_FAILED);
    assert_non_null(strstr(err_text, "vmmctl vm stop web --force"));
}

static void edit_sends_what_it_saw_as_if_match(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/vms/web",
         .status = 200,
         .body = VM("web", "off"),
         .head = "ETag: \"41.7\"\r\n"},
        {.line = "PATCH /api/v1/vms/web",
         .status = 412,
         .wants = "If-Match: \"41.7\"\r\n",
         .body = "{\"code\":\"revision-conflict\",\"detail\":\"it was changed\"}"},
    };
    static const struct step good[] = {
        {.line = "GET /api/v1/vms/web", .status = 200, .body = VM("web", "off")},
        {.line = "PATCH /api/v1/vms/web",
         .status = 200,
         .body = VM("web", "off"),
         .wants = "{\"memory_bytes\":2147483648}"},
    };

    assert_int_equal(RUN("vm|edit|web|--set|memory=2G", steps), CLI_CONFLICT);
    assert_int_equal(RUN("vm|edit|web|--patch|{\"memory_bytes\":2147483648}", good), CLI_OK);
}

/* ---- the rest ---- */

static void what_stands_in_an_imports_way_is_the_exit_code(void **state)
{
    static const struct step refused[] = {
        {.line = "POST /api/v1/vms/actions/import?dry_run=true",
         .status = 200,
         .body = "{\"plan\":{\"blockers\":[{\"code\":\"exists\"}],\"findings\":[{\"code\":\"name\","
                 "\"effect\":\"blocks\",\"detail\":\"taken\",\"remedy\":\"another\"}]}}"}};
    static const struct step fine[] = {{.line = "POST /api/v1/vms/actions/import?dry_run=true",
                                        .status = 200,
                                        .body = "{\"plan\":{\"blockers\":[],\"findings\":[]}}"}};

    assert_int_equal(RUN("vm|import|web|-p|main|--check", refused), CLI_FAILED);
    assert_int_equal(RUN("vm|import|web|-p|main|--check|-o|json", refused), CLI_FAILED);
    assert_non_null(strstr(out, "\"blockers\""));
    assert_int_equal(RUN("vm|import|web|-p|main|--check|-o|csv", refused), CLI_FAILED);
    assert_string_equal(out, "code,effect,detail,remedy\r\nname,blocks,taken,another\r\n");
    assert_int_equal(RUN("vm|import|web|-p|main|--check|-o|json", fine), CLI_OK);
}

static void devices_are_listed_by_kind(void **state)
{
#define INVENTORY                                                                                  \
    "{\"pci\":[{\"address\":\"0000:00:02.0\",\"class_name\":\"Display controller\","               \
    "\"vendor_name\":null,\"device_name\":null,\"driver\":\"i915\",\"iommu_group\":1}],"           \
    "\"usb\":[],\"nics\":[{\"name\":\"eno1\",\"kind\":\"ethernet\",\"driver\":\"e1000e\"}],"       \
    "\"drives\":[],\"numa\":[]}"
    static const struct step steps[] = {
        {.line = "GET /api/v1/host/inventory", .status = 200, .body = INVENTORY}};
    static const struct step none[] = {{.line = "GET", .status = 200, .body = "{}"}};

    assert_int_equal(RUN("host|devices|--fields|type,id,name,driver|--no-headers", steps), CLI_OK);
    assert_string_equal(out, "pci  0000:00:02.0  Display controller  i915\n"
                             "nic  eno1          ethernet            e1000e\n");
    assert_int_equal(RUN("host|devices|pci|-q|-o|json|--fields|address", steps), CLI_OK);
    assert_int_equal(run("host|devices|gpu", none, 0), CLI_USAGE);
    assert_non_null(strstr(err_text, "pci, usb, nic, drive or numa"));
    assert_int_equal(RUN("host|devices|usb", none), CLI_FAILED);
}

static void a_new_token_stands_alone_on_stdout(void **state)
{
    static const struct step steps[] = {
        {.line = "POST /api/v1/tokens",
         .status = 201,
         .wants = "\"ttl_s\":3600",
         .body = "{\"id\":\"t\",\"name\":\"ci\",\"token\":\"vmmd_t_s\",\"note\":null}"}};

    assert_int_equal(RUN("token|create|ci|--role|operator|--ttl|1h", steps), CLI_OK);
    assert_string_equal(out, "vmmd_t_s\n");
}

static void api_prints_the_body_and_exits_by_the_status(void **state)
{
    static const struct step steps[] = {
        {.line = "PATCH /api/v1/vms/x",
         .status = 422,
         .body = "{\"code\":\"invalid\"}",
         .wants = "Content-Type: application/merge-patch+json\r\n"}};
    static const struct step keyed[] = {{.line = "POST /api/v1/vms",
                                         .status = 202,
                                         .body = "ok",
                                         .wants = "Idempotency-Key: k1\r\n"}};

    assert_int_equal(RUN("api|patch|vms/x|-d|{\"a\":1}", steps), CLI_INVALID);
    assert_string_equal(out, "{\"code\":\"invalid\"}");
    assert_int_equal(RUN("api|POST|/api/v1/vms|-H|Idempotency-Key: k1", keyed), CLI_OK);
    assert_string_equal(out, "ok");
}

static void api_keeps_the_token_off_the_command_line(void **state)
{
    static const struct step none[] = {{.line = "GET", .status = 200}};

    assert_int_equal(run("api|GET|/vms|-H|Authorization: Bearer x", none, 0), CLI_USAGE);
    assert_int_equal(run("api|GET|/vms x", none, 0), CLI_USAGE);
}

/* ---- disks ---- */

#define DISK_ID "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
#define DISKY                                                                                      \
    "{\"id\":\"" DISK_ID                                                                           \
    "\",\"vm\":null,\"position\":1,\"size_bytes\":1073741824,\"format\":\"qcow2\","                \
    "\"bus\":\"scsi\",\"pool\":\"main\"}"

static void a_disk_is_limited_by_the_number_it_has_in_its_vm(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/vms/web/disks",
         .status = 200,
         .body = "{\"items\":[" DISKY "],\"next_page_token\":null}"},
        {.line = "PATCH /api/v1/disks/" DISK_ID " HTTP",
         .status = 200,
         .wants = "{\"limits\":{\"iops\":500,\"write_bytes_per_s\":10485760}}",
         .body = DISKY},
    };
    static const struct step missing[] = {
        {.line = "GET /api/v1/vms/web/disks",
         .status = 200,
         .body = "{\"items\":[" DISKY "],\"next_page_token\":null}"},
    };
    static const struct step none[] = {{.line = "GET", .status = 200}};

    assert_int_equal(RUN("disk|limit|web/1|iops=500|write_bytes_per_s=10M", steps), CLI_OK);
    assert_int_equal(RUN("disk|limit|web/7|--none", missing), CLI_NOT_FOUND);
    assert_int_equal(run("disk|limit|web/1", none, 0), CLI_USAGE);
    assert_int_equal(run("disk|limit|web/1|iops", none, 0), CLI_USAGE);
    assert_int_equal(run("disk|limit|web/1|iops=5|--none", none, 0), CLI_USAGE);
    assert_int_equal(run("disk|add|web|pool=main", none, 0), CLI_USAGE);
}

/* ---- snapshots ---- */

#define SHOTS_LINE "GET /api/v1/vms/web/snapshots"
#define SHOTS      "{\"items\":[{\"id\":\"" DISK_ID "\",\"name\":\"clean\"}],\"next_page_token\":null}"

static void a_snapshot_is_looked_at_by_its_name(void **state)
{
    static const struct step steps[] = {
        {.line = SHOTS_LINE, .status = 200, .body = SHOTS},
        {.line = "GET /api/v1/snapshots/" DISK_ID "/diff?to=updated%20one&exact=true HTTP",
         .status = 200,
         .body = "{\"from\":\"" DISK_ID "\",\"to\":null,\"at_most_bytes\":2097152,\"disks\":[{"
                 "\"disk\":\"" DISK_ID "\",\"position\":0,\"from_size_bytes\":1073741824,"
                 "\"to_size_bytes\":null,\"files\":2,\"at_most_bytes\":2097152,"
                 "\"changed_bytes\":65536}]}"},
    };
    static const struct step none[] = {{.line = "GET", .status = 200}};

    assert_int_equal(
        RUN("snapshot|diff|web|clean|updated one|--exact|-o|csv|--fields|position,changed_bytes",
            steps),
        CLI_OK);
    assert_string_equal(out, "position,changed_bytes\r\n0,65536\r\n");
    assert_int_equal(run("snapshot|diff|web", none, 0), CLI_USAGE);
    assert_int_equal(run("snapshot|serve|web|clean|--disk|x", none, 0), CLI_USAGE);
}

static void a_deletion_is_limited_from_its_beginning(void **state)
{
    static const struct step steps[] = {
        {.line = SHOTS_LINE, .status = 200, .body = SHOTS},
        {.line = "DELETE /api/v1/snapshots/" DISK_ID "?bandwidth=52428800 HTTP",
         .status = 202,
         .body = "{\"id\":\"" DISK_ID "\",\"state\":\"running\"}"},
    };
    static const struct step none[] = {{.line = "GET", .status = 200}};

    assert_int_equal(RUN("snapshot|delete|web|clean|-y|--bandwidth|50M|--no-wait", steps), CLI_OK);
    assert_int_equal(run("snapshot|delete|web|clean|-y|--bandwidth|fast", none, 0), CLI_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_fetched_page_by_page_with_the_token),
        cmocka_unit_test(what_is_asked_for_is_the_service_s_to_find),
        cmocka_unit_test(a_filter_stands_for_the_names_of_vms),
        cmocka_unit_test(json_is_the_object_as_the_api_gave_it),
        cmocka_unit_test(every_format_has_its_shape),
        cmocka_unit_test(a_problem_gives_its_exit_code_and_its_words),
        cmocka_unit_test(a_reply_that_is_no_json_is_a_failure),
        cmocka_unit_test(start_waits_until_the_operation_has_succeeded),
        cmocka_unit_test(a_failed_operation_is_exit_code_1_with_its_error),
        cmocka_unit_test(no_wait_prints_the_operation),
        cmocka_unit_test(a_time_limit_leaves_the_operation_running),
        cmocka_unit_test(a_lost_connection_repeats_the_post_once_with_the_same_key),
        cmocka_unit_test(a_vm_is_saved_and_what_prevents_it_is_said),
        cmocka_unit_test(waiting_outlives_a_restart_of_the_service),
        cmocka_unit_test(a_second_ctrl_c_cancels_the_operation),
        cmocka_unit_test(a_termination_leaves_the_operation_at_once),
        cmocka_unit_test(create_sends_the_spec_and_shows_the_vm),
        cmocka_unit_test(stop_without_success_points_to_force),
        cmocka_unit_test(edit_sends_what_it_saw_as_if_match),
        cmocka_unit_test(what_stands_in_an_imports_way_is_the_exit_code),
        cmocka_unit_test(devices_are_listed_by_kind),
        cmocka_unit_test(a_new_token_stands_alone_on_stdout),
        cmocka_unit_test(a_disk_is_limited_by_the_number_it_has_in_its_vm),
        cmocka_unit_test(a_snapshot_is_looked_at_by_its_name),
        cmocka_unit_test(a_deletion_is_limited_from_its_beginning),
        cmocka_unit_test(api_prints_the_body_and_exits_by_the_status),
        cmocka_unit_test(api_keeps_the_token_off_the_command_line),
    };

    signal(SIGINT, SIG_DFL); /* in the background of a shell it is ignored, and would stay so */
    return cmocka_run_group_tests_name("cli/run", tests, set_up, tear_down);
}
