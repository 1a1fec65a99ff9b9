/* Help and man page: every command explains itself, and the page in docs/ is the one made now. */
#include "tests/lib/harness.h"

#include "cli/help.h"
#include "cli/man.h"
#include "core/base/mem.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/fs.h"

static char *source_file(const char *name)
{
    const char *root = getenv("VMMD_SRC") ? getenv("VMMD_SRC") : ".";
    CLEANUP(mem_freep) char *path = str_format("%s/%s", root, name);
    CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = NULL;
    size_t len;
    struct err err;

    if (fd < 0 || !fs_read_all(fd, 1 << 20, &text, &len, &err))
        fail_msg("cannot read %s", path);
    return text;
}

static void every_command_explains_itself(void **state)
{
    for (const struct noun *n = nouns; n->name; n++) {
        for (const struct command *c = n->commands; c->run; c++) {
            struct args args = {.noun = n, .command = c, .help = true};
            struct strbuf b = {0};

            help_write(&args, 80, &b);
            assert_true(str_starts(b.data, "Usage: vmmctl "));
            assert_non_null(strstr(b.data, "--help"));
            assert_true(c->summary[0] >= 'a' && c->summary[0] <= 'z');
            assert_int_not_equal(c->summary[strlen(c->summary) - 1], '.');
            assert_true(!c->min_args == !*c->args || *c->args == '[' || c->max_args);
            strbuf_clear(&b);
        }
    }
}

static void no_command_has_two_flags_of_one_name(void **state)
{
    for (const struct noun *n = nouns; n->name; n++) {
        for (const struct command *c = n->commands; c->run; c++) {
            struct flag_tables t = command_flags(c);
            const struct flag *all[64];
            size_t count = 0;

            for (unsigned i = 0; i < t.n; i++)
                for (const struct flag *f = t.table[i]; f->name; f++)
                    all[count++] = f;
            for (size_t a = 0; a < count; a++)
                for (size_t b = a + 1; b < count; b++) {
                    assert_string_not_equal(all[a]->name, all[b]->name);
                    assert_true(!all[a]->letter || all[a]->letter != all[b]->letter);
                }
        }
    }
}

static void help_fits_the_terminal(void **state)
{
    struct args args = {.noun = noun_find("vm"), .help = true};
    struct strbuf b = {0};
    char *rest, *line;

    args.command = command_find(args.noun, "create");
    help_write(&args, 80, &b);
    rest = strstr(b.data, "Flags:");
    while ((line = strsep(&rest, "\n")))
        assert_true(strlen(line) <= 80);
    strbuf_clear(&b);
}

static void compare_page(void *arg, const char *name)
{
    CLEANUP(mem_freep) char *path = str_format("docs/man/%s.1", name);
    CLEANUP(mem_freep) char *stored = source_file(path);
    struct strbuf made = {0};

    assert_true(man_write(name, &made));
    if (strcmp(made.data, stored) != 0)
        fail_msg("%s is not up to date: vmmctl man --to docs/man", path);
    strbuf_clear(&made);
    ++*(size_t *)arg;
}

static void the_man_pages_in_docs_are_up_to_date(void **state)
{
    struct strbuf none = {0};
    size_t pages = 0;

    man_each(compare_page, &pages);
    assert_true(pages > 15);
    assert_false(man_write("vmmctl-__complete", &none));
    assert_false(man_write("ls", &none));
}

static void every_command_stands_in_the_documentation(void **state)
{
    CLEANUP(mem_freep) char *page = source_file("docs/cli.md");
    char name[64];

    for (const struct noun *n = nouns; n->name; n++)
        for (const struct command *c = n->commands; c->run; c++) {
            CLEANUP(mem_freep) char *wanted = str_format("`%s", command_name(n, c, name));
            if (!c->hidden && !strstr(page, wanted))
                fail_msg("docs/cli.md does not mention %s`", wanted);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_explains_itself),
        cmocka_unit_test(no_command_has_two_flags_of_one_name),
        cmocka_unit_test(help_fits_the_terminal),
        cmocka_unit_test(the_man_pages_in_docs_are_up_to_date),
        cmocka_unit_test(every_command_stands_in_the_documentation),
    };

    return cmocka_run_group_tests_name("cli/help", tests, NULL, NULL);
}
