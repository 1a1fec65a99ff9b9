/* The keys of a keyboard: their names as clients write them, and which of them type a text on a
 * keyboard of a certain country. Pure tables, no I/O.
 *
 * A key is named by QEMU's "qcode", which is a place on a US keyboard ("a" is the key left of "s",
 * whatever the guest thinks is printed on it); usual other names are understood as well. */
#pragma once
#include "core/base/err.h"

#include <stddef.h>

/* QEMU's name of the key that a client calls 'name' ("delete", "Del", "return", "windows"), in any
 * case; NULL when there is none. Static text. */
const char *key_find(const char *name);
bool check_key(const char *name, const char **why); /* for struct field.check */

enum key_layout { KEY_LAYOUT_US, KEY_LAYOUT_GB, KEY_LAYOUT_DE };
extern const char *const key_layout_names[];

/* One character: the key, and what is held down meanwhile. */
struct key_stroke {
    const char *key; /* static */
    bool shift, altgr;
};

/* The strokes that make 'text' (UTF-8) appear in a guest that believes to have such a keyboard;
 * '*out' is the caller's. '\n' is Return, '\t' Tab, '\b' Backspace, '\x1b' Escape. INVALID at
 * "/text" for a character that is not on the keyboard. */
bool key_strokes(const char *text, enum key_layout layout, struct key_stroke **out, size_t *n,
                 struct err *err) MUST_USE;
