/*
 * bare_server.c: the least that a prefork server can be: a loop of epoll and
 * one answer, forked so many times over one socket, or, as `bare_server PORT
 * WORKERS own`, each over one of its own (SO_REUSEPORT). It parses nothing and
 * ends with its parent.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	EVENTS_MAX = 64,
	ACCEPTS = 16, /* then the socket joins the end of the queue again */
};

#define HEAD                                                                   \
	"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: "      \
	"32\r\n"
#define BODY "\r\nhello from worker 0 (pid 123456)"

static const char last[] = HEAD "Connection: close\r\n" BODY;
static const char next[] = HEAD BODY;

static void
watch(int epoll, int operation, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};

	epoll_ctl(epoll, operation, fd, &event);
}

static void
accept_one(int epoll, int listener)
{
	static int accepted;
	int yes = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

	if (fd < 0)
		return;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
	if (++accepted % ACCEPTS != 0)
		return;
	watch(epoll, EPOLL_CTL_DEL, listener, 0);
	watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLEXCLUSIVE);
}

static void
answer(int fd)
{
	char bytes[4096];
	ssize_t got = recv(fd, bytes, sizeof(bytes) - 1, 0);
	int ends;

	bytes[got > 0 ? got : 0] = '\0';
	ends = got <= 0 || strstr(bytes, "close") != NULL;
	if (got > 0)
		(void)!send(fd, ends ? last : next,
			ends ? sizeof(last) - 1 : sizeof(next) - 1,
			MSG_NOSIGNAL);
	if (ends)
		close(fd);
}

static void
serve(int listener)
{
	struct epoll_event events[EVENTS_MAX];
	int epoll = epoll_create1(0);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLEXCLUSIVE);
	for (;;) {
		int count = epoll_wait(epoll, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listener)
				accept_one(epoll, listener);
			else
				answer(events[i].data.fd);
		}
	}
}

static int
open_socket(const char *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	address.sin_port = htons((uint16_t)atoi(port));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, 511) < 0) {
		perror("bare_server");
		exit(1);
	}
	return fd;
}

int
main(int argc, char **argv)
{
	int fd = -1;

	if (argc < 3)
		return 2;
	if (argc == 3)
		fd = open_socket(argv[1]);
	for (int i = 0; i < atoi(argv[2]); i++)
		if (fork() == 0)
			serve(fd < 0 ? open_socket(argv[1]) : fd);
	while (wait(NULL) > 0)
		;
	return 0;
}
