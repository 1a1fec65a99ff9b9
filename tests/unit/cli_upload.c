/* vmmctl disk upload against a scripted service: what it asks, sends and says. */
#include "tests/unit/cli_line.h"

#define IMAGE  "GET /api/v1/imports/main/web.img"
#define PUT    "PUT /api/v1/imports/main/web.img"
#define SHA256 "6105d6cc76af400325e94d588ce511be5bfdbb73b437dc51eca43917d7a43e3d" /* of "image" */
#define NONE                                                                                       \
    "{\"status\":404,\"code\":\"not-found\",\"title\":\"t\",\"detail\":\"there is no image\"}"
#define HAS(n, state)                                                                              \
    "{\"name\":\"web.img\",\"root\":\"main\",\"state\":\"" state "\",\"size_bytes\":5,"            \
    "\"uploaded_bytes\":" #n "}"

static char line[256];

/* The command for a file with this content, in the test's directory. */
static const char *upload(const char *content)
{
    CLEANUP(mem_freep) char *path = str_format("%s/web.img", dir);
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(content, file);
    fclose(file);
    snprintf(line, sizeof line, "disk|upload|%s|--root|main", path);
    return line;
}

static void an_image_goes_with_its_digest(void **state)
{
    static const struct step steps[] = {
        {.line = IMAGE, .status = 404, .body = NONE},
        {.line = PUT "?sha256=" SHA256,
         .status = 201,
         .wants = "Content-Range: bytes 0-4/5\r\n",
         .body = HAS(5, "ready")},
    };

    assert_int_equal(RUN(upload("image"), steps), CLI_OK);
    assert_non_null(strstr(err_text, "web.img is there"));
}

static void what_is_there_of_it_is_gone_on_with(void **state)
{
    static const struct step steps[] = {
        {.line = IMAGE, .status = 200, .body = HAS(3, "uploading")},
        {.line = PUT "?sha256=" SHA256,
         .status = 201,
         .wants = "Content-Range: bytes 3-4/5\r\n",
         .body = HAS(5, "ready")},
    };
    static const struct step all[] = {
        {.line = IMAGE, .status = 200, .body = HAS(5, "uploading")},
        {.line = PUT "?sha256=" SHA256,
         .status = 201,
         .wants = "Content-Range: bytes */5\r\n",
         .body = HAS(5, "ready")},
    };

    assert_int_equal(RUN(upload("image"), steps), CLI_OK);
    assert_non_null(strstr(err_text, "going on"));
    assert_int_equal(RUN(upload("image"), all), CLI_OK);
}

/* The service hung up in the middle; what it has by then decides. */
static void a_broken_connection_is_taken_up(void **state)
{
    static const struct step steps[] = {
        {.line = IMAGE, .status = 404, .body = NONE},
        {.line = PUT, .status = 0},
        {.line = IMAGE, .status = 200, .body = HAS(2, "uploading"), .after = 2},
        {.line = PUT "?sha256=" SHA256,
         .status = 201,
         .wants = "Content-Range: bytes 2-4/5\r\n",
         .body = HAS(5, "ready"),
         .after = 3},
    };

    assert_int_equal(RUN(upload("image"), steps), CLI_OK);
    assert_non_null(strstr(err_text, "trying again"));
}

static void a_lost_reply_is_no_second_image(void **state)
{
    static const struct step steps[] = {
        {.line = IMAGE, .status = 404, .body = NONE},
        {.line = PUT, .status = 0},
        {.line = IMAGE, .status = 200, .body = HAS(5, "ready"), .after = 2},
    };

    assert_int_equal(RUN(upload("image"), steps), CLI_OK);
}

static void an_image_that_is_there_is_not_replaced(void **state)
{
    static const struct step steps[] = {
        {.line = IMAGE, .status = 200, .body = HAS(5, "ready")},
    };

    assert_int_equal(RUN(upload("image"), steps), CLI_CONFLICT);
    assert_non_null(strstr(err_text, "delete-image"));
}

static void a_refusal_ends_it(void **state)
{
    static const struct step steps[] = {
        {.line = IMAGE, .status = 404, .body = NONE},
        {.line = PUT,
         .status = 507,
         .body =
             "{\"status\":507,\"code\":\"no-space\",\"title\":\"t\",\"detail\":\"it is full\"}"},
    };
    static const struct step none[] = {{.line = "GET", .status = 200}};

    assert_int_equal(RUN(upload("image"), steps), CLI_FAILED);
    assert_non_null(strstr(err_text, "it is full"));
    assert_int_equal(run(upload(""), none, 0), CLI_USAGE); /* nothing in it */
    assert_int_equal(run("disk|upload|/dev/null", none, 0), CLI_USAGE);
    assert_int_equal(run("disk|upload|/no/such/file", none, 0), CLI_FAILED);
}

static void an_image_is_deleted_by_its_name(void **state)
{
    static const struct step steps[] = {
        {.line = "GET /api/v1/pools?order=created_at&page_size=1",
         .status = 200,
         .body = "{\"items\":[{\"root\":\"main\"}]}"},
        {.line = "DELETE /api/v1/imports/main/web.img", .status = 204, .body = ""},
    };

    assert_int_equal(RUN("disk|delete-image|web.img|-y", steps), CLI_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_image_goes_with_its_digest),
        cmocka_unit_test(what_is_there_of_it_is_gone_on_with),
        cmocka_unit_test(a_broken_connection_is_taken_up),
        cmocka_unit_test(a_lost_reply_is_no_second_image),
        cmocka_unit_test(an_image_that_is_there_is_not_replaced),
        cmocka_unit_test(a_refusal_ends_it),
        cmocka_unit_test(an_image_is_deleted_by_its_name),
    };

    signal(SIGINT, SIG_DFL); /* in the background of a shell it is ignored, and would stay so */
    return cmocka_run_group_tests_name("unit/cli_upload", tests, set_up, tear_down);
}
