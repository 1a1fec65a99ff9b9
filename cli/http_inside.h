/* The inside of a connection to the service, for http.c and tunnel.c only. */
#pragma once
#include "cli/http.h"
#include "cli/trust.h"

#include <curl/curl.h>

struct http {
    CURL *curl;
    CURLM *multi;
    const struct connection *connection; /* borrowed */
    char *authorization;                 /* whole header line, or NULL */
    int stop_fd;
    bool debug;
    struct trust trust;
};

/* Sets on http->curl whom to talk to, and whom to trust. */
void http_set_peer(struct http *http);
/* Why curl failed; false. */
bool http_transport_fault(const struct http *http, CURLcode result, struct fault *fault);
