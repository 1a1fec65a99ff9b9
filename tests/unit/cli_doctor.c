/* vmmctl doctor against a scripted service, and by itself. */
#include "tests/unit/cli_line.h"

#include <signal.h>
#include <sys/stat.h>

static void doctor_fails_on_errors_only(void **state)
{
    static const struct step warning[] = {{.line = "GET /api/v1/host",
                                           .status = 200,
                                           .body =
                                               "{\"findings\":[{\"id\":\"kvm\",\"severity\":"
                                               "\"warning\",\"title\":\"KVM is software\","
                                               "\"evidence\":\"no vmx\",\"fix\":\"enable it\"}]}"}};
    static const struct step error[] = {
        {.line = "GET /api/v1/host",
         .status = 200,
         .body = "{\"findings\":[{\"id\":\"q\",\"severity\":\"error\",\"title\":\"no QEMU\","
                 "\"evidence\":\"\",\"fix\":null}]}"}};

    assert_int_equal(RUN("doctor", warning), CLI_OK);
    assert_string_equal(out, "warning   KVM is software\n"
                             "          seen: no vmx\n"
                             "          fix:  enable it\n");
    assert_int_equal(RUN("doctor", error), CLI_FAILED);
    assert_int_equal(RUN("doctor|--strict", warning), CLI_FAILED);
}

static void doctor_shows_what_is_well_on_demand(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/host",
         .status = 200,
         .body = "{\"findings\":[{\"id\":\"swap\",\"severity\":\"info\",\"title\":\"Swap\","
                 "\"evidence\":\"none\",\"fix\":null},{\"id\":\"q\",\"severity\":\"ok\","
                 "\"title\":\"QEMU\",\"evidence\":\"7.2\",\"fix\":null}]}"}};

    assert_int_equal(RUN("doctor", steps), CLI_OK);
    assert_string_equal(out, "info      Swap\n          seen: none\n");
    assert_non_null(strstr(err_text, "1 other checks"));
    assert_int_equal(RUN("doctor|--all", steps), CLI_OK);
    assert_non_null(strstr(out, "ok        QEMU\n          seen: 7.2\n"));
}

static void doctor_looks_by_itself_when_the_service_is_down(void **state)
{
    static const struct step steps[] = {{.line = "GET /api/v1/host", .status = 0},
                                        {.line = "GET /api/v1/host", .status = 0}};

    assert_int_equal(RUN("doctor|-a", steps), CLI_UNREACHABLE);
    assert_non_null(strstr(out, "64-bit processor\n"));
    assert_non_null(strstr(err_text, "what vmmctl sees"));
}

/* One that is a file cannot become a root. */
static void doctor_leaves_pool_roots_out_that_are_yet_to_be_made(void **state)
{
    static const char *const paths[] = {"later", "vmmd.conf"};
    CLEANUP(mem_freep) char *config = str_format("%s/vmmd.conf", dir);
    CLEANUP(mem_freep) char *line = str_format("doctor|--local|-a|--config|%s", config);

    for (unsigned i = 0; i < ARRAY_LEN(paths); i++) {
        FILE *f = fopen(config, "w");
        fprintf(f, "[vmmd]\nstate_dir = %s/state\n[pool-root main]\npath = %s/%s\n", dir, dir,
                paths[i]);
        fclose(f);
        assert_int_equal(chmod(config, 0600), 0);
        run(line, NULL, 0);
        assert_null(strstr(out, "no pool root"));
        assert_int_equal(!!strstr(out, "root main cannot be opened"), i == 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doctor_fails_on_errors_only),
        cmocka_unit_test(doctor_leaves_pool_roots_out_that_are_yet_to_be_made),
        cmocka_unit_test(doctor_shows_what_is_well_on_demand),
        cmocka_unit_test(doctor_looks_by_itself_when_the_service_is_down),
    };

    signal(SIGINT, SIG_DFL); /* in the background of a shell it is ignored, and would stay so */
    return cmocka_run_group_tests_name("unit/cli_doctor", tests, set_up, tear_down);
}
