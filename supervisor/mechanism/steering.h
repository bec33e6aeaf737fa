/*
 * steering.h: which sockets of a SO_REUSEPORT group get what comes in.
 *
 * The kernel numbers the sockets of a group in the order in which they began to
 * listen (TCP) or were bound (UDP), and lets a classic BPF program choose one
 * by its number (socket(7), SO_ATTACH_REUSEPORT_CBPF). A connection goes to a
 * random one, so that all get equally many; datagrams from one sender go to the
 * same one as long as `places` stays what it is.
 */
#ifndef MUSTER_STEERING_H
#define MUSTER_STEERING_H

#include <stddef.h>
#include <stdint.h>

enum {
	STEERING_PLACES_MAX = 2000, /* as many as a program has room for */
};

/*
 * From now on only the sockets with the numbers `places` get anything new; `fd`
 * is any of the group. What stands in the queues of others stays there.
 * Returns 0; -EINVAL: no places, or too many; or what setsockopt said.
 */
int steering_set(int fd, const uint32_t *places, size_t count);

/* How many connections wait to be accepted from a TCP socket. Returns that, or
 * a negative errno. */
int steering_queue(int fd);

#endif
