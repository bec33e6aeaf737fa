/*
 * client.c: sends datagrams from several ports and counts the answers by the
 * worker that gave them.
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

enum {
	PORTS = 16,
	WORKERS_MAX = 64,
	TRIES = 5, /* a datagram may be lost: it is sent again */
	WAIT_MS = 500,
};

static int
dial(const char *host, const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	address.sin_port = htons((uint16_t)atoi(port));
	if (fd < 0 || inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
		connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		return -1;
	return fd;
}

/* Returns the worker that answered `number`; -1: none did. */
static int
ask(int fd, int number)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};
	char text[32], answer[128];
	unsigned worker;
	int echoed;

	for (int i = 0; i < TRIES; i++) {
		snprintf(text, sizeof text, "%d", number);
		if (send(fd, text, strlen(text), 0) < 0)
			continue;
		while (poll(&one, 1, WAIT_MS) == 1) {
			ssize_t got = recv(fd, answer, sizeof answer - 1, 0);

			answer[got > 0 ? got : 0] = '\0';
			if (sscanf(answer, "worker %u: %d", &worker, &echoed) ==
					2 &&
				echoed == number && worker < WORKERS_MAX)
				return (int)worker;
		}
	}
	return -1;
}

int
main(int argc, char **argv)
{
	unsigned counts[WORKERS_MAX] = {0}, lost = 0;
	int fds[PORTS];
	int count = argc == 4 ? atoi(argv[3]) : 0;

	if (count < 1) {
		fputs("usage: udp-echo-client ADDRESS PORT COUNT\n", stderr);
		return 2;
	}
	for (int i = 0; i < PORTS; i++) {
		fds[i] = dial(argv[1], argv[2]);
		if (fds[i] < 0) {
			fprintf(stderr, "udp-echo-client: %s:%s: %s\n", argv[1],
				argv[2], strerror(errno));
			return 1;
		}
	}
	for (int i = 0; i < count; i++) {
		int worker = ask(fds[i % PORTS], i);

		if (worker < 0)
			lost++;
		else
			counts[worker]++;
	}
	for (int i = 0; i < WORKERS_MAX; i++)
		if (counts[i] > 0)
			printf("worker %d: %u\n", i, counts[i]);
	printf("lost: %u\n", lost);
	return lost > 0;
}
