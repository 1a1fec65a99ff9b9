/* vmmctl host devices: what the host is made of, a table for each kind of device. */
#include "cli/host.h"

#include "cli/output.h"
#include "core/base/json.h"
#include "core/base/mem.h"

static const struct column pci_columns[] = {
    {"ADDRESS", "address", CELL_TEXT, false},         {"CLASS", "class_name", CELL_TEXT, false},
    {"VENDOR", "vendor_name", CELL_TEXT, false},      {"DEVICE", "device_name", CELL_TEXT, false},
    {"DRIVER", "driver", CELL_TEXT, false},           {"IOMMU", "iommu_group", CELL_TEXT, false},
    {"NODE", "numa_node", CELL_TEXT, true},           {"VENDOR ID", "vendor", CELL_TEXT, true},
    {"DEVICE ID", "device", CELL_TEXT, true},         {"VFS", "sriov.total", CELL_TEXT, true},
    {"PARENT", "physical_function", CELL_TEXT, true}, {0},
};
static const struct column usb_columns[] = {
    {"ADDRESS", "address", CELL_TEXT, false},    {"CLASS", "class", CELL_TEXT, false},
    {"VENDOR", "vendor_name", CELL_TEXT, false}, {"PRODUCT", "product_name", CELL_TEXT, false},
    {"VENDOR ID", "vendor", CELL_TEXT, false},   {"PRODUCT ID", "product", CELL_TEXT, false},
    {"MBIT/S", "speed_mbit", CELL_TEXT, false},  {0},
};
static const struct column nic_columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"KIND", "kind", CELL_TEXT, false},
    {"STATE", "state", CELL_TEXT, false},
    {"CARRIER", "carrier", CELL_TEXT, false},
    {"MBIT/S", "speed_mbit", CELL_TEXT, false},
    {"MAC", "mac", CELL_TEXT, false},
    {"DRIVER", "driver", CELL_TEXT, false},
    {"MASTER", "master", CELL_TEXT, true},
    {"MTU", "mtu", CELL_TEXT, true},
    {"DEVICE", "pci_address", CELL_TEXT, true},
    {0},
};
static const struct column drive_columns[] = {
    {"NAME", "name", CELL_TEXT, false},
    {"KIND", "kind", CELL_TEXT, false},
    {"SIZE", "size_bytes", CELL_BYTES, false},
    {"MODEL", "model", CELL_TEXT, false},
    {"ROTATIONAL", "rotational", CELL_TEXT, false},
    {"DISCARD", "discard", CELL_TEXT, false},
    {"BLOCK", "physical_block_bytes", CELL_BYTES, true},
    {"CACHE", "write_cache", CELL_TEXT, true},
    {0},
};
static const struct column node_columns[] = {
    {"NODE", "id", CELL_TEXT, false},
    {"CPUS", "cpus", CELL_TEXT, false},
    {"MEMORY", "memory_bytes", CELL_BYTES, false},
    {"FREE", "free_bytes", CELL_BYTES, false},
    {"DISTANCES", "distances", CELL_TEXT, false},
    {0},
};
static const struct column all_columns[] = {
    {"TYPE", "type", CELL_TEXT, false},     {"ID", "id", CELL_TEXT, false},
    {"NAME", "name", CELL_TEXT, false},     {"VENDOR", "vendor", CELL_TEXT, false},
    {"DRIVER", "driver", CELL_TEXT, false}, {0},
};

/* 'id', 'name' and 'vendor' are the members that stand for these in the list of all; 'other' counts
 * when a device has no name. */
static const struct kind {
    const char *word, *member;
    const struct column *columns;
    const char *id, *name, *other, *vendor;
} kinds[] = {
    {"pci", "pci", pci_columns, "address", "device_name", "class_name", "vendor_name"},
    {"usb", "usb", usb_columns, "address", "product_name", "class", "vendor_name"},
    {"nic", "nics", nic_columns, "name", "kind", "kind", NULL},
    {"drive", "drives", drive_columns, "name", "model", "kind", "vendor"},
    {"numa", "numa", node_columns, NULL, NULL, NULL, NULL},
};

static json_t *summary_of(const struct kind *kind, const json_t *device)
{
    const char *name = json_get_text(device, kind->name);
    json_t *v = json_object();

    json_put_text(v, "type", kind->word);
    json_put_text(v, "id", json_get_text(device, kind->id));
    json_put_text(v, "name", name ? name : json_get_text(device, kind->other));
    json_put_text(v, "vendor", kind->vendor ? json_get_text(device, kind->vendor) : NULL);
    json_put_text(v, "driver", json_get_text(device, "driver"));
    return v;
}

static bool print_all(struct cli *cli, const json_t *inventory, struct fault *fault)
{
    CLEANUP(json_decrefp) json_t *list = json_array();
    const json_t *device;
    size_t n;

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        json_array_foreach (json_object_get(inventory, kinds[i].member), n, device)
            if (kinds[i].id)
                json_array_append_new(list, summary_of(&kinds[i], device));
    return output_list(cli, list, all_columns, fault);
}

bool host_devices_run(struct cli *cli, struct fault *fault)
{
    const char *word = cli->args->n_words ? cli_word(cli, 0) : NULL;
    CLEANUP(mem_freep) char *path = http_path("/host/inventory");
    CLEANUP(json_decrefp) json_t *inventory = NULL;
    const struct kind *kind = NULL;

    for (size_t i = 0; word && i < ARRAY_LEN(kinds); i++)
        if (str_eq(kinds[i].word, word))
            kind = &kinds[i];
    if (word && !kind)
        return fault_set(fault, CLI_USAGE,
                         "host devices: %s is no kind of device: pci, usb, nic, drive or numa",
                         word);
    inventory = http_get(cli->http, path, fault);
    if (!inventory)
        return false;
    if (!kind)
        return print_all(cli, inventory, fault);
    if (!json_is_array(json_object_get(inventory, kind->member)))
        return fault_set(fault, CLI_FAILED, "the reply is no inventory; is this vmmd?");
    return output_list(cli, json_object_get(inventory, kind->member), kind->columns, fault);
}
