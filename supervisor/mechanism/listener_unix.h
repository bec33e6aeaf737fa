/*
 * listener_unix.h: UNIX sockets and their files, for listener.c only.
 */
#ifndef MUSTER_LISTENER_UNIX_H
#define MUSTER_LISTENER_UNIX_H

#include "config/config.h"

#include <sys/un.h>

/* The address of `path`, which config found to fit. */
struct sockaddr_un listener_unix_address(const char *path);

/*
 * Binds a new socket `fd` to the path of `config`, with its owner and mode from
 * the first moment on. What stands there is replaced only where it is a socket
 * that nobody has open.
 * Returns 0; -EADDRINUSE: somebody has; -EEXIST: it is no socket; or what the
 * step said that `ret_step` names.
 */
int listener_unix_bind(
	int fd, const struct listen_config *config, const char **ret_step);

#endif
