/* The texts a client may choose: names, lines, MAC addresses. */
#include "tests/lib/harness.h"

#include "core/model/field.h"

#include <string.h>

static void judge(bool (*check)(const char *, const char **), const char *const *texts, bool good)
{
    for (; *texts; texts++) {
        const char *why = NULL;
        if (check(*texts, &why) != good)
            fail_msg("'%s' was %s", *texts, good ? "refused" : "accepted");
        if (!good)
            assert_true(strncmp(why, "must ", 5) == 0);
    }
}

static void names_are_safe_in_paths_options_and_terminals(void **state)
{
    static const char *const good[] = {"a", "web-1", "0", "A.b_c-9", "x..y", NULL};
    static const char *const bad[] = {"",
                                      "../x",
                                      ".",
                                      "..",
                                      "-rf",
                                      "_x",
                                      "a,process=y",
                                      "a b",
                                      "a/b",
                                      "a\\b",
                                      "a\n",
                                      "a;reboot",
                                      "$(id)",
                                      "n\xc3\xa4me",
                                      "a%s",
                                      "a\x7f",
                                      "\xe2\x80\xae"
                                      "x",
                                      "a'",
                                      "3f2504e0-4f89-41d3-9a0c-0305e82c3301",
                                      NULL};

    judge(check_name, good, true);
    judge(check_name, bad, false);
}

static void lines_hold_no_control_characters(void **state)
{
    static const char *const good[] = {"", "root=/dev/vda console=ttyS0", "\xc3\xa4\xe2\x82\xac",
                                       "a\xc2\xa0"
                                       "b",
                                       NULL};
    static const char *const bad[] = {"a\nb",
                                      "a\rb",
                                      "\x1b[2J",
                                      "a\x7f",
                                      "\xc2\x9b"
                                      "2J",
                                      "\xff",
                                      "\xc3",
                                      NULL};

    judge(check_line, good, true);
    judge(check_line, bad, false);
}

static void mac_addresses_are_unicast_and_lower_case(void **state)
{
    static const char *const good[] = {"52:54:00:12:34:56", "02:00:00:00:00:01", NULL};
    static const char *const bad[] = {"",
                                      "52:54:00:12:34:5",
                                      "52:54:00:12:34:567",
                                      "52-54-00-12-34-56",
                                      "52:54:00:12:34:5G",
                                      "52:54:00:AB:34:56",
                                      "53:54:00:12:34:56",
                                      "ff:ff:ff:ff:ff:ff",
                                      "00:00:00:00:00:00",
                                      "52:54:00:12:34,56",
                                      NULL};

    judge(check_mac, good, true);
    judge(check_mac, bad, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_safe_in_paths_options_and_terminals),
        cmocka_unit_test(lines_hold_no_control_characters),
        cmocka_unit_test(mac_addresses_are_unicast_and_lower_case),
    };

    return cmocka_run_group_tests_name("model/check", tests, NULL, NULL);
}
