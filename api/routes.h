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
};

/* Answers by reply_…() and returns true, or fills *err. */
typedef bool route_handler(struct request *rq, struct err *err);

struct route {
    const char *method;
    const char *pattern;   /* "{id}" stands for one segment */
    const char *operation; /* operationId in openapi.yaml */
    enum role role;        /* least role; ROLE_NONE: no authentication */
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
