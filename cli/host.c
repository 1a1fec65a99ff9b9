/* vmmctl host show: the machine. What is wrong with it says doctor.c. */
#include "cli/host.h"

#include "cli/output.h"
#include "cli/wait.h"
#include "core/base/mem.h"

static bool host_show_run(struct cli *cli, struct fault *fault) MUST_USE;
static bool host_shutdown_guests_run(struct cli *cli, struct fault *fault) MUST_USE;

static const struct column host_columns[] = {
    {"HOSTNAME", "hostname", CELL_TEXT, false},
    {"VERSION", "version", CELL_TEXT, false},
    {"KERNEL", "kernel", CELL_TEXT, false},
    {"THREADS", "cpu.threads", CELL_TEXT, false},
    {"MEMORY", "memory.total_bytes", CELL_BYTES, false},
    {"AVAILABLE", "memory.available_bytes", CELL_BYTES, false},
    {"ACCEL", "accel.chosen", CELL_TEXT, false},
    {"CORES", "cpu.cores", CELL_TEXT, true},
    {"BUSY%", "pressure.cpu.some_60s_percent", CELL_TEXT, true},
    {0},
};
const struct command host_commands[] = {
    {"show", "", 0, 0, USES_OUTPUT, NULL, "show the host: processors, memory, accelerator, roots",
     NULL, "  vmmctl host\n  vmmctl host --fields accel.chosen,accel.reason", host_show_run, false},
    {"devices", "[KIND]", 0, 1, USES_OUTPUT, NULL,
     "list the host's devices; KIND is pci, usb, nic, drive or numa",
     "Without KIND all are listed, with what they have in common. Everything at once, the "
     "processor "
     "with its flags and vulnerabilities too: vmmctl api GET /host/inventory.",
     "  vmmctl host devices pci -o wide\n  vmmctl host devices nic -o json", host_devices_run,
     false},
    {"shutdown-guests", "", 0, 0, USES_WAIT, NULL,
     "bring all guests down, before the host goes down",
     "Each VM by its host_shutdown action, all at the same time: saved, asked by the power button "
     "and forced off when its time is over, or off at once. What cannot be saved in its time is "
     "asked by the power button.",
     "  vmmctl host shutdown-guests --timeout 5m", host_shutdown_guests_run, false},
    {0},
};

static bool host_shutdown_guests_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/host/actions/shutdown-guests");

    return wait_post(cli, path, NULL, NULL, fault);
}

static bool host_show_run(struct cli *cli, struct fault *fault)
{
    CLEANUP(mem_freep) char *path = http_path("/host");

    return output_shown(cli, path, host_columns, fault);
}
