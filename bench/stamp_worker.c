/*
 * stamp_worker.c: says when it began to run: a datagram with its pid and the
 * time to the abstract socket that its argument names, the first thing it
 * does. Then it waits to be killed. Linked with libc alone, so
 * that what bench/restart measures is the supervisor and not a loader.
 */
#include "stamp.h"

#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stamp stamp = {.pid = getpid()};
	struct timespec now;
	size_t length;
	int fd;

	clock_gettime(CLOCK_MONOTONIC, &now);
	stamp.ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	length = argc == 2 ? strlen(argv[1]) : 0;
	if (length == 0 || length + 1 > sizeof(address.sun_path))
		return 2;
	memcpy(address.sun_path + 1, argv[1], length);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sendto(fd, &stamp, sizeof(stamp), 0, (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				length)) != sizeof(stamp))
		return 1;
	for (;;)
		pause();
}
