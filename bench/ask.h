/*
 * ask.h: one question to a supervisor under measurement, on its control socket.
 */
#ifndef BENCH_ASK_H
#define BENCH_ASK_H

#include "daemon.h"

#include <stdint.h>

/*
 * One conversation: connects, says hello and calls `method` in one write, and
 * waits for the answer. False: hung up on, or no answer within `patience_ms`.
 */
bool ask_supervisor(
	const struct daemon *daemon, const char *method, int patience_ms);

/* A port of 127.0.0.1 that is free now. */
uint16_t ask_free_port(void);

#endif
