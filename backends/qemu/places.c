/* Where devices were when a machine's memory was written: see places.h. What comes here was written
 * by us, kept in the database, and goes onto QEMU's command line: it is checked as if anybody had
 * written it. */
#include "backends/qemu/places.h"

#include "core/base/str.h"

#include <stdio.h>
#include <string.h>

#define PLACES_VERSION 1
#define MOST_PORTS     64
#define MOST_VCPUS     4096
#define MOST_USB_PORTS 15
#define MOST_WORD      64

const char *const places_queues[PLACES_QUEUES] = {"num-queues", "num_queues"};

static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.-_";

/* A word that QEMU's option parser takes for one. */
static bool is_word(const char *text)
{
    size_t len = text ? strlen(text) : 0;

    return len > 0 && len < MOST_WORD && strspn(text, letters) == len;
}

static bool is_place(const json_t *place)
{
    if (json_object_get(place, "port"))
        return is_word(json_get_text(place, "port"));
    return is_word(json_get_text(place, "bus")) && json_get_u64(place, "addr", 256) < 256;
}

static bool are_places(const json_t *devices)
{
    json_t *place;
    const char *id;

    json_object_foreach ((json_t *)devices, id, place)
        if (!is_place(place))
            return false;
    return json_is_object(devices);
}

static bool is_made(const json_t *made)
{
    return json_get_u64(made, "version", 0) == PLACES_VERSION && is_word(places_machine(made)) &&
           str_starts(places_machine(made), "pc-") && json_get_text(made, "qemu") &&
           json_get_text(made, "cpu") && json_get_text(made, "accel") && places_vcpus(made) > 0 &&
           places_vcpus(made) <= MOST_VCPUS && places_ports(made) <= MOST_PORTS &&
           places_usb_ports(made) <= MOST_USB_PORTS && are_places(json_object_get(made, "devices"));
}

json_t *places_read(const char *made, struct err *err)
{
    struct err malformed = {0};
    json_t *json = json_read(made, strlen(made), &malformed);

    if (is_made(json))
        return json;
    json_decref(json);
    err_set(err, ERR_UNSUPPORTED,
            "what the memory was made with is not noted in a form that this version knows");
    return NULL;
}

const char *places_machine(const json_t *made)
{
    return json_get_text(made, "machine");
}

static unsigned number(const json_t *made, const char *key)
{
    uint64_t n = json_get_u64(made, key, 0);

    return n < 1 << 20 ? (unsigned)n : 1 << 20;
}

unsigned places_vcpus(const json_t *made)
{
    return number(made, "vcpus");
}

unsigned places_ports(const json_t *made)
{
    return number(made, "root_ports");
}

unsigned places_usb_ports(const json_t *made)
{
    return number(made, "usb_ports");
}

size_t places_count(const json_t *made)
{
    return json_object_size(json_object_get(made, "devices"));
}

bool places_put(const json_t *made, json_t *device)
{
    const json_t *place =
        json_object_get(json_object_get(made, "devices"), json_get_text(device, "id"));
    uint64_t addr = json_get_u64(place, "addr", 0);
    char text[16];

    if (!place)
        return false;
    if (json_object_get(place, "port")) {
        json_put_text(device, "port", json_get_text(place, "port"));
        return true;
    }
    snprintf(text, sizeof text, "0x%x.0x%x", (unsigned)(addr >> 3) & 31, (unsigned)addr & 7);
    json_put_text(device, "bus", json_get_text(place, "bus"));
    json_put_text(device, "addr", text);
    for (unsigned i = 0; i < PLACES_QUEUES; i++)
        if (json_object_get(place, places_queues[i]))
            json_put_u64(device, places_queues[i], json_get_u64(place, places_queues[i], 1));
    return true;
}

/* "  Device 0.1, Port 2, Speed 480 Mb/s, Product QEMU USB Tablet, ID: tablet0" */
static void read_usb_line(const char *line, json_t *devices)
{
    const char *port = strstr(line, ", Port "), *id = strstr(line, ", ID: ");
    char number_text[MOST_WORD];
    size_t len;

    if (!port || !id || port > id)
        return;
    port += strlen(", Port ");
    len = strcspn(port, ",");
    if (len >= sizeof number_text)
        return;
    str_copy(number_text, len + 1, port);
    json_put(devices, id + strlen(", ID: "), json_pack("{s:s}", "port", number_text));
}

void places_read_usb(const char *text, json_t *devices)
{
    char line[256];

    while (*text) {
        size_t len = strcspn(text, "\r\n");
        if (len < sizeof line) {
            str_copy(line, len + 1, text);
            read_usb_line(line, devices);
        }
        text += len;
        text += strspn(text, "\r\n");
    }
}
