/*
 * client.c: a terminal for the chat: what is typed goes to the server, what
 * comes is printed. It ends when either side does.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int
dial(const char *host, const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	address.sin_port = htons((uint16_t)atoi(port));
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
		errno = EINVAL;
	else if (fd >= 0 &&
		 connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	fprintf(stderr, "tcp-chat-client: %s:%s: %s\n", host, port,
		strerror(errno));
	return -1;
}

/* Copies what is there. Returns false: it is at its end. */
static int
copy(int from, int to)
{
	char bytes[4096];
	ssize_t got = read(from, bytes, sizeof bytes);

	for (ssize_t at = 0; at < got;) {
		ssize_t taken = write(to, bytes + at, (size_t)(got - at));

		if (taken < 0)
			return 0;
		at += taken;
	}
	return got > 0;
}

int
main(int argc, char **argv)
{
	int fd = argc == 3 ? dial(argv[1], argv[2]) : -1;
	struct pollfd polls[2] = {
		{.fd = fd, .events = POLLIN},
		{.fd = STDIN_FILENO, .events = POLLIN},
	};

	if (argc != 3)
		fputs("usage: tcp-chat-client ADDRESS PORT\n", stderr);
	if (fd < 0)
		return 1;
	while (poll(polls, 2, -1) > 0) {
		if (polls[0].revents && !copy(fd, STDOUT_FILENO))
			break;
		if (polls[1].revents && !copy(STDIN_FILENO, fd))
			polls[1].fd = -1; /* nothing is typed any more */
	}
	close(fd);
	return 0;
}
