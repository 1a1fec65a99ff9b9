/* vmmd-front, alone: the test is its parent, its main and its clients. */
#pragma once
#include "vmmd/front/proto.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FRONT_EACH     8 /* connections from one address */
#define FRONT_PATIENCE 20000

extern struct front_world {
    char *dir;
    pid_t front;
    int control, link; /* the parent's end, main's end */
    unsigned port;
} front_world;

/* Around all tests of a program: a directory with a certificate in it. */
int front_world_make(void **state);
int front_world_remove(void **state);
/* Around each: a front that serves, one that asks clients for certificates, and its end, which it
 * takes by itself because its parent goes. */
int front_started(void **state);
int front_start_asking(void **state);
int front_stopped(void **state);
/* With that key; 'option' is one more argument, or NULL. */
void front_start(const char *key_file, const char *option);
void front_say_main_is(bool up);
/* What main is told of the next connection, and its stream. */
int front_accept(struct front_conn *conn);

struct front_client {
    CURL *curl;
    curl_socket_t sock;
};
/* 'certificate' (NULL: none): NAME of NAME.pem and NAME.key in the directory. */
struct front_client front_connect_as(const char *address, const char *certificate);
struct front_client front_connect_from(const char *address);
struct front_client front_connect(void);
/* False when nothing of it comes to pass in FRONT_PATIENCE ms. */
bool front_wait(int fd, short events);
/* Reads until the peer closes or 'cap' bytes are there. */
size_t front_read(const struct front_client *c, char *out, size_t cap);
void front_write(const struct front_client *c, const char *data, size_t len);
