/* vmmd.conf: what is accepted, and the sentence for everything that is not. */
#include "tests/lib/harness.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"
#include "vmmd/config/parse.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static struct config *parse(const char *text, struct err *err)
{
    struct config *c = mem_alloc(sizeof *c);

    if (config_parse(c, "f", text, err))
        return c;
    config_free(c);
    return NULL;
}

static void assert_refused(const char *text, const char *start, const char *part)
{
    struct err err = {0};

    assert_null(parse(text, &err));
    assert_int_equal(err.code, ERR_INVALID);
    if (!str_starts(err.detail, start) || !strstr(err.detail, part))
        fail_msg("\"%s\" gives \"%s\", expected \"%s ... %s\"", text, err.detail, start, part);
}

static void every_key_of_the_file_arrives(void **state)
{
    static const char text[] = "# a comment\n"
                               "[vmmd]\n"
                               "listen = [::1]:9443 ; in line\n"
                               "user = 500:600\n"
                               "uid_base = 2000000\n"
                               "uid_count = 100\n"
                               "state_dir = /s s\n"
                               "run_dir=/r\n"
                               "tls_cert = /c\n"
                               "tls_key = /k\n"
                               "qemu = /q\n"
                               "libexec_dir = /l\n"
                               "cgroup = a.slice/b.service\n"
                               "enable_fake_backend = true\n"
                               "admin_uids = 7 1000\n"
                               "max_connections = 9\n"
                               "max_connections_per_address = 3\n"
                               "rate_limit = 0\nrate_limit_burst = 7\n"
                               "auth_failures_per_minute = 6\n"
                               "session_idle_hours = 1\n"
                               "session_max_days = 2\n"
                               "hostnames = lab.example.org vms\n"
                               "[pool-root main]\npath = /p/one\n"
                               "[pool-root second]\npath = /p/two\n"
                               "[boot tiny]\nkernel = /b/k\ninitrd = /b/i\n"
                               "[boot bare]\nkernel = /b/k2";
    struct err err = {0};
    CLEANUP(config_freep) struct config *c = parse(text, &err);

    assert_non_null(c);
    assert_int_equal(c->listen.ss_family, AF_INET6);
    assert_int_equal(ntohs(((struct sockaddr_in6 *)&c->listen)->sin6_port), 9443);
    assert_string_equal(c->user, "500:600");
    assert_int_equal(c->uid_base, 2000000);
    assert_int_equal(c->uid_count, 100);
    assert_string_equal(c->state_dir, "/s s");
    assert_string_equal(c->run_dir, "/r");
    assert_string_equal(c->tls_cert, "/c");
    assert_string_equal(c->tls_key, "/k");
    assert_string_equal(c->qemu, "/q");
    assert_string_equal(c->libexec_dir, "/l");
    assert_string_equal(c->cgroup, "a.slice/b.service");
    assert_true(c->enable_fake_backend);
    assert_int_equal(c->n_admin_uids, 2);
    assert_int_equal(c->admin_uids[1], 1000);
    assert_int_equal(c->max_connections, 9);
    assert_int_equal(c->max_connections_per_address, 3);
    assert_int_equal(c->rate_limit_burst, 7);
    assert_int_equal(c->auth_failures_per_minute, 6);
    assert_int_equal(c->session_idle_hours, 1);
    assert_int_equal(c->session_max_days, 2);
    assert_string_equal(c->hostnames, "lab.example.org vms");
    assert_int_equal(c->n_roots, 2);
    assert_string_equal(c->roots[1].id, "second");
    assert_string_equal(c->roots[1].path, "/p/two");
    assert_int_equal(c->n_boots, 2);
    assert_string_equal(c->boots[0].initrd, "/b/i");
    assert_null(c->boots[1].initrd);
}

static void an_empty_file_is_valid(void **state)
{
    struct err err = {0};
    CLEANUP(config_freep) struct config *c = parse("", &err);

    assert_non_null(c);
    assert_int_equal(c->n_roots, 0);
}

static void what_is_unknown_is_named_with_its_line(void **state)
{
    assert_refused("[vmmd]\n\nlissten = 1\n", "f:3: ", "unknown key lissten");
    assert_refused("[vmmd]\nqemu = /q\n[vmms]\n", "f:3: ", "unknown section");
    assert_refused("[boot tiny]\nkernel = /k\npath = /p\n", "f:3: ", "unknown key path");
    assert_refused("listen = 127.0.0.1:1\n", "f:1: ", "expected [vmmd]");
    assert_refused("[vmmd]\njust words\n", "f:2: ", "expected KEY = VALUE");
    assert_refused("[vmmd\n", "f:1: ", "expected [vmmd]");
    assert_refused("[vmmd] x\n", "f:1: ", "expected [vmmd]");
}

static void what_is_given_twice_is_refused(void **state)
{
    assert_refused("[vmmd]\nqemu = /a\nqemu = /b\n", "f:3: ", "twice");
    assert_refused("[vmmd]\nqemu = /a\n[vmmd]\nqemu = /a\n", "f:4: ", "twice");
    assert_refused("[pool-root a]\npath = /a\npath = /b\n", "f:3: ", "twice");
    assert_refused("[pool-root a]\npath = /a\n[pool-root a]\n", "f:3: ", "twice");
    assert_refused("[boot a]\nkernel = /a\n[boot a]\n", "f:3: ", "twice");
    assert_refused("[vmmd]\nqemu = /a\n  qemu = /b\n",
                   "f:3: ", "twice"); /* no continuation lines */
}

static void a_section_without_its_path_is_refused(void **state)
{
    assert_refused("[pool-root a]\n[vmmd]\n", "f:2: ", "[pool-root a] has no path");
    assert_refused("[boot a]\ninitrd = /i\n", "f:2: ", "[boot a] has no kernel");
}

static void bad_values_say_what_is_expected(void **state)
{
    static const struct {
        const char *line, *expected;
    } bad[] = {
        {"listen = localhost:8443", "literal address"},
        {"listen = 127.0.0.1", "literal address"},
        {"listen = 127.0.0.1:0", "literal address"},
        {"listen = 127.0.0.1:65536", "literal address"},
        {"listen = ::1:8443", "literal address"},
        {"listen = [127.0.0.1]:1", "literal address"},
        {"listen = :8443", "literal address"},
        {"uid_base = 0", "a number from 65536"},
        {"uid_base = -1", "a number from 65536"},
        {"uid_count = 18", "a number from 19"},
        {"max_connections = 1e3", "a number from 1"},
        {"rate_limit_burst = 0", "a number from 1"},
        {"max_connections_per_address = 99999999999999999999", "a number from 1"},
        {"enable_fake_backend = yes", "true or false"},
        {"state_dir = var", "an absolute path"},
        {"state_dir =", "an absolute path"},
        {"state_dir = /a;b", "an absolute path"},
        {"state_dir = /a\x01", "an absolute path"},
        {"user = root", "not root"},
        {"cgroup = /abs", "below the cgroup v2 mount"},
        {"cgroup = ../up", "below the cgroup v2 mount"},
        {"admin_uids = a", "numeric"},
        {"admin_uids = 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17", "up to 16"},
    };

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        CLEANUP(mem_freep) char *text = str_format("[vmmd]\n%s\n", bad[i].line);
        assert_refused(text, "f:2: ", bad[i].expected);
    }
}

static void ids_are_short_and_plain(void **state)
{
    assert_refused("[pool-root ../x]\n", "f:1: ", "NAME of");
    assert_refused("[pool-root -x]\n", "f:1: ", "NAME of");
    assert_refused("[pool-root ]\n", "f:1: ", "NAME of");
    assert_refused("[pool-root Main]\n", "f:1: ", "NAME of");
    assert_refused("[boot aaaaaaaaaabbbbbbbbbbccccccccccdd]\n", "f:1: ", "NAME of");
}

static void there_are_not_more_entries_than_fit(void **state)
{
    struct strbuf text = {0};

    for (int i = 0; i <= CONFIG_MAX_ROOTS; i++)
        strbuf_addf(&text, "[pool-root r%d]\npath = /p\n", i);
    assert_refused(text.data, "f:65: ", "more than 32");
    strbuf_clear(&text);
}

static void a_line_that_is_too_long_is_not_cut(void **state)
{
    struct strbuf text = {0};

    strbuf_adds(&text, "[vmmd]\nqemu = /");
    for (int i = 0; i < 3000; i++)
        strbuf_adds(&text, "a");
    assert_refused(text.data, "f:2: ", "longer than");
    strbuf_clear(&text);
}

/* The documents name every key. */
static void every_key_is_documented(void **state)
{
    static const char *const documents[] = {"docs/configuration.md", "docs/man/vmmd.conf.5",
                                            "packaging/vmmd.conf"};
    const char *root = getenv("VMMD_SRC") ? getenv("VMMD_SRC") : ".";

    for (size_t d = 0; d < ARRAY_LEN(documents); d++) {
        CLEANUP(mem_freep) char *path = str_format("%s/%s", root, documents[d]);
        CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
        CLEANUP(mem_freep) char *text = NULL;
        struct err err;

        assert_true(fd >= 0 && fs_read_all(fd, 1 << 20, &text, NULL, &err));
        for (size_t i = 0; config_key(i); i++)
            if (!strstr(text, config_key(i)))
                fail_msg("%s does not mention %s", documents[d], config_key(i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_documented),
        cmocka_unit_test(every_key_of_the_file_arrives),
        cmocka_unit_test(an_empty_file_is_valid),
        cmocka_unit_test(what_is_unknown_is_named_with_its_line),
        cmocka_unit_test(what_is_given_twice_is_refused),
        cmocka_unit_test(a_section_without_its_path_is_refused),
        cmocka_unit_test(bad_values_say_what_is_expected),
        cmocka_unit_test(ids_are_short_and_plain),
        cmocka_unit_test(there_are_not_more_entries_than_fit),
        cmocka_unit_test(a_line_that_is_too_long_is_not_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
