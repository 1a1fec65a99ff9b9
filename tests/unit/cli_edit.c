/* vmmctl vm edit with an editor, vm rename, vm create with every kind of flag. */
#include "tests/unit/cli_line.h"

#include <pty.h>

static int terminal = -1;

/* An editor that is this piece of sh; $1 is the file, $turns counts. */
static void let_edit(const char *script)
{
    CLEANUP(mem_freep) char *path = str_format("%s/editor.sh", dir);
    CLEANUP(mem_freep) char *count = str_format("%s/turns", dir);
    CLEANUP(mem_freep) char *line = str_format("sh %s", path);
    FILE *f = fopen(path, "we");

    fprintf(f, "echo x >>%s\nturns=$(grep -c x %s)\n%s\n", count, count, script);
    fclose(f);
    unlink(count);
    setenv("VISUAL", line, 1);
}

static void an_edited_vm_is_sent_as_a_patch(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/vms/web",
         .status = 200,
         .head = "ETag: \"7.1\"\r\n",
         .body = VM("web", "off")},
        {.line = "PATCH /api/v1/vms/web HTTP",
         .status = 200,
         .wants = "{\"vcpus\":3}",
         .body = VM("web", "off")},
    };

    let_edit("sed -i 's/^vcpus: 1/vcpus: 3 # more/' $1; grep -q '^state:' $1 && exit 1; true");
    assert_int_equal(RUN("vm|edit|web|-q", steps), CLI_OK);
}

static void a_refused_edit_comes_up_again_with_the_reason(void **state)
{
    static const struct step steps[] = {
        {.line = "GET", .status = 200, .head = "ETag: \"7.1\"\r\n", .body = VM("web", "off")},
        {.line = "PATCH",
         .status = 422,
         .wants = "{\"vcpus\":9000}",
         .body = "{\"code\":\"invalid\",\"detail\":\"vcpus must be 1 to 255\"}"},
        {.line = "PATCH",
         .status = 412,
         .wants = "{\"vcpus\":9}",
         .body = "{\"code\":\"revision-conflict\",\"detail\":\"it was changed meanwhile\"}"},
        {.line = "GET", .status = 200, .head = "ETag: \"8.1\"\r\n", .body = VM("shop", "off")},
        {.line = "PATCH", .status = 200, .wants = "If-Match: \"8.1\"", .body = VM("shop", "off")},
    };

    let_edit("case $turns in\n"
             "1) sed -i 's/^vcpus: 1/vcpus: [/' $1;;\n"
             "2) grep -q '^# .*line' $1 && sed -i 's/^vcpus: .*/vcpus: 9000/' $1;;\n"
             "3) grep -q '^# vcpus must be 1 to 255' $1 && sed -i 's/^vcpus: .*/vcpus: 9/' $1;;\n"
             "4) grep -q '^# it was changed' $1 && grep -q '^name: shop' $1 && "
             "grep -q '^vcpus: 9' $1 && echo '# fine' >>$1;;\n"
             "*) exit 1;; esac");
    assert_int_equal(RUN("vm|edit|web|-q", steps), CLI_OK);
}

static void who_gives_up_keeps_the_text(void **state)
{
    static const struct step steps[] = {
        {.line = "GET", .status = 200, .body = VM("web", "off")},
        {.line = "PATCH",
         .status = 422,
         .body = "{\"code\":\"invalid\",\"detail\":\"vcpus must be 1 to 255\"}"},
    };
    char *kept;

    let_edit("sed -i 's/^vcpus: 1/vcpus: 9000/' $1");
    assert_int_equal(RUN("vm|edit|web", steps), CLI_FAILED);
    assert_non_null(strstr(err_text, "vcpus must be 1 to 255"));
    kept = strstr(err_text, "is kept in ");
    assert_non_null(kept);
    kept += strlen("is kept in ");
    kept[strcspn(kept, "\n")] = 0;
    assert_int_equal(access(kept, R_OK), 0);
}

static void an_untouched_text_changes_nothing(void **state)
{
    static const struct step steps[] = {{.line = "GET", .status = 200, .body = VM("web", "off")}};

    let_edit("true");
    assert_int_equal(RUN("vm|edit|web", steps), CLI_OK);
    assert_string_equal(err_text, "nothing is changed\n");
    let_edit("exit 3");
    assert_int_equal(RUN("vm|edit|web", steps), CLI_FAILED);
}

static void rename_patches_the_name_alone(void **state)
{
    static const struct step steps[] = {{.line = "PATCH /api/v1/vms/web HTTP",
                                         .status = 200,
                                         .wants = "{\"name\":\"shop\"}",
                                         .body = VM("shop", "off")}};

    assert_int_equal(RUN("vm|rename|web|shop", steps), CLI_OK);
    assert_string_equal(out, "");
    assert_string_equal(err_text, "web is called shop now\n");
}

static void every_flag_of_create_has_its_member(void **state)
{
    static const struct step steps[] = {
        {.line = "POST /api/v1/vms?dry_run=true",
         .status = 200,
         .wants = "{\"name\":\"w\","
                  "\"profile\":\"windows-11\",\"cpu\":{\"max_vcpus\":8,\"cores\":4},"
                  "\"memory_overcommit\":true,"
                  "\"firmware\":{\"type\":\"uefi\",\"secure_boot\":true},"
                  "\"video\":{\"heads\":2},\"autostart\":{\"enabled\":true,\"order\":5},"
                  "\"cdroms\":[{\"media\":\"a.iso\"},{}]}",
         .body = "{\"dry_run\":true}"},
    };

    assert_int_equal(RUN("vm|create|w|--profile=windows-11|--max-vcpus=8|--cores=4|--firmware=uefi|"
                         "--secure-boot|--heads=2|--autostart|--set=autostart.order=5|--overcommit|"
                         "--cdrom=a.iso|--cdrom=empty|--dry-run",
                         steps),
                     CLI_OK);
    assert_int_equal(run("vm|create|w|--memory=", NULL, 0), CLI_USAGE);
    assert_int_equal(run("vm|create|w|--set|memroy=1G", NULL, 0), CLI_USAGE);
}

static void a_vm_can_be_a_yaml_file(void **state)
{
    static const struct step steps[] = {
        {.line = "POST /api/v1/vms?dry_run=true",
         .status = 200,
         .wants = "{\"name\":\"web\",\"vcpus\":4,\"disks\":[{\"size_bytes\":1048576}]}",
         .body = "{\"dry_run\":true}"},
    };
    CLEANUP(mem_freep) char *path = str_format("%s/web.yaml", dir);
    CLEANUP(mem_freep) char *line = str_format("vm|create|-f|%s|--vcpus|4|--dry-run", path);
    FILE *f = fopen(path, "we");

    fputs("name: web\nvcpus: 2\ndisks:\n- size_bytes: 1048576\n", f);
    fclose(f);
    assert_int_equal(RUN(line, steps), CLI_OK);
    f = fopen(path, "we");
    fputs("- name: web\n", f);
    fclose(f);
    assert_int_equal(run(line, NULL, 0), CLI_USAGE);
    assert_non_null(strstr(err_text, "one VM is expected"));
}

static int set_up_terminal(void **state)
{
    int slave;

    set_up(state);
    setenv("TMPDIR", dir, 1);
    assert_int_equal(openpty(&terminal, &slave, NULL, NULL, NULL), 0);
    close(input);
    input = slave;
    return 0;
}

static int tear_down_terminal(void **state)
{
    close(terminal);
    unsetenv("TMPDIR");
    unsetenv("VISUAL");
    return tear_down(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_edited_vm_is_sent_as_a_patch),
        cmocka_unit_test(a_refused_edit_comes_up_again_with_the_reason),
        cmocka_unit_test(who_gives_up_keeps_the_text),
        cmocka_unit_test(an_untouched_text_changes_nothing),
        cmocka_unit_test(rename_patches_the_name_alone),
        cmocka_unit_test(every_flag_of_create_has_its_member),
        cmocka_unit_test(a_vm_can_be_a_yaml_file),
    };

    return cmocka_run_group_tests_name("cli/edit", tests, set_up_terminal, tear_down_terminal);
}
