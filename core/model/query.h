/* What a client asks of a list or an object: which objects (filter), which members of them
 * (fields), in which order, and which page. Pure: text in, checked structure out; page.h applies it
 * to JSON values as the API shows them. The grammar is in docs/api.md.
 *
 *   filter   state==running,label.ci==true,name~=ci-*,memory_bytes>=1073741824,notes!=
 *   fields   name,run.state,disks.size_bytes
 *   order    -memory_bytes,name
 *
 * Which members there are and of which type says a schema: a table of what only replies have, and
 * the field table of the configuration for the rest. */
#pragma once
#include "core/model/field.h"

#define QUERY_TERMS       16
#define QUERY_ORDER       3
#define QUERY_FIELDS      32
#define QUERY_STEPS       4
#define QUERY_VALUE_BYTES 255

enum query_type {
    QUERY_TEXT,  /* short: may be ordered by */
    QUERY_PROSE, /* long */
    QUERY_WORD,  /* one of 'words' */
    QUERY_NUMBER,
    QUERY_BOOL,
    QUERY_TIME,
    QUERY_LABELS, /* an object of texts; "label.KEY" names one */
    QUERY_ANY,    /* can be shown, not compared */
};

struct query_field {
    const char *path; /* "run.state" */
    enum query_type type;
    const char *const *words; /* QUERY_WORD: NULL-terminated */
};

struct query_schema {
    const char *object; /* "VM" */
    const struct query_field *fields;
    size_t n_fields;
    const struct model *model; /* more members, or NULL */
    const char *order;         /* when none is asked for: "-created_at" */
    const char *tie;           /* what settles ties, unique together: "id", "name,root" */
};

/* The lists of the API: core/model/schema.c. */
extern const struct query_schema schema_vm, schema_operation, schema_event, schema_user,
    schema_session, schema_token, schema_pool, schema_pool_file, schema_disk, schema_medium,
    schema_webhook, schema_template, schema_snapshot, schema_export, schema_import, schema_bundle,
    schema_audit;

/* A member, found in a schema. */
struct query_place {
    char *text;                     /* owned, cut into 'steps' */
    const char *steps[QUERY_STEPS]; /* names from the object down; lists are walked through */
    unsigned n_steps;
    enum query_type type;
    const char *const *words;
    bool many; /* lies in a list */
};

enum query_op { QUERY_EQ, QUERY_NE, QUERY_LIKE, QUERY_GE, QUERY_LE, QUERY_GT, QUERY_LT };

struct query_term {
    struct query_place place;
    enum query_op op;
    char *value;    /* owned; "" with EQ and NE means: has none */
    int64_t number; /* of QUERY_NUMBER; of QUERY_TIME in ms since 1970 */
};

struct query_key {
    struct query_place place;
    bool down;
};

struct query {
    const struct query_schema *schema;
    struct query_term terms[QUERY_TERMS + 1]; /* all must hold */
    unsigned n_terms;
    struct query_key order[QUERY_ORDER + 2]; /* those at the end settle ties */
    unsigned n_order;
    struct query_place fields[QUERY_FIELDS]; /* none: everything is shown */
    unsigned n_fields;
    bool default_order;
    unsigned page_size;
    json_t *after; /* keys of the last object of the page before, one an order entry; or NULL */
    uint64_t hash; /* of what a page token is bound to */
};

/* As the client wrote it; NULL for what was not given. */
struct query_ask {
    const char *filter, *fields, *order, *page_token;
    unsigned page_size;
};

/* INVALID with "?filter/1" (the second term), "?fields/0", "?order/0" or "?page_token" as field. On
 * failure nothing is owned by '*out'. */
bool query_parse(const struct query_schema *schema, const struct query_ask *ask, struct query *out,
                 struct err *err) MUST_USE;
/* One condition more, from a query parameter of its own ("?state=running"); 'value' NULL: none.
 * Must be a member of the schema. INVALID with "?<member>" as field. */
bool query_narrow(struct query *q, const char *member, const char *value, struct err *err) MUST_USE;
void query_clear(struct query *q); /* for CLEANUP(query_clear) */

/* Does the filter or the order look at this member of the object ("run")? */
bool query_looks_at(const struct query *q, const char *member);
/* ... is it shown? */
bool query_shows(const struct query *q, const char *member);
/* May an object be in the list whose 'member', one of the object itself and a single word
 * ("state"), is 'value'? False when the filter rules it out by == or !=. */
bool query_admits(const struct query *q, const char *member, const char *value);

/* Opaque text for the page after the object with these keys; owned by the caller. */
char *query_token(const struct query *q, const json_t *keys);

/* "2026-11-21T01:02:03.456Z"; from the day on, later parts may be missing. */
bool query_time(const char *text, int64_t *wall_ms);
