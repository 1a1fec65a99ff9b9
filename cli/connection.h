/* Where the service is and how to prove who we are: flags > environment > configuration file > the
 * unix socket of this machine. */
#pragma once
#include "cli/args.h"

struct connection {
    char *url;         /* "https://host:8443", without a slash at the end */
    char *socket;      /* path; NULL: TCP */
    char *cacert;      /* PEM file; NULL: the system's */
    char *fingerprint; /* 64 hex digits in lower case; NULL: none pinned */
    char *token;       /* secret; NULL: none */
    char *cert, *key;  /* PEM files, of a certificate that says who we are; NULL: none */
    char *context;     /* of the configuration file, which it comes from; NULL: none */
};

/* Reads --context or $VMMD_CONTEXT, $VMMD_URL, $VMMD_SOCKET, $VMMD_CACERT, $VMMD_FINGERPRINT,
 * $VMMD_TOKEN, $VMMD_TOKEN_FILE, $VMMD_CERT, $VMMD_KEY and the configuration file ($VMMD_CONFIG,
 * else $XDG_CONFIG_HOME/vmmd/config, else
 * ~/.config/vmmd/config). USAGE: a value that cannot be meant so; a configuration file that others
 * may read. */
bool connection_load(const struct args *args, struct connection *out, struct fault *fault) MUST_USE;
/* What the flags alone say; for what is written down. */
bool connection_from_flags(const struct args *args, struct connection *out,
                           struct fault *fault) MUST_USE;
void connection_clear(struct connection *c); /* for CLEANUP(connection_clear) */
/* Whether this can be asked over: https, or http to this machine, a host and a port only. USAGE. */
bool connection_check_url(const char *url, struct fault *fault) MUST_USE;
/* The first word of a token's file; owned by the caller, secret. NULL with USAGE. */
char *connection_read_token(const char *path, struct fault *fault) MUST_USE;
/* A SHA-256 fingerprint as people paste it ("AB:CD:…", "sha256:abcd…") as 64 hex digits. */
bool fingerprint_parse(const char *text, char out[65]);
