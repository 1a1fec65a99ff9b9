/* The way from the front to main: knows whether main serves, and hands connections over. */
#pragma once
#include "core/base/err.h"
#include "vmmd/front/proto.h"

/* 'link' is the front's end of the front link; borrowed for ever. */
bool gate_init(int link, struct err *err) MUST_USE;
/* The parent said whether main serves. */
void gate_set(bool main_up);
/* Waits until main serves, 5 s at most, and gives it the connection with one end of its stream
 * ('stream' stays the caller's). UNAVAILABLE or TIMEOUT when main does not serve or does not take
 * it. */
bool gate_pass(const struct front_conn *conn, int stream, struct err *err) MUST_USE;
