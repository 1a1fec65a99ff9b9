/* Server-sent events: the same events, wherever the stream is cut. */
#include "tests/lib/harness.h"

#include "cli/sse.h"

#include <string.h>

static const char stream[] = "\xef\xbb\xbfretry: 1000\n"
                             ": heartbeat\n"
                             "\n"
                             "id: 41\nevent: vm.state\ndata: {\"a\":1}\n\n"
                             "id:42\r\ndata: two\r\ndata:lines\r\n\r\n"
                             "data\rdata\r\r"
                             "event: dropped\nid: 43\n\n"
                             "unknown: x\nid: 44\nevent: reset\ndata:  led by a blank\n\n"
                             "id: 45\ndata: not ended\n";

static const char expected[] = "41 vm.state {\"a\":1}|42 message two\nlines|42 message \n|"
                               "44 reset  led by a blank|";

struct seen {
    struct strbuf text;
    unsigned n, most;
};

static bool note(void *arg, const struct sse_event *event)
{
    struct seen *seen = arg;

    strbuf_addf(&seen->text, "%s %s %s|", event->id, event->type, event->data);
    return ++seen->n != seen->most;
}

static void cutting_the_stream_at_any_byte_changes_nothing(void **state)
{
    size_t len = sizeof stream - 1;

    for (size_t cut = 0; cut <= len; cut++) {
        struct seen seen = {0};
        struct sse sse = {.on_event = note, .arg = &seen};

        assert_true(sse_feed(&sse, stream, cut));
        assert_true(sse_feed(&sse, stream + cut, len - cut));
        assert_string_equal(seen.text.data, expected);
        assert_string_equal(sse.id, "44"); /* 45 is not whole yet */
        sse_clear(&sse);
        strbuf_clear(&seen.text);
    }
}

static void one_byte_at_a_time_is_the_same(void **state)
{
    struct seen seen = {0};
    struct sse sse = {.on_event = note, .arg = &seen};

    for (size_t i = 0; i < sizeof stream - 1; i++)
        assert_true(sse_feed(&sse, stream + i, 1));
    assert_string_equal(seen.text.data, expected);
    sse_clear(&sse);
    strbuf_clear(&seen.text);
}

static void a_broken_connection_drops_the_half_event_and_keeps_the_id(void **state)
{
    struct seen seen = {0};
    struct sse sse = {.on_event = note, .arg = &seen};
    static const char first[] = "id: 7\ndata: whole\n\nid: 8\ndata: ha";
    static const char second[] = "id: 8\ndata: next\n\n";

    assert_true(sse_feed(&sse, first, sizeof first - 1));
    sse_restart(&sse);
    assert_string_equal(sse.id, "7");
    assert_true(sse_feed(&sse, second, sizeof second - 1));
    assert_string_equal(seen.text.data, "7 message whole|8 message next|");
    sse_clear(&sse);
    strbuf_clear(&seen.text);
}

static void the_callback_can_end_it(void **state)
{
    struct seen seen = {.most = 2};
    struct sse sse = {.on_event = note, .arg = &seen};

    assert_false(sse_feed(&sse, stream, sizeof stream - 1));
    assert_int_equal(seen.n, 2);
    sse_clear(&sse);
    strbuf_clear(&seen.text);
}

static void an_event_without_end_is_refused(void **state)
{
    static char big[SSE_MAX_EVENT / 2];
    struct seen seen = {0};
    struct sse sse = {.on_event = note, .arg = &seen};

    memset(big, 'x', sizeof big);
    assert_true(sse_feed(&sse, big, sizeof big));
    assert_true(sse_feed(&sse, big, sizeof big));
    assert_false(sse_feed(&sse, big, 1));
    sse_clear(&sse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cutting_the_stream_at_any_byte_changes_nothing),
        cmocka_unit_test(one_byte_at_a_time_is_the_same),
        cmocka_unit_test(a_broken_connection_drops_the_half_event_and_keeps_the_id),
        cmocka_unit_test(the_callback_can_end_it),
        cmocka_unit_test(an_event_without_end_is_refused),
    };

    return cmocka_run_group_tests_name("cli/sse", tests, NULL, NULL);
}
