/* Bodies that are files, over HTTP: taken as they come, whatever their size; refused before they
 * are sent; not for ever at a crawl. What becomes of them is in core/uploads. */
#include "tests/unit/api/rig.h"

#define PUT        "PUT /api/v1/imports/main/web.img"
#define HEAD_OF(n) OPERATOR "Content-Length: " #n "\r\n"

static int image_setup(void **state)
{
    fake_image_clear();
    return rig_start(state);
}

static int image_setup_strict(void **state)
{
    fake_image_clear();
    return rig_start_strict(state);
}

static int image_teardown(void **state)
{
    int result = rig_stop(state);

    assert_int_equal(fake_image_open(), 0);
    fake_image_clear();
    return result;
}

static int begin_put(struct rig *rig, const char *query, const char *headers)
{
    CLEANUP(mem_freep)
    char *text = str_format(PUT "%s HTTP/1.1\r\nHost: x\r\n%s\r\n", query, headers);
    int fd = dial(rig);

    say(fd, text);
    return fd;
}

/* Waits for the reply; it must have this status and, unless NULL, this in its head or body. */
static void answers(int fd, unsigned status, const char *piece)
{
    struct reply_seen r = listen_to(fd, false);

    if (r.status != status || (piece && !strstr(r.head, piece) && !strstr(r.body, piece)))
        fail_msg("%u, not %u with '%s': %s%s", r.status, status, piece ? piece : "", r.head,
                 r.body);
    reply_seen_clear(&r);
    close(fd);
}

static void put(struct rig *rig, const char *query, const char *headers, const char *body,
                unsigned status, const char *piece)
{
    int fd = begin_put(rig, query, headers);

    say(fd, body);
    answers(fd, status, piece);
}

static void an_image_is_taken_whole(void **state)
{
    struct rig *rig = *state;

    put(rig, "", HEAD_OF(5), "image", 201, "Upload-Offset: 5");
    assert_string_equal(fake_image.bytes.data, "image");
    expect(rig, "HEAD /api/v1/imports/main/web.img", VIEWER, NULL, 200, "Upload-Offset: 5");
}

/* Far beyond what any other body may have; main's memory has none of it. */
static void its_size_has_no_limit(void **state)
{
    struct rig *rig = *state;
    CLEANUP(mem_freep) char *block = mem_alloc(1u << 20);
    int fd = begin_put(rig, "", HEAD_OF(16777216));

    memset(block, 'x', 1u << 20);
    for (unsigned i = 0; i < 16; i++)
        say_bytes(fd, block, 1u << 20);
    answers(fd, 201, "Upload-Offset: 16777216");
}

static void pieces_say_where_they_belong(void **state)
{
    struct rig *rig = *state;

    put(rig, "", HEAD_OF(2) "Content-Range: bytes 0-1/5\r\n", "im", 200, "Upload-Offset: 2");
    put(rig, "", HEAD_OF(1) "Content-Range: bytes 3-3/5\r\n", "g", 409, "go on at 2");
    put(rig, "", HEAD_OF(3) "Content-Range: bytes 2-4/5\r\n", "age", 201, "Location: /api");
    put(rig, "", OPERATOR "Content-Range: bytes */5\r\n", "", 201, NULL);
    assert_string_equal(fake_image.bytes.data, "image");
}

static void a_range_that_lies_is_refused(void **state)
{
    static const char *const ranges[] = {"bytes 0-5/5",
                                         "bytes 0-1/5",
                                         "bytes 4-0/5",
                                         "bytes 0-4/4",
                                         "bytes 0-4",
                                         "bytes 0-4/*",
                                         "bytes */5",
                                         "octets 0-4/5",
                                         "bytes=0-4/5",
                                         "bytes 0-4/5x",
                                         "bytes -1-3/5",
                                         "bytes 0-4/99999999999999999999999",
                                         "",
                                         "bytes 0-4/",
                                         "bytes 0-4/5,6-7",
                                         "bytes 18446744073709551615-4/5"};

    for (unsigned i = 0; i < ARRAY_LEN(ranges); i++) {
        CLEANUP(mem_freep)
        char *headers = str_format(HEAD_OF(5) "Content-Range: %s\r\n", ranges[i]);

        put(*state, "", headers, "image", 400, "malformed");
    }
    put(*state, "", OPERATOR "Transfer-Encoding: chunked\r\n", "0\r\n\r\n", 400, "Content-Length");
    assert_int_equal(fake_image_open(), 0);
    assert_int_equal(fake_image_len(), 0);
}

/* A client that asks first sends nothing of what would be refused. */
static void a_refusal_comes_before_the_body(void **state)
{
    struct rig *rig = *state;
    int fd = dial(rig);

    say(fd, "PUT /api/v1/imports/nowhere/web.img HTTP/1.1\r\nHost: x\r\n" OPERATOR
            "Expect: 100-continue\r\nContent-Length: 1000000000000\r\n\r\n");
    answers(fd, 404, "no such root");
    fd = begin_put(rig, "", VIEWER "Expect: 100-continue\r\nContent-Length: 1000000000000\r\n");
    answers(fd, 403, "data-write");
    fd = begin_put(rig, "", HEAD_OF(5) "Expect: 100-continue\r\n");
    free(hear_until(fd, "100 Continue\r\n\r\n"));
    say(fd, "image");
    answers(fd, 201, NULL);
}

static void a_full_disk_is_said_in_the_middle(void **state)
{
    struct rig *rig = *state;
    int fd = begin_put(rig, "", HEAD_OF(1000000000000));

    say(fd, "some");
    while (fake_image_len() < 4)
        poll(NULL, 0, 1);
    fake_image_fill();
    say(fd, "more");
    answers(fd, 507, "no-space");
}

static void a_digest_is_for_core_to_compare(void **state)
{
    put(*state, "?sha256=aa", HEAD_OF(5), "image", 422, "?sha256");
    put(*state, "?md5=aa", HEAD_OF(5), "image", 422, NULL);
}

static void a_client_that_leaves_holds_nothing(void **state)
{
    int fd = begin_put(*state, "", HEAD_OF(1000000));

    say(fd, "some");
    while (fake_image_len() < 4)
        poll(NULL, 0, 1);
    close(fd);
    while (fake_image_open())
        poll(NULL, 0, 1);
    assert_int_equal(fake_image_len(), 4);
}

/* 300 bytes in 300 ms is what this rig asks for; a byte now and then is less. */
static void a_crawl_is_ended_and_a_long_upload_is_not(void **state)
{
    struct rig *rig = *state;
    int slow = begin_put(rig, "", HEAD_OF(1000000)), long_one;
    char block[400];

    say(slow, "x");
    assert_closed(slow); /* the deadline of such a body is 300 ms here */
    memset(block, 'x', sizeof block);
    long_one = begin_put(rig, "", HEAD_OF(6000));
    for (unsigned i = 0; i < 15; i++) { /* 750 ms: more than twice as long */
        say_bytes(long_one, block, sizeof block);
        poll(NULL, 0, 50);
    }
    answers(long_one, 201, NULL);
}

static void an_image_is_deleted_by_whoever_may_upload(void **state)
{
    expect(*state, "DELETE /api/v1/imports/main/web.img", VIEWER, NULL, 403, "data-write");
    expect(*state, "DELETE /api/v1/imports/main/web.img?dry_run=true", OPERATOR, NULL, 200,
           "dry_run");
    expect(*state, "DELETE /api/v1/imports/main/web.img", OPERATOR, NULL, 204, NULL);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, image_setup, image_teardown)
    const struct CMUnitTest tests[] = {
        T(an_image_is_taken_whole),
        T(its_size_has_no_limit),
        T(pieces_say_where_they_belong),
        T(a_range_that_lies_is_refused),
        T(a_refusal_comes_before_the_body),
        T(a_full_disk_is_said_in_the_middle),
        T(a_digest_is_for_core_to_compare),
        T(a_client_that_leaves_holds_nothing),
        cmocka_unit_test_setup_teardown(a_crawl_is_ended_and_a_long_upload_is_not,
                                        image_setup_strict, image_teardown),
        T(an_image_is_deleted_by_whoever_may_upload),
    };

    return cmocka_run_group_tests_name("unit/api_uploads", tests, NULL, NULL);
}
