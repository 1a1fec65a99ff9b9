/* pci.ids and usb.ids: see ids.h.
 *
 * The format: a vendor "8086  Intel Corporation" begins a line, its devices follow, each with one
 * tab; subsystems (or interfaces) have two. Classes are "C 03  Display controller" with subclasses
 * below. A look-up is two searches in the text: a host has some tens of devices. */
#include "core/inspect/ids.h"

#include "core/base/mem.h"
#include "core/base/str.h"
#include "core/inspect/sysfs.h"

#include <stdio.h>
#include <string.h>

#define IDS_MAX (8u << 20)

void ids_open(int root, const char *file, struct ids *out)
{
    static const char *const places[] = {"usr/share/misc", "usr/share/hwdata", "var/lib/pciutils",
                                         "var/lib/usbutils"};

    out->text = NULL;
    for (size_t i = 0; i < ARRAY_LEN(places) && !out->text; i++)
        out->text = sys_whole(root, IDS_MAX, "%s/%s", places[i], file);
}

void ids_close(struct ids *ids)
{
    mem_freep(&ids->text);
}

/* The text behind 'key' at a line's begin, searched from 'from' to 'end'; NULL if there is none. */
static const char *find_line(const char *from, const char *end, const char *key)
{
    const char *at = memmem(from, (size_t)(end - from), key, strlen(key));

    return at ? at + strlen(key) : NULL;
}

/* Where the block that begins at 'at' ends: at the next line without a tab. */
static const char *block_end(const char *at)
{
    for (const char *line = strchr(at, '\n'); line; line = strchr(line + 1, '\n'))
        if (line[1] != '\t' && line[1] != '#')
            return line + 1;
    return at + strlen(at);
}

static void take_name(const char *at, char name[96])
{
    size_t len = at ? strcspn(at, "\r\n") : 0;

    if (len > 95)
        len = 95;
    memcpy(name, at ? at : "", len);
    name[len] = 0;
    str_scrub(name);
}

/* The name of 'key' and of 'inner' in its block. */
static void look_up(const struct ids *ids, const char *key, const char *inner, char name[96],
                    char inner_name[96])
{
    const char *outer = NULL, *at = NULL;

    if (ids->text)
        outer = find_line(ids->text, ids->text + strlen(ids->text), key);
    if (outer)
        at = find_line(outer, block_end(outer), inner);
    take_name(outer, name);
    take_name(at, inner_name);
}

void ids_device(const struct ids *ids, unsigned vendor, unsigned device, char vendor_name[96],
                char device_name[96])
{
    char key[16], inner[16];

    snprintf(key, sizeof key, "\n%04x  ", vendor & 0xffff);
    snprintf(inner, sizeof inner, "\n\t%04x  ", device & 0xffff);
    look_up(ids, key, inner, vendor_name, device_name);
}

void ids_class(const struct ids *ids, unsigned class_id, unsigned subclass, char name[96])
{
    char key[16], inner[16], class_name[96], subclass_name[96];

    snprintf(key, sizeof key, "\nC %02x  ", class_id & 0xff);
    snprintf(inner, sizeof inner, "\n\t%02x  ", subclass & 0xff);
    look_up(ids, key, inner, class_name, subclass_name);
    str_copy(name, 96, subclass_name[0] ? subclass_name : class_name);
}
