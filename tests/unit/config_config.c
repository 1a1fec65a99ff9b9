/* vmmd.conf as a file: owner, defaults, and the sealed text that main reads. */
#include "tests/lib/harness.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/config/config.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *dir;

static char *write_file(const char *text, mode_t mode)
{
    char *path = str_format("%s/vmmd.conf", dir);
    FILE *f;

    unlink(path); /* the test before may have given it to somebody else */
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    chmod(path, mode);
    return path;
}

static struct config *load(const char *text, mode_t mode, struct err *err)
{
    CLEANUP(mem_freep) char *path = write_file(text, mode);

    return config_load(path, err);
}

static int make_dir(void **state)
{
    dir = tmp_dir_make();
    return 0;
}

static int remove_dir(void **state)
{
    tmp_dir_remove(dir);
    return 0;
}

static void what_is_not_said_gets_its_default(void **state)
{
    struct err err = {0};
    CLEANUP(config_freep) struct config *c = load("[vmmd]\nuser = 500:600\n", 0644, &err);

    if (!c)
        fail_msg("%s", err.detail);
    assert_string_equal(c->listen_text, "127.0.0.1:8443");
    assert_int_equal(c->uid_base, 1000000);
    assert_int_equal(config_slots(c), (131072 - 16) / 3);
    assert_int_equal(config_slot_uid(c, 3), 1000000 + 16 + 6);
    assert_int_equal(config_net_uid(c, 3), 1000000 + 16 + 2 * 43685 + 3);
    assert_int_equal(c->max_connections, 512);
    assert_int_equal(c->max_connections_per_address, 32);
    assert_int_equal(c->restart_limit, 5);
    assert_int_equal(c->rate_limit, 500);
    assert_int_equal(c->rate_limit_burst, 2000);
    assert_int_equal(c->auth_failures_per_minute, 60);
    assert_false(c->enable_fake_backend);
    assert_string_equal(c->qemu, "/usr/bin/qemu-system-x86_64");
    assert_int_equal(c->libexec_dir[0], '/');
    if (geteuid() == 0) {
        assert_string_equal(c->state_dir, "/var/lib/vmmd");
        assert_string_equal(c->run_dir, "/run/vmmd");
        assert_int_equal(c->uid, 500);
        assert_int_equal(c->gid, 600);
    } else {
        assert_int_equal(c->uid, geteuid());
    }
}

static void main_reads_what_the_parent_sealed(void **state)
{
    static const char text[] = "[vmmd]\nuser = 500:600\nadmin_uids = 1 2\nlisten = [::]:1\n"
                               "cgroup = x\nenable_fake_backend = true\nrestart_limit = 7\n"
                               "rate_limit = 0\n"
                               "[boot b]\nkernel = /k\n[pool-root a]\npath = /a b\n";
    struct err err = {0};
    CLEANUP(config_freep) struct config *c = load(text, 0600, &err);
    CLEANUP(closep) int fd = c ? config_seal(c, &err) : -1;
    CLEANUP(config_freep) struct config *read_back = NULL;

    if (fd < 0)
        fail_msg("%s", err.detail);
    lseek(fd, 10, SEEK_SET);
    read_back = config_read(fd, &err);
    if (!read_back)
        fail_msg("%s", err.detail);
    assert_int_equal(read_back->uid, c->uid);
    assert_int_equal(read_back->gid, c->gid);
    assert_string_equal(read_back->state_dir, c->state_dir);
    assert_string_equal(read_back->run_dir, c->run_dir);
    assert_string_equal(read_back->libexec_dir, c->libexec_dir);
    assert_string_equal(read_back->listen_text, "[::]:1");
    assert_string_equal(read_back->cgroup, "x");
    assert_int_equal(read_back->max_connections_per_address, 32);
    assert_int_equal(read_back->restart_limit, 7);
    assert_int_equal(read_back->rate_limit, 0);
    assert_int_equal(read_back->auth_failures_per_minute, 60);
    assert_int_equal(read_back->n_admin_uids, 2);
    assert_true(read_back->enable_fake_backend);
    assert_string_equal(read_back->roots[0].path, "/a b");
    assert_string_equal(read_back->boots[0].kernel, "/k");
    assert_int_equal(write(fd, "x", 1), -1);
}

static void a_text_that_the_parent_did_not_make_is_refused(void **state)
{
    CLEANUP(mem_freep) char *path = write_file("[vmmd]\nqemu = /q\n", 0600);
    CLEANUP(closep) int fd = open(path, O_RDONLY);
    struct err err = {0};

    assert_null(config_read(fd, &err));
    assert_int_equal(err.code, ERR_INVALID);
}

static void a_named_file_must_be_there(void **state)
{
    struct err err = {0};

    assert_null(config_load("/nonexistent/vmmd.conf", &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void binary_junk_is_not_a_configuration(void **state)
{
    struct err err = {0};

    assert_null(load("[vmmd]\nqemu = /\xff\n", 0600, &err));
    assert_non_null(strstr(err.detail, "UTF-8"));
    assert_null(config_load("/dev/null", &err));
    assert_non_null(strstr(err.detail, "regular file"));
}

static void root_trusts_only_roots_file(void **state)
{
    struct err err = {0};
    CLEANUP(mem_freep) char *path = NULL;

    if (geteuid() != 0)
        skip();
    assert_null(load("[vmmd]\n", 0664, &err));
    assert_non_null(strstr(err.detail, "chmod go-w"));
    assert_null(load("[vmmd]\n", 0646, &err));
    path = write_file("[vmmd]\n", 0600);
    assert_int_equal(chown(path, 12345, 0), 0);
    assert_null(config_load(path, &err));
    assert_non_null(strstr(err.detail, "chown root"));
}

static void main_never_runs_as_root_or_as_a_vm(void **state)
{
    struct err err = {0};

    if (geteuid() != 0)
        skip();
    assert_null(load("[vmmd]\nuser = 0:0\n", 0600, &err));
    assert_non_null(strstr(err.detail, "must not be root"));
    assert_null(load("[vmmd]\nuser = 500:0\n", 0600, &err));
    assert_null(load("[vmmd]\nuser = 1000016:1000016\n", 0600, &err));
    assert_non_null(strstr(err.detail, "among the ids"));
    assert_null(load("[vmmd]\nuid_base = 4000000000\nuid_count = 16777216\nuser = nobody-such\n",
                     0600, &err));
    assert_non_null(strstr(err.detail, "no user nobody-such"));
}

static void run_directories_leave_room_for_socket_names(void **state)
{
    CLEANUP(mem_freep) char *text = str_format("[vmmd]\nrun_dir = /%0100d\n", 0);
    struct err err = {0};

    assert_null(load(text, 0600, &err));
    assert_non_null(strstr(err.detail, "run_dir"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_said_gets_its_default),
        cmocka_unit_test(main_reads_what_the_parent_sealed),
        cmocka_unit_test(a_text_that_the_parent_did_not_make_is_refused),
        cmocka_unit_test(a_named_file_must_be_there),
        cmocka_unit_test(binary_junk_is_not_a_configuration),
        cmocka_unit_test(root_trusts_only_roots_file),
        cmocka_unit_test(main_never_runs_as_root_or_as_a_vm),
        cmocka_unit_test(run_directories_leave_room_for_socket_names),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
