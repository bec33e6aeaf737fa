/*
 * listener.h: from an address as people write it to a listening socket.
 *
 * Addresses: `8080` (all addresses of IPv4), `127.0.0.1:8080`, `[::1]:8080`,
 * `*:8080`, `localhost:8080`, each also behind `tcp://`. Names other than
 * localhost are refused: looking them up could block. Port 0 lets the kernel
 * choose; listener_text tells what it chose.
 *
 * Errors are words for people: which address, what is wrong, how to mend it.
 * Nothing here uses a loop.
 */
#ifndef MUSTER_LISTENER_H
#define MUSTER_LISTENER_H

#include <stddef.h>
#include <sys/socket.h>

enum {
	LISTENER_BACKLOG = 511,	   /* where nothing else is said */
	LISTENER_TEXT_SIZE = 80,   /* of an address as text, with its NUL */
	LISTENER_ERROR_SIZE = 512, /* of words about an error */
};

struct listener_address {
	struct sockaddr_storage socket;
	socklen_t size;
};

/* What is asked for. */
struct listener_plan {
	const char *address; /* borrowed */
	int backlog;	     /* 0: LISTENER_BACKLOG */
};

/*
 * Reads an address. Words about an error go to `ret_error`, of
 * LISTENER_ERROR_SIZE bytes.
 * Returns 0; -EINVAL: it is none; -ENOTSUP: of a kind that isn't there yet.
 */
int listener_parse(const char *text, struct listener_address *ret_address,
	char *ret_error);

/*
 * Opens all of `plans` or none: TCP sockets, bound, listening, non-blocking,
 * close-on-exec, with SO_REUSEADDR, and IPv6 without IPv4. The caller owns the
 * `count` descriptors in `ret_fds`.
 * Returns 0; what listener_parse says; or the errno of the step that failed,
 * told in `ret_error` of LISTENER_ERROR_SIZE bytes.
 */
int listener_open(const struct listener_plan *plans, size_t count, int *ret_fds,
	char *ret_error);

/*
 * The address of the socket `fd` as "tcp://127.0.0.1:8080", into `ret_text` of
 * LISTENER_TEXT_SIZE bytes. Returns 0, or what the kernel said.
 */
int listener_text(int fd, char *ret_text);

#endif
