/* The checks that field tables name for texts: see field.h. */
#include "core/model/field.h"

#include "core/base/str.h"

#include <string.h>

static bool alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool check_name(const char *text, const char **why)
{
    struct uuid ignored;

    *why = "must start with a letter or digit and hold only letters, digits, '.', '_' and '-'";
    if (!alnum(text[0]))
        return false;
    for (const char *p = text; *p; p++)
        if (!alnum(*p) && !strchr("._-", *p))
            return false;
    *why = "must not look like a UUID";
    return !uuid_parse(text, &ignored);
}

bool check_line(const char *text, const char **why)
{
    *why = "must be one line of UTF-8 without control characters";
    for (const char *p = text; *p; p++)
        if (str_is_control(p))
            return false;
    return str_is_utf8(text, strlen(text));
}

bool check_mac(const char *text, const char **why)
{
    *why = "must be a unicast MAC address such as 52:54:00:12:34:56, in lower case";
    if (strlen(text) != 17)
        return false;
    for (unsigned i = 0; i < 17; i++)
        if (i % 3 == 2 ? text[i] != ':' : !strchr("0123456789abcdef", text[i]))
            return false;
    return strchr("02468ace", text[1]) && strcmp(text, "00:00:00:00:00:00") != 0;
}
