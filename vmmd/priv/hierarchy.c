/* Mounted hierarchies of cgroups: see hierarchy.h. The form of the text is that of proc(5): the
 * mount point is the fifth field, and behind " - " come the type, a source and the options, which
 * in version 1 are the controllers. */
#include "vmmd/priv/hierarchy.h"

#include "core/base/str.h"

#include <string.h>

bool hierarchy_lists(const char *list, const char *word)
{
    size_t len = strlen(word);

    while (*list && *list != '\n') {
        size_t n = strcspn(list, " ,\n");
        if (n == len && strncmp(list, word, len) == 0)
            return true;
        list += n;
        list += *list == ' ' || *list == ',';
    }
    return false;
}

/* The field behind 'n' others; NULL when the line has fewer. */
static const char *field(const char *line, const char *end, int n)
{
    for (; line && n; n--)
        line = (line = memchr(line, ' ', (size_t)(end - line))) ? line + 1 : NULL;
    return line;
}

static bool is_wanted(const char *dash, const char *end, const char *controller)
{
    const char *type = controller ? " - cgroup " : " - cgroup2 ";
    const char *options;

    if (strncmp(dash, type, strlen(type)) != 0)
        return false;
    options = field(dash + strlen(type), end, 1);
    return !controller || (options && hierarchy_lists(options, controller));
}

static bool take(const char *line, const char *end, char *out, size_t size)
{
    const char *point = field(line, end, 4);
    size_t n = point ? strcspn(point, " \n") : 0;

    if (!n || *point != '/' || n >= size ||
        memchr(point, '\\', n)) /* a blank or the like in the name */
        return false;
    memcpy(out, point, n);
    out[n] = 0;
    return true;
}

bool hierarchy_find(const char *mountinfo, const char *controller, char *out, size_t size)
{
    *out = 0;
    for (const char *line = mountinfo; *line;) {
        const char *end = line + strcspn(line, "\n");
        const char *dash = strstr(line, " - ");
        if (dash && dash < end && is_wanted(dash, end, controller) && take(line, end, out, size))
            return true;
        line = *end ? end + 1 : end;
    }
    *out = 0;
    return false;
}
