/* The audit trail: who changed what, from where, and who was refused. Its records are events of the
 * types "audit.change" and "audit.refusal" in the one numbered log, for administrators only; and
 * each is kept for longer in a table of its own, in a chain of hashes (core/model/chain.h). */
#pragma once
#include "core/base/str.h"
#include "core/core/core.h"
#include "core/model/chain.h"
#include "core/model/query.h"

/* The request under way. Texts are borrowed, and without secrets. */
struct audit_note {
    const char *operation; /* operationId */
    const char *principal;
    const char *from; /* "192.0.2.7 port 4711", "uid 0" */
    const char *path, *request_id;
    enum role role;
    json_t *changes; /* members the request names, see trail.c; borrowed, or NULL */
    bool is_input;   /* keys and console input: one record a minute tells of all */
};

/* From here to audit_end() the first event that this thread adds to a transaction brings the
 * record of 'note' along: the record exists exactly when the change does. */
void audit_begin(const struct audit_note *note);
/* The request only begins 'job', which is about an object (zero: none). Before its first event. */
void audit_job(const struct uuid *job, const char *object_type, const struct uuid *object);
/* The request only begins so many jobs, each of which knows its request. */
void audit_batch(unsigned jobs);
/* 'done': the request changed something. If no event has brought the record along, it is written
 * now. Blocks until it is durable; a failure is logged. */
void audit_end(struct core *core, bool done);
/* A caller that is known, but may not. More than 100 at once, or one a second for long, of one
 * principal are counted instead, and its next record says how many ("suppressed"). */
void audit_refusal(struct core *core, const struct audit_note *note, const struct err *why);

/* Appends {"items":[AuditRecord…],"next_page_token":…} for a query of schema_audit, which is by
 * number. */
bool audit_list(struct core *core, const struct query *query, struct strbuf *out,
                struct err *err) MUST_USE;

struct audit_head {
    uint64_t seq; /* of the newest record, 0: there is none */
    char hash[CHAIN_TEXT];
};
bool audit_head(struct core *core, struct audit_head *out, struct err *err) MUST_USE;
/* Writes number and hash of the newest record to the log unless it was '*logged' already. */
void audit_log_head(struct core *core, uint64_t *logged);
