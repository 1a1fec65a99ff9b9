/* QEMU's standard error: the last words are kept, printable, and the log is bounded. */
#include "tests/lib/harness.h"

#include "core/base/cleanup.h"
#include "vmmd/worker/worker.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct worker w;
static int say; /* QEMU's end */

static void begin(int log)
{
    int pipes[2];

    memset(&w, 0, sizeof w);
    assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
    say = pipes[1];
    words_open(&w, pipes[0], log);
}

static void tell(const char *data, size_t len)
{
    assert_int_equal(write(say, data, len), (ssize_t)len);
    for (size_t n = 0; n <= len; n += 4096)
        words_ready(&w);
}

static void tell_text(const char *text)
{
    tell(text, strlen(text));
}

static void expect_text(const char *expected)
{
    char text[WORDS_TAIL + 1];

    words_text(&w, text);
    assert_string_equal(text, expected);
}

static void the_last_words_are_trimmed_and_printable(void **state)
{
    begin(-1);
    expect_text("");
    tell_text("\n\n  qemu: bad\r\n");
    tell_text("\033[31mred\033[0m caf\xc3\xa9\t.\n\n");
    expect_text("qemu: bad\n?[31mred?[0m caf???.");
    close(say);
    words_ready(&w);
    assert_int_equal(w.words.pipe, -1);
    words_close(&w);
}

static void only_the_tail_is_kept(void **state)
{
    char line[101], text[WORDS_TAIL + 1];

    begin(-1);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(line, sizeof line, "%099u\n", i);
        tell(line, 100);
    }
    words_text(&w, text);
    assert_in_range(strlen(text), WORDS_TAIL - 101, WORDS_TAIL);
    assert_string_equal(text + strlen(text) - 3, "099");
    close(say);
    words_close(&w);
}

static void what_is_left_in_the_pipe_is_read_at_the_end(void **state)
{
    begin(-1);
    assert_int_equal(write(say, "last", 4), 4);
    close(say);
    words_close(&w);
    expect_text("last");
}

static void the_log_is_bounded_and_begun_anew(void **state)
{
    int log = memfd_create("log", MFD_CLOEXEC), keep = dup(log);
    char block[4096];
    struct stat st;

    memset(block, 'x', sizeof block);
    assert_int_equal(write(log, "old\n", 4), 4);
    begin(log);
    for (unsigned i = 0; i < 400; i++)
        tell(block, sizeof block);
    assert_int_equal(fstat(keep, &st), 0);
    assert_in_range(st.st_size, WORDS_MAX_LOG, WORDS_MAX_LOG + 2 * sizeof block);
    assert_int_equal(pread(keep, block, 5, 0), 5);
    assert_memory_equal(block, "old\nx", 5); /* appended to what was there */
    close(say);
    words_close(&w);

    begin(dup(keep)); /* the next start */
    tell_text("new\n");
    assert_int_equal(fstat(keep, &st), 0);
    assert_int_equal(st.st_size, 4);
    close(say);
    words_close(&w);
    close(keep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_words_are_trimmed_and_printable),
        cmocka_unit_test(only_the_tail_is_kept),
        cmocka_unit_test(what_is_left_in_the_pipe_is_read_at_the_end),
        cmocka_unit_test(the_log_is_bounded_and_begun_anew),
    };

    return cmocka_run_group_tests_name("worker/words", tests, NULL, NULL);
}
