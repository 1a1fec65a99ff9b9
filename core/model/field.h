/* Field tables: one table per type drives decoding of requests, defaults, limits, encoding of
 * replies, the merge patch, and the tests that compare them with openapi.yaml.
 *
 * A struct described by a table holds: bool, uint32_t, uint64_t; char * for texts (owned, NULL when
 * absent); int (an enum) for FIELD_ENUM; struct uuid; json_t * for labels (owned, NULL when empty)
 * and for lists of words and objects of any members (owned, NULL when absent); double for
 * FIELD_REAL (NAN when absent); a nested struct for FIELD_OBJECT; a pointer and a size_t count for
 * FIELD_LIST. */
#pragma once
#include "core/base/err.h"
#include "core/base/id.h"
#include "core/base/json.h"

#include <stddef.h>
#include <stdint.h>

enum field_type {
    FIELD_BOOL,
    FIELD_U32,
    FIELD_U64,
    FIELD_TEXT, /* min..max are bytes of UTF-8; 'check' may narrow */
    FIELD_ENUM,
    FIELD_UUID,   /* a zero uuid is shown as null */
    FIELD_LABELS, /* object of texts */
    FIELD_OBJECT,
    FIELD_LIST,  /* of objects; min..max are elements */
    FIELD_REAL,  /* from 'low' to 'max' */
    FIELD_WORDS, /* list of texts of 1 to 63 bytes; min..max are elements; 'check' may narrow */
    FIELD_JSON,  /* an object of any members */
};

enum field_flag {
    FIELD_REQUIRED = 1,    /* must be given on create */
    FIELD_READ_ONLY = 2,   /* shown, never accepted */
    FIELD_CREATE_ONLY = 4, /* accepted on create, not in a patch */
    FIELD_NEXT_START = 8,  /* a change applies when the VM starts next: see "pending" */
    FIELD_BY_PROFILE = 16, /* the guest profile may have another default: core/model/profile.h */
};

struct model;

struct field {
    const char *name;
    enum field_type type;
    unsigned flags;
    size_t offset;
    size_t count_offset; /* FIELD_LIST: where the count lies */
    uint64_t min, max;   /* numbers: range; texts: bytes; lists: elements */
    int64_t low;         /* FIELD_REAL: the lower end */
    /* Texts: false with *why set to what is expected ("must be …"). */
    bool (*check)(const char *text, const char **why);
    const char *const *names; /* FIELD_ENUM: NULL-terminated, index is the value */
    const struct model *of;   /* FIELD_OBJECT, FIELD_LIST */
    const char *fallback;     /* JSON of the default when absent; NULL: zero */
    const char *help;         /* one line for docs and man pages */
};

struct model {
    const char *name; /* schema name in openapi.yaml */
    size_t size;
    const struct field *fields;
    size_t n_fields;
};

enum model_source {
    MODEL_CLIENT, /* a client's text: read-only members are refused */
    MODEL_STORED, /* our own: everything is accepted, unknown members are ignored (newer version) */
};

/* Fills '*out' (size model->size, zeroed by this call). On failure nothing is owned by '*out'.
 * INVALID with err->field as JSON pointer: unknown member, wrong type, out of range, missing. */
bool model_decode(const struct model *model, const json_t *value, enum model_source source,
                  void *out, struct err *err) MUST_USE;
json_t *model_encode(const struct model *model, const void *object) MUST_USE;
/* One of its members; NULL when there is none of that name. */
json_t *model_encode_member(const struct model *model, const void *object,
                            const char *name) MUST_USE;
void model_clear(const struct model *model, void *object);
/* '*out' = 'object' changed by the merge patch 'patch' (RFC 7396: null resets to the default).
 * INVALID when the patch names an unknown, read-only or create-only member. */
bool model_patch(const struct model *model, const void *object, const json_t *patch, void *out,
                 struct err *err) MUST_USE;
/* The members with FIELD_NEXT_START that differ between two objects, with 'wanted's values; NULL
 * when there are none. */
json_t *model_pending(const struct model *model, const void *active, const void *wanted);

/* Common checks for FIELD_TEXT. */
bool check_name(const char *text, const char **why); /* [A-Za-z0-9][A-Za-z0-9._-]*, not a UUID */
bool check_line(const char *text, const char **why); /* one line without control characters */
bool check_mac(const char *text, const char **why);  /* 52:54:00:12:34:56, unicast, lower case */
#define NAME_MAX_BYTES 63
