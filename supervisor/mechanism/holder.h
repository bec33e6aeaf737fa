/*
 * holder.h: who holds an address, as far as /proc tells it to us.
 */
#ifndef MUSTER_HOLDER_H
#define MUSTER_HOLDER_H

#include <sys/socket.h>

enum {
	HOLDER_TEXT_SIZE = 192,
};

/*
 * Writes "NAME (pid N)" of a process that holds `address` for sockets of `type`
 * (SOCK_STREAM: that listens there; SOCK_DGRAM), into `ret_text` of
 * HOLDER_TEXT_SIZE bytes, or "" when none is seen: another user's descriptors
 * aren't shown to us. Reads at most some MiB of /proc, and only when it is
 * called: for a message about a failure.
 */
void holder_find(
	const struct sockaddr_storage *address, int type, char *ret_text);

#endif
