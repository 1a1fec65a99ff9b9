/* The check of what the administrator wrote: the service has read it when it asks, so only vmmctl
 * tells of it. */
#include "core/inspect/check.h"

#include "core/base/str.h"

static enum severity look_configuration(struct sight *s)
{
    if (s->facts->config_wrong)
        return saw(s, SEVERITY_ERROR, "%s", s->facts->config_wrong);
    if (s->facts->config_path)
        return saw(s, SEVERITY_OK, "%s has nothing wrong", s->facts->config_path);
    return SEVERITY_NONE;
}

static const struct check checks[] = {
    {"configuration", "Configuration", look_configuration,
     "mend what it says; docs/configuration.md has every key"},
};
const struct check_topic checks_configuration = {"configuration", checks, ARRAY_LEN(checks)};
