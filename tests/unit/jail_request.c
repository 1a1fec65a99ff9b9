/* What vmmd-jail takes for a request: exactly what proto.h says, and never a byte beyond the frame.
 */
#include "tests/lib/harness.h"

#include "core/base/cleanup.h"
#include "vmmd/jail/request.h"

#include <stdlib.h>
#include <string.h>

/* A request under construction. */
struct draft {
    struct jail_run head;
    struct jail_run_fd fds[8];
    char args[256];
    size_t args_len;
};

static struct draft good(void)
{
    struct draft d = {
        .head = {.version = JAIL_VERSION, .n_args = 2, .n_fds = 4, .file_max_bytes = 4096},
        .fds = {{.target = 3},
                {.target = JAIL_MAX_TARGET},
                {.target = JAIL_TARGET_KEEP},
                {.target = JAIL_TARGET_INPUT, .input = "kernel_0"}},
        .args = "/usr/bin/qemu\0-S",
        .args_len = sizeof "/usr/bin/qemu\0-S",
    };

    return d;
}

/* Reads the draft from an allocation of its exact size, so that an overrun is seen. */
static bool read_cut(const struct draft *d, unsigned attached, size_t cut, struct jail_request *r,
                     struct err *err)
{
    unsigned n_fds = d->head.n_fds <= 8 ? d->head.n_fds : 8;
    size_t fds = n_fds * sizeof *d->fds, len = sizeof d->head + fds + d->args_len - cut;
    char *whole = malloc(len + cut), *exact = malloc(len ? len : 1);
    bool ok;

    memcpy(whole, &d->head, sizeof d->head);
    memcpy(whole + sizeof d->head, d->fds, fds);
    memcpy(whole + sizeof d->head + fds, d->args, d->args_len);
    memcpy(exact, whole, len);
    ok = jail_request_read(exact, len, attached, r, err);
    free(whole);
    free(exact); /* only counts are looked at afterwards */
    return ok;
}

static struct jail_request result;

static bool accepts(const struct draft *d, unsigned attached)
{
    struct err err = {0};
    bool ok = read_cut(d, attached, 0, &result, &err);

    assert_true(ok || (err.code == ERR_INVALID && strlen(err.detail) > 5));
    return ok;
}

static void a_good_request_is_read(void **state)
{
    struct draft d = good();

    assert_true(accepts(&d, 4));
    assert_int_equal(result.n_args, 2);
    assert_null(result.argv[2]);
    assert_int_equal(result.n_fds, 4);
    assert_int_equal(result.file_max_bytes, 4096);
    assert_string_equal(result.fds[3].input, "kernel_0");
}

static void every_shorter_or_longer_request_is_refused(void **state)
{
    struct draft d = good();
    struct err err = {0};
    size_t len = sizeof d.head + 4 * sizeof *d.fds + d.args_len;

    for (size_t cut = 1; cut <= len; cut++)
        assert_false(read_cut(&d, 4, cut, &result, &err));
    d.args_len++;
    assert_false(accepts(&d, 4));
}

static void counts_are_checked(void **state)
{
    struct draft d = good();

    assert_false(accepts(&d, 3));
    assert_false(accepts(&d, 5));
    d.head.n_args = 0;
    assert_false(accepts(&d, 4));
    d.head.n_args = JAIL_MAX_ARGS + 1;
    assert_false(accepts(&d, 4));
    d = good();
    d.head.n_fds = 0xffffffff; /* times 32 would wrap to a small number in 32 bits */
    assert_false(accepts(&d, 0xffffffff));
    d = good();
    d.head.version = JAIL_VERSION + 1;
    assert_false(accepts(&d, 4));
    d = good();
    d.head.pad = 1;
    assert_false(accepts(&d, 4));
}

static void targets_are_in_range_and_unique(void **state)
{
    static const int bad[] = {0, -3, JAIL_MAX_TARGET + 1, 1 << 30, -2147483647};
    struct draft d = good();

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        d.fds[0].target = bad[i];
        assert_false(accepts(&d, 4));
    }
    for (int ok = 1; ok < JAIL_MAX_TARGET; ok++) {
        d.fds[0].target = ok;
        assert_true(accepts(&d, 4));
    }
    d.fds[0].target = JAIL_MAX_TARGET; /* taken by the second */
    assert_false(accepts(&d, 4));
    d.fds[0].target = JAIL_TARGET_KEEP; /* so is this, by the third */
    assert_false(accepts(&d, 4));
}

static void the_last_two_places_bring_the_library_along(void **state)
{
    struct draft d = good();

    assert_true(accepts(&d, 4)); /* one of them is taken */
    assert_true(jail_request_preloads(&result));
    d.fds[1].target = JAIL_MAX_TARGET - 1;
    assert_true(accepts(&d, 4));
    assert_true(jail_request_preloads(&result));
    d.fds[1].target = JAIL_MAX_TARGET - 2;
    assert_true(accepts(&d, 4));
    assert_false(jail_request_preloads(&result));
}

static void input_names_are_plain_and_unique(void **state)
{
    static const char *const bad[] = {"", "../x", "a/b", "Kernel", "a.b", "-rf", " ", "\n", "é"};
    struct draft d = good();

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        memset(d.fds[3].input, 0, sizeof d.fds[3].input);
        strcpy(d.fds[3].input, bad[i]);
        assert_false(accepts(&d, 4));
    }
    memset(d.fds[3].input, 'a', sizeof d.fds[3].input); /* without an end */
    assert_false(accepts(&d, 4));
    d = good();
    d.fds[0] = d.fds[3]; /* the same name twice */
    assert_false(accepts(&d, 4));
    d = good();
    strcpy(d.fds[0].input, "x"); /* a name on a descriptor */
    assert_false(accepts(&d, 4));
}

static void the_program_is_an_absolute_path(void **state)
{
    struct draft d = good();

    d.args[0] = 'x';
    assert_false(accepts(&d, 4));
}

static void mutations_never_overrun(void **state)
{
    srandom(3);
    for (unsigned i = 0; i < 20000; i++) {
        struct draft d = good();
        struct err err = {0};
        char *bytes = (char *)&d;
        for (unsigned k = 0; k < 3; k++)
            bytes[(unsigned)random() % offsetof(struct draft, args_len)] = (char)random();
        if (read_cut(&d, d.head.n_fds, (size_t)random() % 20, &result, &err))
            assert_in_range(result.n_args, 1, JAIL_MAX_ARGS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_request_is_read),
        cmocka_unit_test(every_shorter_or_longer_request_is_refused),
        cmocka_unit_test(counts_are_checked),
        cmocka_unit_test(targets_are_in_range_and_unique),
        cmocka_unit_test(the_last_two_places_bring_the_library_along),
        cmocka_unit_test(input_names_are_plain_and_unique),
        cmocka_unit_test(the_program_is_an_absolute_path),
        cmocka_unit_test(mutations_never_overrun),
    };

    return cmocka_run_group_tests_name("jail/request", tests, NULL, NULL);
}
