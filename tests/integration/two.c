/* Two daemons on one state directory: the second says so and leaves with the exit code for it (73);
 * the first and its VMs notice nothing. That an older daemon which was halted and goes on later is
 * fenced off by its epoch is shown in tests/integration/worker.c. */
#include "tests/lib/rig.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/config/config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct rig rig;

static int setup(void **state)
{
    rig_make(&rig, 0);
    json_decref(
        rig_do(&rig, "POST", "/api/v1/vms", "{\"name\":\"a\",\"memory_bytes\":33554432}", 201));
    rig_act(&rig, "a", "start");
    rig_await(&rig, "a", "running", NULL, 20000);
    return 0;
}

static int teardown(void **state)
{
    rig_remove(&rig);
    return 0;
}

/* Starts another vmmd whose configuration is ours after 'edit' (a sed script); its exit code. What
 * it says goes to second.log. */
static int second_vmmd(const char *edit)
{
    CLEANUP(mem_freep)
    char *command =
        str_format("cd %s && sed -e '%s' vmmd.conf > second.conf && "
                   "chmod 600 second.conf && timeout 60 \"${VMMD_BIN:-build/dev}\"/vmmd "
                   "--config %s/second.conf > second.log 2>&1",
                   rig.dir, edit, rig.dir);
    int status = system(command);

    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void it_said(const char *words)
{
    CLEANUP(mem_freep) char *path = str_format("%s/second.log", rig.dir);
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(mem_freep) char *text = NULL;
    struct err err = {0};

    if (fd < 0 || !fs_read_all(fd, 1 << 20, &text, NULL, &err))
        fail_msg("%s: %s", path, err.detail);
    if (!strstr(text, words))
        fail_msg("'%s' was not said, but: %s", words, text);
}

static void a_second_is_turned_away(const char *edit, const char *words)
{
    struct rig_pids before = rig_pids(&rig, "a"), after;
    pid_t main_pid = rig_child(&rig, "vmmd-main");

    assert_true(before.qemu && before.worker && main_pid);
    assert_int_equal(second_vmmd(edit), EXIT_TAKEN);
    it_said(words);
    after = rig_pids(&rig, "a");
    assert_int_equal(after.qemu, before.qemu);
    assert_int_equal(after.worker, before.worker);
    assert_int_equal(rig_child(&rig, "vmmd-main"), main_pid);
    rig_act(&rig, "a", "pause");
    rig_act(&rig, "a", "resume");
    rig_await(&rig, "a", "running", NULL, 5000);
}

static void a_second_with_the_same_configuration_is_turned_away(void **state)
{
    a_second_is_turned_away("", "another vmmd uses");
}

static void a_second_with_a_run_directory_of_its_own_is_turned_away(void **state)
{
    a_second_is_turned_away("s|^run_dir = .*/run$|&-2|; s|^listen = 127.0.0.1|listen = 127.0.0.2|",
                            "another vmmd uses this state directory: stop that one first");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_with_the_same_configuration_is_turned_away),
        cmocka_unit_test(a_second_with_a_run_directory_of_its_own_is_turned_away),
    };
    const char *why;

    if (!rig_possible(&why)) {
        print_message("[  SKIPPED ] integration/two: %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests_name("integration/two", tests, setup, teardown);
}
