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
};

/* Reads $VMMD_URL, $VMMD_SOCKET, $VMMD_CACERT, $VMMD_FINGERPRINT, $VMMD_TOKEN, $VMMD_TOKEN_FILE and
 * the configuration file ($VMMD_CONFIG, else $XDG_CONFIG_HOME/vmmd/config, else
 * ~/.config/vmmd/config). USAGE: a value that cannot be meant so; a configuration file that others
 * may read. */
bool connection_load(const struct args *args, struct connection *out, struct fault *fault) MUST_USE;
void connection_clear(struct connection *c); /* for CLEANUP(connection_clear) */
/* A SHA-256 fingerprint as people paste it ("AB:CD:…", "sha256:abcd…") as 64 hex digits. */
bool fingerprint_parse(const char *text, char out[65]);
