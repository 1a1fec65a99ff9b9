/* The USB devices of the host: see usb.h.
 *
 * A device's name in sysfs is where it is plugged in: "1-4.2" is port 2 of the hub at port 4 of bus
 * 1. "usb1" is the root hub of the bus, "1-4.2:1.0" an interface of the device. */
#include "core/inspect/usb.h"

#include "core/base/str.h"
#include "core/inspect/ids.h"
#include "core/inspect/sysfs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES "sys/bus/usb/devices"

static const struct {
    unsigned id;
    const char *name;
} classes[] = {
    {0x01, "audio"},         {0x02, "communication"}, {0x03, "input"},      {0x05, "physical"},
    {0x06, "image"},         {0x07, "printer"},       {0x08, "storage"},    {0x09, "hub"},
    {0x0a, "communication"}, {0x0b, "smart-card"},    {0x0d, "security"},   {0x0e, "video"},
    {0x0f, "health"},        {0x10, "audio-video"},   {0xdc, "diagnostic"}, {0xe0, "wireless"},
    {0xef, "miscellaneous"}, {0xfe, "application"},   {0xff, "vendor"},
};

static const char *class_name(unsigned id)
{
    for (size_t i = 0; i < ARRAY_LEN(classes); i++)
        if (classes[i].id == id)
            return classes[i].name;
    return "other";
}

/* These files have four or two hexadecimal digits without 0x. */
static bool read_hex(int root, unsigned *out, const char *device, const char *file)
{
    char text[16], *end;

    if (!sys_text(root, text, sizeof text, DEVICES "/%s/%s", device, file) || !text[0])
        return false;
    *out = (unsigned)strtoul(text, &end, 16);
    return !*end && *out <= 0xffff;
}

/* The class of the device, or of its first interface when it leaves that to them. */
static const char *class_of(int root, const char *device)
{
    unsigned id = 0;

    if (read_hex(root, &id, device, "bDeviceClass") && id != 0)
        return class_name(id);
    CLEANUP(sys_names_clear) struct sys_names names = sys_list(root, DEVICES "/%s", device);
    for (size_t i = 0; i < names.n; i++) {
        char inner[300];
        snprintf(inner, sizeof inner, "%s/%s", device, names.name[i]);
        if (strchr(names.name[i], ':') && read_hex(root, &id, inner, "bInterfaceClass"))
            return class_name(id);
    }
    return "other";
}

/* What the device calls itself, else what the table calls it. */
static void put_name(json_t *v, const char *key, int root, const char *device, const char *file,
                     const char *from_table)
{
    char own[96];

    if (!sys_text(root, own, sizeof own, DEVICES "/%s/%s", device, file) || !own[0])
        str_copy(own, sizeof own, from_table);
    json_put_text(v, key, own[0] ? own : NULL);
}

static void put_hex(json_t *v, const char *key, unsigned number)
{
    char text[8];

    snprintf(text, sizeof text, "%04x", number);
    json_put_text(v, key, text);
}

static json_t *device_of(int root, const struct ids *ids, const char *name)
{
    char vendor_name[96], device_name[96], speed[16];
    unsigned vendor, product;
    uint64_t bus, number = 0;
    json_t *v;

    if (!read_hex(root, &vendor, name, "idVendor") ||
        !read_hex(root, &product, name, "idProduct") ||
        !sys_u64(root, &bus, DEVICES "/%s/busnum", name))
        return NULL;
    sys_u64(root, &number, DEVICES "/%s/devnum", name);
    sys_text(root, speed, sizeof speed, DEVICES "/%s/speed", name);
    ids_device(ids, vendor, product, vendor_name, device_name);
    v = json_object();
    json_put_text(v, "address", name);
    json_put_u64(v, "bus", bus);
    json_put_text(v, "port", strchr(name, '-') + 1);
    json_put_u64(v, "number", number);
    put_hex(v, "vendor", vendor);
    put_hex(v, "product", product);
    put_name(v, "vendor_name", root, name, "manufacturer", vendor_name);
    put_name(v, "product_name", root, name, "product", device_name);
    json_put_text(v, "class", class_of(root, name));
    json_put(v, "speed_mbit", speed[0] ? json_real(strtod(speed, NULL)) : NULL);
    return v;
}

json_t *usb_inventory(int root)
{
    CLEANUP(sys_names_clear) struct sys_names names = sys_list(root, DEVICES);
    CLEANUP(ids_close) struct ids ids = {0};
    json_t *list = json_array();

    if (names.n)
        ids_open(root, "usb.ids", &ids);
    for (size_t i = 0; i < names.n; i++) {
        const char *name = names.name[i];
        json_t *v = strchr(name, '-') && !strchr(name, ':') ? device_of(root, &ids, name) : NULL;
        if (v)
            json_array_append_new(list, v);
    }
    return list;
}
