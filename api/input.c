/* A VM's keyboard, pointer and NMI: POST /vms/{id}/actions/{send-key,type,pointer,nmi}. Answered
 * when it is done; like all console input not repeatable, so there is no Idempotency-Key. */
#include "core/vm/input.h"
#include "api/conn.h"
#include "api/handlers.h"
#include "api/server.h"
#include "core/vm/vm.h"

#include <math.h>

struct send_keys {
    json_t *keys;
    uint32_t hold_ms;
};

struct type_text {
    char *text;
    int layout; /* enum key_layout */
    uint32_t interval_ms;
};

struct send_pointer {
    double x, y, dx, dy;
    json_t *buttons;
    uint32_t head;
};

#define OF(type, member) .offset = offsetof(struct type, member)

/* clang-format off */ /* a field is a paragraph */
static const struct field keys_fields[] = {
    {.name = "keys", .type = FIELD_WORDS, .flags = FIELD_REQUIRED, OF(send_keys, keys), .min = 1,
     .max = KEYS_MAX, .check = check_key, .help = "pressed in this order, let go of in reverse"},
    {.name = "hold_ms", .type = FIELD_U32, OF(send_keys, hold_ms), .min = 1, .max = KEYS_HOLD_MS,
     .fallback = "100", .help = "how long they are all down"},
};
static const struct model keys_model = {"KeyArguments", sizeof(struct send_keys), keys_fields,
                                        ARRAY_LEN(keys_fields)};

static const struct field type_fields[] = {
    {.name = "text", .type = FIELD_TEXT, .flags = FIELD_REQUIRED, OF(type_text, text), .min = 1,
     .max = TYPE_TEXT_MAX, .help = "a line break is Return"},
    {.name = "layout", .type = FIELD_ENUM, OF(type_text, layout), .names = key_layout_names,
     .fallback = "\"us\"", .help = "the keyboard that the guest believes to have"},
    {.name = "interval_ms", .type = FIELD_U32, OF(type_text, interval_ms), .min = 1, .max = 1000,
     .fallback = "14", .help = "from one character to the next"},
};
static const struct model type_model = {"TypeArguments", sizeof(struct type_text), type_fields,
                                        ARRAY_LEN(type_fields)};

static const struct field pointer_fields[] = {
    {.name = "x", .type = FIELD_REAL, OF(send_pointer, x), .max = 1,
     .help = "0: left edge, 1: right edge of the display; for a tablet"},
    {.name = "y", .type = FIELD_REAL, OF(send_pointer, y), .max = 1,
     .help = "0: upper edge, 1: lower edge"},
    {.name = "dx", .type = FIELD_REAL, OF(send_pointer, dx), .low = -4096, .max = 4096,
     .help = "pixels to the right; for a mouse"},
    {.name = "dy", .type = FIELD_REAL, OF(send_pointer, dy), .low = -4096, .max = 4096,
     .help = "pixels down"},
    {.name = "buttons", .type = FIELD_WORDS, OF(send_pointer, buttons), .max = 9,
     .check = check_button, .help = "those that are down from now on; absent: as they are"},
    {.name = "head", .type = FIELD_U32, OF(send_pointer, head), .max = VM_HEADS_MAX - 1,
     .fallback = "0", .help = "display that x and y belong to"},
};
static const struct model pointer_model = {"PointerArguments", sizeof(struct send_pointer),
                                           pointer_fields, ARRAY_LEN(pointer_fields)};
/* clang-format on */

static void keys_clear(struct send_keys *args)
{
    model_clear(&keys_model, args);
}

static void type_clear(struct type_text *args)
{
    model_clear(&type_model, args);
}

static void pointer_clear(struct send_pointer *args)
{
    model_clear(&pointer_model, args);
}

static bool has_left(void *ctx)
{
    return conn_is_gone(ctx);
}

static bool reply_done(struct request *rq, const struct origin *origin)
{
    return origin->dry_run ? reply_dry_run(rq, NULL, NULL) : reply_empty(rq, 204);
}

bool keys_send(struct request *rq, struct err *err)
{
    CLEANUP(keys_clear) struct send_keys args = {0};
    const struct vm_patience patience = {has_left, rq->conn};
    struct origin origin;

    return request_decode(rq, &keys_model, &args, err) && request_origin(rq, &origin, err) &&
           vm_send_keys(rq->api->config.core, rq->ref, args.keys, args.hold_ms, &patience, &origin,
                        err) &&
           reply_done(rq, &origin);
}

bool text_type(struct request *rq, struct err *err)
{
    CLEANUP(type_clear) struct type_text args = {0};
    const struct vm_patience patience = {has_left, rq->conn};
    struct origin origin;

    return request_decode(rq, &type_model, &args, err) && request_origin(rq, &origin, err) &&
           vm_type(rq->api->config.core, rq->ref, args.text, (enum key_layout)args.layout,
                   args.interval_ms, &patience, &origin, err) &&
           reply_done(rq, &origin);
}

bool pointer_send(struct request *rq, struct err *err)
{
    CLEANUP(pointer_clear) struct send_pointer args = {0};
    struct pointer_move move;
    struct origin origin;

    if (!request_decode(rq, &pointer_model, &args, err) || !request_origin(rq, &origin, err))
        return false;
    if (isnan(args.x) != isnan(args.y))
        return err_field(err, ERR_INVALID, isnan(args.x) ? "/x" : "/y",
                         "x and y come together: where on the display the pointer goes");
    move = (struct pointer_move){.head = args.head,
                                 .x = args.x,
                                 .y = args.y,
                                 .dx = args.dx,
                                 .dy = args.dy,
                                 .buttons = args.buttons};
    return vm_point(rq->api->config.core, rq->ref, &move, &origin, err) && reply_done(rq, &origin);
}

bool nmi_send(struct request *rq, struct err *err)
{
    struct origin origin;

    return request_no_arguments(rq, err) && request_origin(rq, &origin, err) &&
           vm_nmi(rq->api->config.core, rq->ref, &origin, err) && reply_done(rq, &origin);
}
