/* What /proc/cpuinfo says: see cpu.h. */
#include "core/host/cpu.h"

#include "core/base/str.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* True when the space-separated list 'flags' holds the word. */
static bool has_flag(const char *flags, const char *word)
{
    size_t len = strlen(word);

    for (const char *p = strstr(flags, word); p; p = strstr(p + len, word))
        if ((p == flags || p[-1] == ' ') && strchr(" \n", p[len]))
            return true;
    return false;
}

void cpu_read(struct cpu_facts *out)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[8192];

    *out = (struct cpu_facts){.threads = (unsigned)sysconf(_SC_NPROCESSORS_ONLN)};
    str_copy(out->model, sizeof out->model, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        char *value = strstr(line, ": ");
        if (!value)
            continue;
        value += 2;
        if (str_starts(line, "model name")) {
            str_copy(out->model, sizeof out->model, value);
            out->model[strcspn(out->model, "\n")] = 0;
        } else if (str_starts(line, "flags")) {
            out->vmx = has_flag(value, "vmx");
            out->svm = has_flag(value, "svm");
            out->slat = has_flag(value, "ept") || has_flag(value, "npt");
            out->hypervisor = has_flag(value, "hypervisor");
            out->long_mode = has_flag(value, "lm");
            break;
        }
    }
    if (f)
        fclose(f);
}
