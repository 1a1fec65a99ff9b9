/* What /proc/cpuinfo and sysfs say about the processor: see cpu.h. */
#include "core/inspect/cpu.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/inspect/sysfs.h"

#include <stdlib.h>
#include <string.h>

#define CPUINFO_MAX (8u << 20) /* some 4,000 threads */
#define MAX_CPUS    4096u

/* What guests and their owners ask for; the rest of the hundred and more says little. */
static const char *const telling_flags[] = {
    "lm",
    "nx",
    "pae",
    "pdpe1gb",
    "cx16",
    "pcid",
    "invpcid",
    "x2apic",
    "la57",
    "constant_tsc",
    "nonstop_tsc",
    "tsc_deadline_timer",
    "sse4_2",
    "aes",
    "avx",
    "avx2",
    "avx512f",
    "sha_ni",
    "rdrand",
    "rdseed",
    "fsrm",
    "smep",
    "smap",
    "umip",
    "ibrs",
    "vmx",
    "svm",
    "ept",
    "npt",
    "vpid",
    "vnmi",
    "avic",
    "x2avic",
    "vgif",
    "flexpriority",
    "posted_intr",
    "sgx",
    "sev",
    "sev_es",
    "sev_snp",
    "tdx_host_platform",
    "md_clear",
    "flush_l1d",
    "arch_capabilities",
    "hypervisor",
};

/* Which cores and sockets were met: a core is a pair of both numbers. */
struct met {
    uint64_t core[MAX_CPUS];
    unsigned n_cores;
    unsigned socket[256];
    unsigned n_sockets;
    unsigned socket_now;
};

static void meet_socket(struct met *met, unsigned id)
{
    met->socket_now = id;
    for (unsigned i = 0; i < met->n_sockets; i++)
        if (met->socket[i] == id)
            return;
    if (met->n_sockets < ARRAY_LEN(met->socket))
        met->socket[met->n_sockets++] = id;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Siblings have the same pair. */
static unsigned count_cores(struct met *met)
{
    unsigned n = 0;

    qsort(met->core, met->n_cores, sizeof met->core[0], by_number);
    for (unsigned i = 0; i < met->n_cores; i++)
        n += i == 0 || met->core[i] != met->core[i - 1];
    return n;
}

static void take_text(char *out, size_t size, const char *value)
{
    str_copy(out, size, value);
    str_scrub(out);
}

static void take_flags(struct cpu_facts *out, const char *value)
{
    take_text(out->flags, sizeof out->flags, value);
    out->vmx = sys_has_word(out->flags, "vmx");
    out->svm = sys_has_word(out->flags, "svm");
    out->slat = sys_has_word(out->flags, "ept") || sys_has_word(out->flags, "npt");
    out->hypervisor = sys_has_word(out->flags, "hypervisor");
    out->long_mode = sys_has_word(out->flags, "lm");
}

static unsigned number(const char *value)
{
    return (unsigned)strtoul(value, NULL, 10);
}

/* One "key : value"; the first processor speaks for all but where they are counted. */
static void take_line(struct cpu_facts *out, struct met *met, const char *key, const char *value)
{
    if (str_eq(key, "processor"))
        out->threads++;
    else if (str_eq(key, "physical id"))
        meet_socket(met, number(value));
    else if (str_eq(key, "core id") && met->n_cores < MAX_CPUS)
        met->core[met->n_cores++] = (uint64_t)met->socket_now << 32 | number(value);
    if (out->threads > 1)
        return;
    if (str_eq(key, "vendor_id"))
        take_text(out->vendor, sizeof out->vendor, value);
    else if (str_eq(key, "model name"))
        take_text(out->model, sizeof out->model, value);
    else if (str_eq(key, "microcode"))
        take_text(out->microcode, sizeof out->microcode, value);
    else if (str_eq(key, "cpu family"))
        out->family = number(value);
    else if (str_eq(key, "model"))
        out->model_number = number(value);
    else if (str_eq(key, "stepping"))
        out->stepping = number(value);
    else if (str_eq(key, "flags"))
        take_flags(out, value);
}

static void parse(char *text, struct cpu_facts *out, struct met *met)
{
    char *line;

    while ((line = strsep(&text, "\n"))) {
        char *colon = strchr(line, ':');
        size_t len;
        if (!colon)
            continue;
        for (len = (size_t)(colon - line); len && (line[len - 1] == '\t' || line[len - 1] == ' ');)
            len--;
        line[len] = 0;
        take_line(out, met, line, colon + 1 + (colon[1] == ' '));
    }
}

void cpu_read(int root, struct cpu_facts *out)
{
    CLEANUP(mem_freep) char *text = sys_whole(root, CPUINFO_MAX, "proc/cpuinfo");
    CLEANUP(mem_freep) struct met *met = mem_alloc(sizeof *met);

    *out = (struct cpu_facts){0};
    if (text)
        parse(text, out, met);
    if (!out->model[0])
        str_copy(out->model, sizeof out->model, "unknown");
    out->threads += !out->threads;
    out->sockets = met->n_sockets ? met->n_sockets : 1;
    out->cores = count_cores(met);
    if (!out->cores)
        out->cores = out->threads;
}

json_t *cpu_vulnerabilities(int root)
{
    static const char dir[] = "sys/devices/system/cpu/vulnerabilities";
    CLEANUP(sys_names_clear) struct sys_names names = sys_list(root, "%s", dir);
    json_t *v = json_object();
    char text[256];

    for (size_t i = 0; i < names.n; i++)
        if (str_is_utf8(names.name[i], strlen(names.name[i])) &&
            sys_text(root, text, sizeof text, "%s/%s", dir, names.name[i]))
            json_put_text(v, names.name[i], text);
    return v;
}

json_t *cpu_inventory(int root)
{
    CLEANUP(mem_freep) struct cpu_facts *cpu = mem_alloc(sizeof *cpu);
    json_t *v = json_object(), *flags = json_array();

    cpu_read(root, cpu);
    for (size_t i = 0; i < ARRAY_LEN(telling_flags); i++)
        if (sys_has_word(cpu->flags, telling_flags[i]))
            json_array_append_new(flags, json_string(telling_flags[i]));
    json_put_text(v, "vendor", cpu->vendor[0] ? cpu->vendor : NULL);
    json_put_text(v, "model", cpu->model);
    json_put_u64(v, "family", cpu->family);
    json_put_u64(v, "model_number", cpu->model_number);
    json_put_u64(v, "stepping", cpu->stepping);
    json_put_text(v, "microcode", cpu->microcode[0] ? cpu->microcode : NULL);
    json_put_u64(v, "sockets", cpu->sockets);
    json_put_u64(v, "cores", cpu->cores);
    json_put_u64(v, "threads", cpu->threads);
    json_put(v, "flags", flags);
    json_put(v, "vulnerabilities", cpu_vulnerabilities(root));
    return v;
}
