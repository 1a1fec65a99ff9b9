/* The inside of the api: what its files share. */
#pragma once
#include "api/api.h"
#include "api/conn.h"
#include "api/guess.h"
#include "api/idem.h"
#include "api/limit.h"
#include "api/meter.h"

struct MHD_Daemon;

struct api {
    struct api_config config; /* with the defaults filled in; arrays copied */
    uint32_t *admin_uids;
    struct conn_list conns;
    struct idem_keys keys;
    struct meter meter;
    struct limit changes;   /* by principal */
    struct limit failures;  /* of authentication, by address */
    struct guesses guesses; /* at passwords, by user and by address */
    char **host_names;      /* names we are asked by, copied */
    size_t n_host_names;
    struct MHD_Daemon *daemon;
    atomic_bool stopping;        /* new requests get 503, streams end */
    atomic_uint active;          /* requests between their head and the end of their reply */
    char id_prefix[9];           /* of request ids: random per start */
    _Atomic uint32_t id_counter; /* ... and their rest */
};

/* libmicrohttpd with the callbacks of server.c; NULL when it cannot start. */
struct MHD_Daemon *server_start(struct api *api) MUST_USE;
