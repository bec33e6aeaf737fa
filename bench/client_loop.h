/*
 * client_loop.h: what the two halves of the counting client share: client.c
 * starts and reads it, client_loop.c is the process.
 */
#ifndef BENCH_CLIENT_LOOP_H
#define BENCH_CLIENT_LOOP_H

#include "client.h"

#include <sys/socket.h>
#include <sys/un.h>

/* A lane with its address resolved. */
struct client_loop_lane {
	struct client_lane lane;
	union {
		struct sockaddr any;
		struct sockaddr_storage storage;
		struct sockaddr_un path;
	} address;
	socklen_t address_size;
	char expect[64];
};

/* The memory that both processes see. One writes each field. */
struct client_shared {
	size_t count;
	struct client_loop_lane lanes[CLIENT_LANES_MAX]; /* the user */
	struct client_counts counts[CLIENT_LANES_MAX];	 /* the process */
	uint8_t killed[UINT16_MAX + 1];			 /* by port: both */
};

/* The process: asks until the other end of `control` is closed. */
_Noreturn void client_loop(struct client_shared *shared, int control);

#endif
