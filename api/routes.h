/* The table of routes: see routes.c. */
#pragma once
#include "api/request.h"
#include "core/core/core.h"

enum body_kind {
    BODY_NONE,
    BODY_JSON,
    BODY_JSON_OPTIONAL,
    BODY_PATCH, /* application/merge-patch+json, or application/json */
    BODY_BYTES, /* application/octet-stream */
    BODY_FILE,  /* of any size and type: api/intake.h takes it as it comes */
};

/* What a route is about: the kind of the object at "{id}", or of those in a list. What follows from
 * it for people with grants says api/about.c. */
enum about {
    ABOUT_NOTHING,
    ABOUT_HOST,
    ABOUT_VM,
    ABOUT_VMS,
    ABOUT_SNAPSHOT,
    ABOUT_DISK,
    ABOUT_DISKS,
    ABOUT_POOL,
    ABOUT_POOLS,
    ABOUT_MEDIA,
    ABOUT_EXPORT,
    ABOUT_EXPORTS,
    ABOUT_IMPORTS,
    ABOUT_BUNDLE,
    ABOUT_BUNDLES,
    ABOUT_TEMPLATE,
    ABOUT_TEMPLATES,
    ABOUT_OPERATION,
    ABOUT_OPERATIONS,
    ABOUT_EVENTS,
    ABOUT_AUDIT,
    ABOUT_USER,
    ABOUT_USERS,
    ABOUT_SESSION,
    ABOUT_TOKEN,
    ABOUT_TOKENS,
    ABOUT_WEBHOOK,
    ABOUT_WEBHOOKS,
    ABOUT_COUNT
};

/* Answers by reply_…() and returns true, or fills *err. */
typedef bool route_handler(struct request *rq, struct err *err);

struct route {
    const char *method;
    const char *pattern;   /* "{id}" stands for one segment */
    const char *operation; /* operationId in openapi.yaml */
    enum right right;      /* that the caller must have; RIGHT_PUBLIC: no authentication */
    enum about about;
    enum body_kind body;
    const char *query; /* the parameters it knows, separated by spaces */
    route_handler *handler;
    int arg; /* for handlers that serve several routes */
};

extern const struct route routes[];
extern const size_t n_routes;

/* The route of the request's decoded path; sets rq->route and rq->ref. NOT_FOUND, METHOD (the reply
 * has got its Allow then). */
bool route_find(struct request *rq, struct err *err) MUST_USE;
