/*
 * Listening sockets: reading addresses, opening, and words for what failed.
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
	HOST_MAX = 64,
	SHOWN_MAX = 100, /* bytes of a bad address that are repeated */
};

static int
say(char *ret_error, int error, const char *text, const char *why)
{
	snprintf(ret_error, LISTENER_ERROR_SIZE, "listen address '%.*s': %s",
		SHOWN_MAX, text, why);
	return error;
}

/* A port in decimal digits, and nothing else. */
static bool
parse_port(const char *text, uint16_t *ret_port)
{
	unsigned long port = 0;

	if (!*text || strlen(text) > 5)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		port = port * 10 + (unsigned long)(*text - '0');
	}
	if (port > 65535)
		return false;
	*ret_port = (uint16_t)port;
	return true;
}

static bool
set_address(struct listener_address *ret, const char *host, bool is_six,
	uint16_t port)
{
	struct sockaddr_in four = {.sin_family = AF_INET};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};

	memset(ret, 0, sizeof(*ret));
	if (is_six) {
		six.sin6_port = htons(port);
		if (inet_pton(AF_INET6, host, &six.sin6_addr) != 1)
			return false;
		memcpy(&ret->socket, &six, sizeof(six));
		ret->size = sizeof(six);
		return true;
	}
	four.sin_port = htons(port);
	if (!*host || !strcmp(host, "*"))
		host = "0.0.0.0";
	else if (!strcmp(host, "localhost"))
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, &four.sin_addr) != 1)
		return false;
	memcpy(&ret->socket, &four, sizeof(four));
	ret->size = sizeof(four);
	return true;
}

int
listener_parse(
	const char *text, struct listener_address *ret_address, char *ret_error)
{
	const char *rest = text, *colon, *scheme = strstr(text, "://");
	char host[HOST_MAX] = "";
	bool is_six = *text == '[';
	size_t size;
	uint16_t port;

	if (scheme) {
		if (strncmp(text, "tcp://", 6))
			return say(ret_error, -ENOTSUP, text,
				"only tcp:// is supported so far");
		rest = scheme + 3;
		is_six = *rest == '[';
	}
	colon = strrchr(rest, ':');
	if (!scheme && strspn(rest, "0123456789") == strlen(rest))
		colon = NULL;
	else if (!colon || (is_six && colon[-1] != ']'))
		return say(ret_error, -EINVAL, text,
			"the port is missing; write it as 127.0.0.1:8080, "
			"[::1]:8080 or 8080");
	if (!parse_port(colon ? colon + 1 : rest, &port))
		return say(ret_error, -EINVAL, text,
			"the port must be a number from 0 to 65535");
	if (colon) {
		size = (size_t)(colon - rest) - (is_six ? 2 : 0);
		if (size >= sizeof(host))
			return say(ret_error, -EINVAL, text,
				"the address is too long");
		memcpy(host, rest + is_six, size);
		host[size] = '\0';
	}
	if (!is_six && strchr(host, ':'))
		return say(ret_error, -EINVAL, text,
			"write an IPv6 address in brackets: [::1]:8080");
	if (!set_address(ret_address, host, is_six, port))
		return say(ret_error, -EINVAL, text,
			"not an address; names other than localhost aren't "
			"looked up, write the number");
	return 0;
}

/* Why the kernel refused, and what to do. */
static void
explain(char *ret_error, const char *text,
	const struct listener_address *address, const char *step, int error)
{
	char why[LISTENER_ERROR_SIZE - SHOWN_MAX - 32];
	char holder[HOLDER_TEXT_SIZE];

	switch (-error) {
	case EADDRINUSE:
		holder_find(&address->socket, holder);
		snprintf(why, sizeof(why),
			"already in use%s%s; stop that program or choose "
			"another port",
			*holder ? " by " : "", holder);
		break;
	case EACCES:
		snprintf(why, sizeof(why),
			"not permitted: a privileged port needs root or the "
			"capability CAP_NET_BIND_SERVICE; choose a port from "
			"1024 up, or start as root");
		break;
	case EADDRNOTAVAIL:
		snprintf(why, sizeof(why),
			"no interface of this machine has that address");
		break;
	case EAFNOSUPPORT:
		snprintf(why, sizeof(why),
			"this machine has no such protocol (is IPv6 off?)");
		break;
	default:
		snprintf(why, sizeof(why), "%s: %s", step, strerror(-error));
	}
	say(ret_error, error, text, why);
}

static int
open_one(const struct listener_plan *plan, int *ret_fd, char *ret_error)
{
	struct listener_address address;
	const char *step = "socket";
	int one = 1, fd, r;

	r = listener_parse(plan->address, &address, ret_error);
	if (r < 0)
		return r;
	fd = sys_socket(
		address.socket.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	r = fd;
	if (fd < 0)
		goto fail;
	step = "setsockopt";
	r = sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (r >= 0 && address.socket.ss_family == AF_INET6)
		r = sys_setsockopt(
			fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (r < 0)
		goto fail;
	step = "bind";
	r = sys_bind(fd, (struct sockaddr *)&address.socket, address.size);
	if (r < 0)
		goto fail;
	step = "listen";
	r = sys_listen(fd, plan->backlog ? plan->backlog : LISTENER_BACKLOG);
	if (r < 0)
		goto fail;
	*ret_fd = fd;
	return 0;
fail:
	if (fd >= 0)
		sys_close(fd);
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
		r = open_one(&plans[done], &fds[done], ret_error);
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
