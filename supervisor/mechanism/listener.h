/*
 * listener.h: listening sockets, and words for why one couldn't be opened.
 *
 * Addresses come checked from config: a numeric host, or "" for every address
 * of the machine, and a port. Port 0 lets the kernel choose; listener_text
 * tells what it chose. Nothing is looked up, so nothing blocks.
 *
 * Errors are words for people: which address, what is wrong, how to mend it.
 * Nothing here uses a loop.
 */
#ifndef MUSTER_LISTENER_H
#define MUSTER_LISTENER_H

#include <stddef.h>
#include <stdint.h>

enum {
	LISTENER_BACKLOG = 511,	   /* where nothing else is said */
	LISTENER_TEXT_SIZE = 80,   /* of an address as text, with its NUL */
	LISTENER_ERROR_SIZE = 512, /* of words about an error */
};

/* What is asked for. Strings are borrowed. */
struct listener_plan {
	const char *address; /* for people */
	const char *host;    /* numeric, or "" */
	uint16_t port;
	int backlog; /* 0: LISTENER_BACKLOG */
};

/*
 * Opens all of `plans` or none: TCP sockets, bound, listening, blocking,
 * close-on-exec, with SO_REUSEADDR. An IPv6 address takes no IPv4; "" takes
 * both, but only IPv6 where another plan has an IPv4 address with that port,
 * and only IPv4 on a machine without IPv6. The caller owns the `count`
 * descriptors in `ret_fds`.
 * Returns 0; -EINVAL: a host is no number; or the errno of the step that
 * failed; all told in `ret_error` of LISTENER_ERROR_SIZE bytes.
 */
int listener_open(const struct listener_plan *plans, size_t count, int *ret_fds,
	char *ret_error);

/*
 * The address of the socket `fd` as "tcp://127.0.0.1:8080", into `ret_text` of
 * LISTENER_TEXT_SIZE bytes. Returns 0, or what the kernel said.
 */
int listener_text(int fd, char *ret_text);

#endif
