/*
 * Listening sockets: opening them all or none, and words for what failed.
 *
 * Which sockets there are, and who inherits them, is fleet's business. Who
 * holds an address that is in use is mechanism/holder's.
 */
#include "mechanism/listener.h"

#include "base/sys.h"
#include "mechanism/holder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SHOWN_MAX = 100, /* bytes of an address that are repeated */
};

struct address {
	struct sockaddr_storage socket;
	socklen_t size;
	bool takes_both; /* IPv6 that accepts IPv4, too */
};

static int
say(char *ret_error, int error, const char *text, const char *why)
{
	snprintf(ret_error, LISTENER_ERROR_SIZE, "listen address %.*s: %s",
		SHOWN_MAX, text, why);
	return error;
}

static bool
set_four(struct address *ret, const char *host, uint16_t port)
{
	struct sockaddr_in four = {.sin_family = AF_INET};

	four.sin_port = htons(port);
	if (inet_pton(AF_INET, host, &four.sin_addr) != 1)
		return false;
	memset(ret, 0, sizeof(*ret));
	memcpy(&ret->socket, &four, sizeof(four));
	ret->size = sizeof(four);
	return true;
}

static bool
set_six(struct address *ret, const char *host, uint16_t port)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};

	six.sin6_port = htons(port);
	if (inet_pton(AF_INET6, host, &six.sin6_addr) != 1)
		return false;
	memset(ret, 0, sizeof(*ret));
	memcpy(&ret->socket, &six, sizeof(six));
	ret->size = sizeof(six);
	return true;
}

/* Whether another plan wants IPv4 connections of this port for itself. */
static bool
has_four(const struct listener_plan *plans, size_t count, uint16_t port)
{
	for (size_t i = 0; i < count; i++)
		if (port && plans[i].port == port && *plans[i].host &&
			!strchr(plans[i].host, ':'))
			return true;
	return false;
}

/* Why the kernel refused, and what to do. */
static void
explain(char *ret_error, const char *text, const struct address *address,
	const char *step, int error)
{
	char why[LISTENER_ERROR_SIZE - SHOWN_MAX - 32];
	char holder[HOLDER_TEXT_SIZE];

	const char *hint = "";

	if (error == -EADDRINUSE) {
		holder_find(&address->socket, holder);
		snprintf(why, sizeof(why),
			"%s%s%s; stop that program or choose another port",
			strerror(-error), *holder ? " by " : "", holder);
	} else {
		if (error == -EACCES)
			hint = "; a privileged port needs root or the "
			       "capability CAP_NET_BIND_SERVICE: choose a port "
			       "from 1024 up, or start as root";
		else if (error == -EADDRNOTAVAIL)
			hint = "; no interface of this machine has it";
		else if (error == -EAFNOSUPPORT)
			hint = "; is IPv6 turned off on this machine?";
		snprintf(why, sizeof(why), "%s: %s%s", step, strerror(-error),
			hint);
	}
	say(ret_error, error, text, why);
}

static int
open_address(const struct address *address, int backlog, int *ret_fd,
	const char **ret_step)
{
	int one = 1, six_only = !address->takes_both, fd, r;

	*ret_step = "socket";
	/* It is the workers' to accept from: a program that waits in accept()
	 * gets a socket that blocks, as it would from systemd; others change
	 * that themselves. */
	fd = sys_socket(address->socket.ss_family, SOCK_STREAM, 0);
	if (fd < 0)
		return fd;
	*ret_step = "setsockopt";
	r = sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (r >= 0 && address->socket.ss_family == AF_INET6)
		r = sys_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &six_only,
			sizeof(six_only));
	if (r >= 0) {
		*ret_step = "bind";
		r = sys_bind(fd, (const struct sockaddr *)&address->socket,
			address->size);
	}
	if (r >= 0) {
		*ret_step = "listen";
		r = sys_listen(fd, backlog ? backlog : LISTENER_BACKLOG);
	}
	if (r < 0) {
		sys_close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static int
open_one(const struct listener_plan *plan, bool six_only, int *ret_fd,
	char *ret_error)
{
	struct address address;
	const char *step;
	bool is_good;
	int r;

	if (!*plan->host)
		is_good = set_six(&address, "::", plan->port);
	else if (strchr(plan->host, ':'))
		is_good = set_six(&address, plan->host, plan->port);
	else
		is_good = set_four(&address, plan->host, plan->port);
	if (!is_good)
		return say(ret_error, -EINVAL, plan->address,
			"not a numeric address");
	address.takes_both = !*plan->host && !six_only;
	r = open_address(&address, plan->backlog, ret_fd, &step);
	if (address.takes_both && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)) {
		(void)set_four(&address, "0.0.0.0", plan->port);
		r = open_address(&address, plan->backlog, ret_fd, &step);
	}
	if (r < 0)
		explain(ret_error, plan->address, &address, step, r);
	return r;
}

int
listener_open(const struct listener_plan *plans, size_t count, int *ret_fds,
	char *ret_error)
{
	size_t done = 0;
	int r = 0;
	int *fds = calloc(count ? count : 1, sizeof(*fds));

	if (!fds)
		return say(ret_error, -ENOMEM, "", "out of memory");
	for (; done < count; done++) {
		r = open_one(&plans[done],
			has_four(plans, count, plans[done].port), &fds[done],
			ret_error);
		if (r < 0)
			break;
	}
	if (r < 0) {
		while (done)
			sys_close(fds[--done]);
	} else if (count) {
		memcpy(ret_fds, fds, count * sizeof(*fds));
	}
	free(fds);
	return r;
}

int
listener_text(int fd, char *ret_text)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	char host[INET6_ADDRSTRLEN];
	int r = sys_getsockname(fd, (struct sockaddr *)&address, &size);

	if (r < 0)
		return r;
	if (address.ss_family == AF_INET) {
		struct sockaddr_in *four = (struct sockaddr_in *)&address;

		inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host));
		snprintf(ret_text, LISTENER_TEXT_SIZE, "tcp://%s:%u", host,
			ntohs(four->sin_port));
	} else if (address.ss_family == AF_INET6) {
		struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;

		inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host));
		snprintf(ret_text, LISTENER_TEXT_SIZE, "tcp://[%s]:%u", host,
			ntohs(six->sin6_port));
	} else {
		return -EAFNOSUPPORT;
	}
	return 0;
}
