/*
 * listener.h: sockets that workers serve, and words for why one couldn't be
 * opened.
 *
 * Addresses come checked from config: a numeric host, or "" for every address
 * of the machine, and a port; or the absolute path of a UNIX socket. Port 0
 * lets the kernel choose; listener_text tells what it chose. Nothing is looked
 * up, so nothing blocks.
 *
 * Errors are words for people: which address, what is wrong, how to mend it.
 * Nothing here uses a loop.
 */
#ifndef MUSTER_LISTENER_H
#define MUSTER_LISTENER_H

#include "config/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	LISTENER_TEXT_SIZE = 128,  /* of an address as text, with its NUL */
	LISTENER_ERROR_SIZE = 512, /* of words about an error */
};

/* What is asked for. */
struct listener_plan {
	const struct listen_config *config; /* borrowed */
	int given;     /* this socket is taken instead of a new one; 0: none */
	uint16_t port; /* in place of the configuration's; 0: none */
	bool shares_port; /* the first of a SO_REUSEPORT group: see
			   * listener_open_twin; nobody may have the port yet */
};

/* The file of a UNIX socket, by which it is known again; zeros: none. */
struct listener_file {
	uint64_t device, inode;
};

/*
 * Opens all of `plans` or none: bound, blocking, close-on-exec; stream sockets
 * listen. An IPv6 address takes no IPv4 unless its configuration says so; ""
 * takes both, but only IPv6 where another plan has an IPv4 address of that kind
 * and port, and only IPv4 on a machine without IPv6. The file of a UNIX socket
 * that nobody listens on any more is replaced; any other is left alone. The
 * caller owns the `count` descriptors in `ret_fds`.
 * Returns 0; -EINVAL: a host is no number; or the errno of the step that
 * failed; all told in `ret_error` of LISTENER_ERROR_SIZE bytes.
 */
int listener_open(const struct listener_plan *plans, size_t count, int *ret_fds,
	char *ret_error);

/*
 * One more socket of the group that `fd` is in: the same address, port and
 * options, and a queue of its own. TCP listens with `backlog`.
 * Returns the descriptor, which is the caller's; or the errno of the step that
 * failed.
 */
int listener_open_twin(int fd, int backlog);

/*
 * The address of the socket `fd` in the form of the configuration, as
 * "tcp://127.0.0.1:8080", into `ret_text` of LISTENER_TEXT_SIZE bytes. Returns
 * 0; -EAFNOSUPPORT: it is no socket of a kind that can be configured; or what
 * the kernel said.
 */
int listener_text(int fd, char *ret_text);

/* The file of the UNIX socket at `path`, or zeros where there is none. */
struct listener_file listener_find_file(const char *path);

/* Removes the file at `path` when it is still `file`; zeros remove nothing. */
void listener_remove_file(const char *path, const struct listener_file *file);

#endif
