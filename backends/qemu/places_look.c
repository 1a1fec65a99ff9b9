/* Where a running machine's devices are: see places.h. Asked of QEMU's object tree, which a guest
 * cannot change; a list of PCI devices is by the bus numbers that the guest has given. */
#include "backends/qemu/places.h"

#include "backends/qemu/machine.h"
#include "core/base/mem.h"
#include "core/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICES "/machine/peripheral"

/* A property of an object as QEMU has it; owned by the caller. HYPERVISOR: there is no such thing.
 */
static bool get(struct machine *m, const char *id, const char *property, json_t **out,
                struct err *err)
{
    CLEANUP(mem_freep) char *path = str_format(DEVICES "/%s", id);

    return link_qmp(m->link, "qom-get", json_pack("{s:s,s:s}", "path", path, "property", property),
                    NULL, 0, QMP_MS, out, err);
}

/* False only when QEMU did not answer; '*out' NULL: it has no such property. */
static bool find(struct machine *m, const char *id, const char *property, json_t **out,
                 struct err *err)
{
    struct err missing = {0};

    *out = NULL;
    if (get(m, id, property, out, &missing) || missing.code == ERR_HYPERVISOR)
        return true;
    *err = missing;
    return false;
}

/* "/machine/peripheral/rp3/rp3" -> "rp3" */
static const char *last_part(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;

    return slash ? slash + 1 : NULL;
}

static bool is_root_port(const char *id, unsigned *number)
{
    char *end;
    unsigned long n;

    if (!str_starts(id, "rp") || id[2] < '0' || id[2] > '9')
        return false;
    n = strtoul(id + 2, &end, 10);
    *number = (unsigned)n;
    return !*end && n < 1000;
}

/* As many as there were processors when the device was made. */
static bool look_at_queues(struct machine *m, const char *id, json_t *place, struct err *err)
{
    for (unsigned i = 0; i < PLACES_QUEUES; i++) {
        CLEANUP(json_decrefp) json_t *n = NULL;
        if (!find(m, id, places_queues[i], &n, err))
            return false;
        if (json_is_integer(n) && json_integer_value(n) > 0)
            json_put(place, places_queues[i], json_incref(n));
    }
    return true;
}

/* One that is no PCI device is none of ours. */
static bool look_at(struct machine *m, const char *id, json_t *devices, struct err *err)
{
    CLEANUP(json_decrefp) json_t *addr = NULL;
    CLEANUP(json_decrefp) json_t *bus = NULL;
    json_t *place;

    if (!find(m, id, "addr", &addr, err))
        return false;
    if (!json_is_integer(addr) || json_integer_value(addr) < 0)
        return true;
    if (!get(m, id, "parent_bus", &bus, err))
        return false;
    if (!last_part(json_string_value(bus)))
        return err_set(err, ERR_HYPERVISOR, "QEMU does not say which bus %s is on", id);
    place = json_pack("{s:s,s:I}", "bus", last_part(json_string_value(bus)), "addr",
                      json_integer_value(addr));
    json_put(devices, id, place);
    return look_at_queues(m, id, place, err);
}

static bool look_at_all(struct machine *m, json_t *made, json_t *devices, struct err *err)
{
    CLEANUP(json_decrefp) json_t *all = NULL;
    unsigned ports = 0, port;
    const json_t *one;
    size_t i;

    if (!link_qmp(m->link, "qom-list", json_pack("{s:s}", "path", DEVICES), NULL, 0, QMP_MS, &all,
                  err))
        return false;
    json_array_foreach (all, i, one) {
        const char *id = json_get_text(one, "name"), *type = json_get_text(one, "type");
        if (!id || !type || !str_starts(type, "child<"))
            continue;
        if (is_root_port(id, &port))
            ports = port >= ports ? port + 1 : ports;
        else if (!look_at(m, id, devices, err))
            return false;
    }
    json_put_u64(made, "root_ports", ports);
    return true;
}

static bool look_at_usb(struct machine *m, json_t *made, json_t *devices, struct err *err)
{
    CLEANUP(json_decrefp) json_t *ports = NULL;
    CLEANUP(json_decrefp) json_t *list = NULL;
    const char *text;

    if (!json_object_get(devices, "usb0"))
        return true;
    if (!get(m, "usb0", "p3", &ports, err) ||
        !link_qmp(m->link, "x-query-usb", NULL, NULL, 0, QMP_MS, &list, err))
        return false;
    text = json_get_text(list, "human-readable-text");
    places_read_usb(text ? text : "", devices);
    json_put(made, "usb_ports", json_incref(ports));
    return true;
}

static bool count_vcpus(struct machine *m, json_t *made, struct err *err)
{
    CLEANUP(json_decrefp) json_t *list = NULL;

    if (!link_qmp(m->link, "query-cpus-fast", NULL, NULL, 0, QMP_MS, &list, err))
        return false;
    json_put_u64(made, "vcpus", json_array_size(list));
    return true;
}

bool places_look(struct machine *m, json_t *made, struct err *err)
{
    json_t *devices = json_object();

    json_put(made, "devices", devices);
    json_put_u64(made, "usb_ports", 0);
    return look_at_all(m, made, devices, err) && look_at_usb(m, made, devices, err) &&
           count_vcpus(m, made, err);
}
