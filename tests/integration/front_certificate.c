/* Certificates of clients: what vmmd-front asks for, and what it tells main. Whose they are is
 * main's business. */
#include "tests/lib/front_rig.h"
#include "tests/lib/harness.h"

#include "core/base/fs.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

static void shell(const char *command, const char *name)
{
    CLEANUP(mem_freep)
    char *whole =
        str_format("cd %s && name=%s && { %s\n} >>log 2>&1", front_world.dir, name, command);

    if (system(whole) != 0)
        fail_msg("%s", whole);
}

/* What main is told of a client that shows that certificate (NULL: none), as hex digits. */
static void shown(const char *certificate, char out[65])
{
    struct front_client c = front_connect_as("127.0.0.1", certificate);
    struct front_conn conn;
    CLEANUP(closep) int stream = front_accept(&conn);

    str_hex(conn.cert_sha256, sizeof conn.cert_sha256, out);
    curl_easy_cleanup(c.curl);
}

static void the_fingerprint_of(const char *certificate, char out[65])
{
    CLEANUP(mem_freep) char *path = str_format("%s/%s.sha256", front_world.dir, certificate);
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_int_equal(read(fd, out, 64), 64);
    out[64] = 0;
}

static const char nobody[] = "0000000000000000000000000000000000000000000000000000000000000000";

static void main_is_told_which_certificate_the_client_has_the_key_of(void **state)
{
    char got[65], expected[65];

    shell("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=ci"
          " -days 2 -keyout $name.key -out $name.pem && openssl x509 -in $name.pem -outform DER |"
          " sha256sum | cut -c1-64 >$name.sha256",
          "runner");
    the_fingerprint_of("runner", expected);
    shown("runner", got);
    assert_string_equal(got, expected);
    shown("runner", got);
    assert_string_equal(got, expected);
    shown(NULL, got);
    assert_string_equal(got, nobody);
}

static void a_certificate_that_has_expired_is_none(void **state)
{
    char got[65];

    shell("openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=old -keyout"
          " $name.key -out $name.csr && mkdir -p ca && : >ca/index.txt && echo 01 >ca/serial &&"
          " openssl ca -batch -selfsign -config /dev/stdin -in $name.csr -keyfile $name.key -out"
          " $name.pem -startdate 20200101000000Z -enddate 20200102000000Z <<'EOF'\n"
          "[ca]\ndefault_ca = d\n[d]\ndatabase = ca/index.txt\nserial = ca/serial\n"
          "new_certs_dir = ca\ndefault_md = sha256\npolicy = p\n[p]\ncommonName = supplied\nEOF\n",
          "old");
    shown("old", got);
    assert_string_equal(got, nobody);
}

static void without_being_asked_no_client_shows_one(void **state)
{
    char got[65];

    shown("runner", got);
    assert_string_equal(got, nobody);
}

#define ASKED(f) cmocka_unit_test_setup_teardown(f, front_start_asking, front_stopped)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ASKED(main_is_told_which_certificate_the_client_has_the_key_of),
        ASKED(a_certificate_that_has_expired_is_none),
        cmocka_unit_test_setup_teardown(without_being_asked_no_client_shows_one, front_started,
                                        front_stopped),
    };

    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    return cmocka_run_group_tests(tests, front_world_make, front_world_remove);
}
