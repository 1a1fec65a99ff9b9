/* The log: every line is one JSON object, whatever a stranger put into the message. */
#include "tests/lib/harness.h"

#include "core/base/json.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What 'say' writes to stderr in a child process of its own. */
static char *lines_of(void (*say)(void), const char *level)
{
    char *text = mem_alloc(65536);
    size_t len = 0;
    int ends[2], status;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        setenv("VMMD_LOG", level, 1);
        log_init("test");
        say();
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], text + len, 65535 - len)) > 0;)
        len += (size_t)n;
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return text;
}

/* The only line in 'text'. */
static json_t *only_line(const char *text)
{
    char *end = strchr(text, '\n');
    struct err err = {0};
    json_t *line;

    assert_non_null(end);
    assert_int_equal(end[1], 0);
    line = json_read(text, (size_t)(end - text), &err);
    if (!line)
        fail_msg("%s in %s", err.detail, text);
    return line;
}

static void say_hostile(void)
{
    log_info("name \"%s\"", "x\"}\n{\"level\":\"error\",\\ \x1b[2J \xff \xe2\x82");
}

static void a_hostile_message_cannot_forge_a_line(void **state)
{
    CLEANUP(mem_freep) char *text = lines_of(say_hostile, "info");
    CLEANUP(json_decrefp) json_t *line = only_line(text);

    assert_string_equal(json_get_text(line, "level"), "info");
    assert_string_equal(json_get_text(line, "prog"), "test");
    assert_non_null(strstr(json_get_text(line, "msg"), "\x1b[2J ? ??"));
}

static void say_long(void)
{
    char big[4000];

    for (unsigned cut = 0; cut < 4; cut++) {
        memset(big, '\x01', cut);
        for (unsigned i = cut; i + 3 < sizeof big; i += 3)
            memcpy(big + i, i % 2 ? "\xe2\x82\xac" : "\"\\\x02", 3);
        big[sizeof big - 4] = 0;
        log_warn("%s", big);
    }
}

static void a_long_message_is_cut_between_characters(void **state)
{
    CLEANUP(mem_freep) char *text = lines_of(say_long, "debug");
    unsigned lines = 0;

    for (char *at = text, *end; (end = strchr(at, '\n')); at = end + 1, lines++) {
        json_t *line;
        *end = 0;
        line = json_loads(at, 0, NULL);
        if (!line)
            fail_msg("not JSON: %s", at);
        json_decref(line);
    }
    assert_int_equal(lines, 4);
}

static void say_with_context(void)
{
    log_set_request("r-1");
    log_set_job("j-2");
    log_set_vm("v-3");
    log_info("one");
}

static void a_line_carries_request_job_and_vm(void **state)
{
    CLEANUP(mem_freep) char *text = lines_of(say_with_context, "info");
    CLEANUP(json_decrefp) json_t *line = only_line(text);

    assert_string_equal(json_get_text(line, "req"), "r-1");
    assert_string_equal(json_get_text(line, "job"), "j-2");
    assert_string_equal(json_get_text(line, "vm"), "v-3");
    assert_int_equal(strlen(json_get_text(line, "ts")), 24);
}

static void say_cleared(void)
{
    log_set_request("r-1");
    log_set_request(NULL);
    log_debug("not asked for");
    log_error("%s", "");
}

static void a_cleared_context_and_a_low_level_stay_silent(void **state)
{
    CLEANUP(mem_freep) char *text = lines_of(say_cleared, "warn");
    CLEANUP(json_decrefp) json_t *line = only_line(text);

    assert_null(json_get_text(line, "req"));
    assert_string_equal(json_get_text(line, "level"), "error");
}

/* What systemd tells a service whose stderr is the journal. */
static void name_stderr_the_journal(void)
{
    char name[64];
    struct stat st;

    if (fstat(STDERR_FILENO, &st) < 0)
        _exit(1);
    snprintf(name, sizeof name, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    setenv("JOURNAL_STREAM", name, 1);
    log_init("test");
}

static void say_all_levels(void)
{
    name_stderr_the_journal();
    log_debug("d");
    log_info("i");
    log_warn("w");
    log_error("e");
}

static void the_journal_is_told_the_priority_of_each_line(void **state)
{
    static const char *const expected[] = {
        "<7>{\"ts\":", "<6>{\"ts\":", "<4>{\"ts\":", "<3>{\"ts\":"};
    CLEANUP(mem_freep) char *text = lines_of(say_all_levels, "debug");
    char *at = text;

    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        char *end = strchr(at, '\n');
        assert_non_null(end);
        assert_memory_equal(at, expected[i], strlen(expected[i]));
        at = end + 1;
    }
    assert_int_equal(*at, 0);
}

/* A service whose stderr was led into a file keeps the variable. */
static void a_log_beside_the_journal_has_plain_lines(void **state)
{
    CLEANUP(json_decrefp) json_t *line = NULL;
    CLEANUP(mem_freep) char *text = NULL;

    setenv("JOURNAL_STREAM", "1:1", 1);
    text = lines_of(say_with_context, "info");
    unsetenv("JOURNAL_STREAM");
    line = only_line(text);
    assert_string_equal(json_get_text(line, "msg"), "one");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hostile_message_cannot_forge_a_line),
        cmocka_unit_test(a_long_message_is_cut_between_characters),
        cmocka_unit_test(a_line_carries_request_job_and_vm),
        cmocka_unit_test(a_cleared_context_and_a_low_level_stay_silent),
        cmocka_unit_test(the_journal_is_told_the_priority_of_each_line),
        cmocka_unit_test(a_log_beside_the_journal_has_plain_lines),
    };

    return cmocka_run_group_tests_name("base/log", tests, NULL, NULL);
}
