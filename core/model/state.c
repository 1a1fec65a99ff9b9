/* The table of states and verbs: see state.h. */
#include "core/model/state.h"

#include "core/base/str.h"

#include <string.h>

#define IN(run) (1u << VM_##run)

/* In which state a verb is possible. */
static const unsigned allowed_in[VM_VERB_COUNT] = {
    [VM_VERB_START] = IN(OFF) | IN(CRASHED) | IN(SAVED),
    [VM_VERB_SHUTDOWN] = IN(RUNNING),
    [VM_VERB_STOP] = IN(STARTING) | IN(RUNNING) | IN(PAUSED) | IN(STOPPING) | IN(UNKNOWN),
    [VM_VERB_RESET] = IN(RUNNING) | IN(PAUSED),
    [VM_VERB_PAUSE] = IN(RUNNING),
    [VM_VERB_RESUME] = IN(PAUSED),
    [VM_VERB_SAVE] = IN(RUNNING) | IN(PAUSED),
    [VM_VERB_DISCARD] = IN(SAVED),
    [VM_VERB_DELETE] = IN(OFF) | IN(CRASHED) | IN(SAVED),
    [VM_VERB_SNAPSHOT] = IN(OFF) | IN(CRASHED) | IN(RUNNING) | IN(PAUSED),
    [VM_VERB_REVERT] = IN(OFF) | IN(CRASHED) | IN(RUNNING) | IN(PAUSED) | IN(SAVED),
    [VM_VERB_DELETE_SNAPSHOT] = IN(OFF) | IN(CRASHED) | IN(RUNNING) | IN(PAUSED),
    [VM_VERB_ARCHIVE_SNAPSHOT] = IN(OFF) | IN(CRASHED) | IN(RUNNING) | IN(PAUSED) | IN(SAVED),
    [VM_VERB_UNARCHIVE_SNAPSHOT] = IN(OFF) | IN(CRASHED) | IN(RUNNING) | IN(PAUSED) | IN(SAVED),
    [VM_VERB_CLONE] = IN(OFF) | IN(CRASHED) | IN(RUNNING) | IN(PAUSED),
    [VM_VERB_EXPORT] = IN(OFF) | IN(CRASHED) | IN(RUNNING) | IN(PAUSED) | IN(SAVED),
    [VM_VERB_FLATTEN] = IN(OFF) | IN(CRASHED) | IN(RUNNING) | IN(PAUSED),
    [VM_VERB_MOVE_STORAGE] = IN(OFF) | IN(CRASHED) | IN(RUNNING) | IN(PAUSED) | IN(SAVED),
    [VM_VERB_ADD_DISK] = IN(OFF) | IN(CRASHED) | IN(RUNNING) | IN(PAUSED),
    [VM_VERB_IMPORT_DISK] = IN(OFF) | IN(CRASHED) | IN(RUNNING) | IN(PAUSED),
    /* a paused guest does not let go */
    [VM_VERB_REMOVE_DISK] = IN(OFF) | IN(CRASHED) | IN(RUNNING),
    [VM_VERB_GROW_DISK] = IN(OFF) | IN(CRASHED) | IN(RUNNING) | IN(PAUSED),
    [VM_VERB_SEND_KEY] = IN(RUNNING),
    [VM_VERB_TYPE] = IN(RUNNING),
    [VM_VERB_POINTER] = IN(RUNNING),
    [VM_VERB_NMI] = IN(RUNNING),
};

/* Which state may follow which, whatever caused it. */
static const unsigned next_of[VM_RUN_COUNT] = {
    [VM_OFF] = IN(STARTING) | IN(SAVED),
    [VM_STARTING] = IN(RUNNING) | IN(PAUSED) | IN(SAVED) | IN(OFF) | IN(CRASHED) | IN(UNKNOWN),
    [VM_RUNNING] = IN(PAUSED) | IN(STOPPING) | IN(SAVED) | IN(OFF) | IN(CRASHED) | IN(UNKNOWN),
    [VM_PAUSED] = IN(RUNNING) | IN(STOPPING) | IN(SAVED) | IN(OFF) | IN(CRASHED) | IN(UNKNOWN),
    [VM_STOPPING] = IN(RUNNING) | IN(PAUSED) | IN(OFF) | IN(CRASHED) | IN(UNKNOWN),
    [VM_SAVED] = IN(STARTING) | IN(OFF),
    [VM_CRASHED] = IN(STARTING) | IN(SAVED) | IN(OFF),
    [VM_UNKNOWN] = IN(RUNNING) | IN(PAUSED) | IN(OFF) | IN(CRASHED) | IN(STARTING),
};

static const char *const run_texts[] = {
#define X(name, text) text,
    VM_RUNS(X)
#undef X
};
static const char *const reason_texts[] = {
#define X(name, text) text,
    VM_REASONS(X)
#undef X
};
static const char *const desired_texts[] = {
#define X(name, text) text,
    VM_DESIRES(X)
#undef X
};
static const struct {
    const char *text;
    bool exclusive;
    const char *words;
} verbs[] = {
#define X(name, text, exclusive, words) {text, exclusive, words},
    VM_VERBS(X)
#undef X
};

const char *vm_run_text(enum vm_run run)
{
    return run_texts[run];
}

const char *vm_reason_text(enum vm_reason reason)
{
    return reason_texts[reason];
}

const char *vm_desired_text(enum vm_desired desired)
{
    return desired_texts[desired];
}

const char *vm_verb_text(enum vm_verb verb)
{
    return verbs[verb].text;
}

static bool parse(const char *const *texts, int count, const char *text, int *out)
{
    for (int i = 0; text && i < count; i++) {
        if (strcmp(texts[i], text) == 0) {
            *out = i;
            return true;
        }
    }
    return false;
}

bool vm_run_parse(const char *text, enum vm_run *out)
{
    int i;
    bool ok = parse(run_texts, VM_RUN_COUNT, text, &i);

    if (ok)
        *out = (enum vm_run)i;
    return ok;
}

bool vm_reason_parse(const char *text, enum vm_reason *out)
{
    int i;
    bool ok = parse(reason_texts, VM_REASON_COUNT, text, &i);

    if (ok)
        *out = (enum vm_reason)i;
    return ok;
}

bool vm_desired_parse(const char *text, enum vm_desired *out)
{
    int i;
    bool ok = parse(desired_texts, VM_DESIRED_COUNT, text, &i);

    if (ok)
        *out = (enum vm_desired)i;
    return ok;
}

bool vm_verb_parse(const char *text, enum vm_verb *out)
{
    for (unsigned i = 0; text && i < VM_VERB_COUNT; i++) {
        if (strcmp(verbs[i].text, text) == 0) {
            *out = (enum vm_verb)i;
            return true;
        }
    }
    return false;
}

bool vm_may(enum vm_verb verb, enum vm_run run)
{
    return allowed_in[verb] >> run & 1;
}

bool vm_check(enum vm_verb verb, enum vm_run run, const char *name, struct err *err)
{
    CLEANUP(strbuf_clear) struct strbuf list = {0};

    if (vm_may(verb, run))
        return true;
    for (unsigned v = 0; v < VM_VERB_COUNT; v++)
        if (vm_may((enum vm_verb)v, run))
            strbuf_addf(&list, "%s%s", list.len ? ", " : "", verbs[v].text);
    return err_set(err, ERR_WRONG_STATE, "cannot %s %s: it is %s; possible now: %s",
                   verbs[verb].words, name, run_texts[run], list.data ? list.data : "nothing");
}

bool vm_verb_is_exclusive(enum vm_verb verb)
{
    return verbs[verb].exclusive;
}

bool vm_run_may_become(enum vm_run from, enum vm_run to)
{
    return next_of[from] >> to & 1;
}

bool vm_run_is_live(enum vm_run run)
{
    return (IN(STARTING) | IN(RUNNING) | IN(PAUSED) | IN(STOPPING) | IN(UNKNOWN)) >> run & 1;
}
