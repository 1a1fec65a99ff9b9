/* Where the service is: who wins, and what is refused. */
#include "tests/lib/harness.h"

#include "cli/connection.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const variables[] = {"VMMD_URL",   "VMMD_SOCKET",     "VMMD_CACERT",
                                        "VMMD_TOKEN", "VMMD_TOKEN_FILE", "VMMD_FINGERPRINT"};

struct fixture {
    char *dir;
    struct connection c;
    struct fault fault;
};

static int set_up(void **state)
{
    struct fixture *f = mem_alloc(sizeof *f);

    f->dir = tmp_dir_make();
    for (size_t i = 0; i < ARRAY_LEN(variables); i++)
        unsetenv(variables[i]);
    unsetenv("VMMD_CONFIG");
    setenv("XDG_CONFIG_HOME", f->dir, 1); /* where there is no vmmd/config */
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    connection_clear(&f->c);
    tmp_dir_remove(f->dir);
    free(f);
    return 0;
}

static char *write_file(struct fixture *f, const char *name, const char *text, mode_t mode)
{
    char *path = str_format("%s/%s", f->dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    fchmod(fd, mode);
    close(fd);
    return path;
}

static bool load(struct fixture *f, const char *flag, const char *value)
{
    char *argv[] = {"vmmctl", "vm", "list", (char *)flag, (char *)value};
    struct args args;
    bool ok;

    connection_clear(&f->c);
    f->fault = (struct fault){0};
    assert_true(args_parse(flag ? 5 : 3, argv, &args, &f->fault));
    ok = connection_load(&args, &f->c, &f->fault);
    args_clear(&args);
    return ok;
}

static void without_anything_it_is_the_socket_of_this_machine(void **state)
{
    struct fixture *f = *state;

    unsetenv("XDG_RUNTIME_DIR");
    assert_true(load(f, NULL, NULL));
    assert_string_equal(f->c.socket, "/run/vmmd/api.sock");
    assert_string_equal(f->c.url, "http://localhost");
    assert_null(f->c.token);
}

static void flags_win_over_environment_and_environment_over_the_file(void **state)
{
    struct fixture *f = *state;
    CLEANUP(mem_freep)
    char *path = write_file(
        f, "c", "# mine\n\nurl = https://file:1/\ntoken=vmmd_a_file\ncacert = /file.pem\n", 0600);

    setenv("VMMD_CONFIG", path, 1);
    assert_true(load(f, NULL, NULL));
    assert_string_equal(f->c.url, "https://file:1");
    assert_string_equal(f->c.token, "vmmd_a_file");
    setenv("VMMD_URL", "https://env:2", 1);
    setenv("VMMD_TOKEN", "vmmd_b_env", 1);
    assert_true(load(f, NULL, NULL));
    assert_string_equal(f->c.url, "https://env:2");
    assert_string_equal(f->c.token, "vmmd_b_env");
    assert_string_equal(f->c.cacert, "/file.pem");
    assert_true(load(f, "--url", "https://flag:3"));
    assert_string_equal(f->c.url, "https://flag:3");
    assert_null(f->c.socket);
    assert_true(load(f, "--socket", "/flag.sock"));
    assert_string_equal(f->c.socket, "/flag.sock");
    assert_string_equal(f->c.url, "http://localhost");
}

static void a_file_that_others_may_read_is_refused(void **state)
{
    struct fixture *f = *state;
    CLEANUP(mem_freep) char *path = write_file(f, "c", "token=vmmd_x_y\n", 0644);

    setenv("VMMD_CONFIG", path, 1);
    assert_false(load(f, NULL, NULL));
    assert_int_equal(f->fault.exit, CLI_USAGE);
    assert_non_null(strstr(f->fault.detail, "chmod 600"));
}

static void a_wrong_file_names_its_line(void **state)
{
    struct fixture *f = *state;
    CLEANUP(mem_freep) char *one = write_file(f, "one", "url=https://a\nbogus=1\n", 0600);
    CLEANUP(mem_freep) char *two = write_file(f, "two", "no equals\n", 0600);

    setenv("VMMD_CONFIG", one, 1);
    assert_false(load(f, NULL, NULL));
    assert_non_null(strstr(f->fault.detail, "line 2"));
    setenv("VMMD_CONFIG", two, 1);
    assert_false(load(f, NULL, NULL));
    assert_non_null(strstr(f->fault.detail, "line 1"));
    setenv("VMMD_CONFIG", "/nonexistent/config", 1);
    assert_false(load(f, NULL, NULL));
}

static void a_token_comes_from_the_first_word_of_its_file(void **state)
{
    struct fixture *f = *state;
    CLEANUP(mem_freep) char *good = write_file(f, "t", "\n vmmd_1_2 \nrest\n", 0600);
    CLEANUP(mem_freep) char *empty = write_file(f, "e", " \n", 0600);
    CLEANUP(mem_freep) char *odd = write_file(f, "o", "vmmd_\x01", 0600);

    assert_true(load(f, "--token-file", good));
    assert_string_equal(f->c.token, "vmmd_1_2");
    assert_false(load(f, "--token-file", empty));
    assert_false(load(f, "--token-file", odd));
    assert_false(load(f, "--token-file", "/nonexistent"));
    assert_int_equal(f->fault.exit, CLI_USAGE);
}

static void addresses_that_would_leak_the_token_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"host:8443",
                                      "ftp://h",
                                      "https://",
                                      "http://example.com",
                                      "http://localhost.evil.com",
                                      "https://user@host",
                                      "https://h/path",
                                      "https://h?q",
                                      "http://127.0.0.1@evil.com"};
    static const char *const good[] = {"https://host:8443", "https://[::1]:8443/",
                                       "http://127.0.0.1:80", "http://localhost", "http://[::1]:1"};

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (load(f, "--url", bad[i]))
            fail_msg("%s was taken", bad[i]);
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (!load(f, "--url", good[i]))
            fail_msg("%s: %s", good[i], f->fault.detail);
}

static void fingerprints_are_read_as_people_paste_them(void **state)
{
    char hex[65];

    assert_true(fingerprint_parse("AB:cd:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:"
                                  "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff",
                                  hex));
    assert_true(str_starts(hex, "abcd0011"));
    assert_true(fingerprint_parse(
        "sha256:abcd00112233445566778899aabbccdd00112233445566778899aabbccddeeff", hex));
    assert_false(fingerprint_parse("abcd", hex));
    assert_false(fingerprint_parse("", hex));
    assert_false(fingerprint_parse(
        "abcd00112233445566778899aabbccdd00112233445566778899aabbccddeeff00", hex));
    assert_false(
        fingerprint_parse("zzcd00112233445566778899aabbccdd00112233445566778899aabbccddeeff", hex));
}

#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILES(without_anything_it_is_the_socket_of_this_machine),
        WITH_FILES(flags_win_over_environment_and_environment_over_the_file),
        WITH_FILES(a_file_that_others_may_read_is_refused),
        WITH_FILES(a_wrong_file_names_its_line),
        WITH_FILES(a_token_comes_from_the_first_word_of_its_file),
        WITH_FILES(addresses_that_would_leak_the_token_are_refused),
        WITH_FILES(fingerprints_are_read_as_people_paste_them),
    };

    return cmocka_run_group_tests_name("cli/connection", tests, NULL, NULL);
}
