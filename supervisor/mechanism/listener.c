/*
 * Opening sockets, all or none, and words for what failed.
 *
 * Which sockets there are, and who inherits them, is fleet's business. Who
 * holds an address that is in use is mechanism/holder's; the files of UNIX
 * sockets are listener_unix.c's.
 */
#include "mechanism/listener.h"

#include "base/sys.h"
#include "mechanism/holder.h"
#include "mechanism/listener_unix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	SHOWN_MAX = 120, /* bytes of an address that are repeated */
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

static bool
is_unix(const struct listen_config *config)
{
	return config->kind == LISTEN_UNIX || config->kind == LISTEN_UNIX_DGRAM;
}

static bool
is_stream(const struct listen_config *config)
{
	return config->kind == LISTEN_TCP || config->kind == LISTEN_UNIX;
}

/* Whether another plan wants the IPv4 side of this port for itself. */
static bool
has_four(const struct listener_plan *plans, size_t count,
	const struct listen_config *config)
{
	for (size_t i = 0; i < count; i++) {
		const struct listen_config *other = plans[i].config;

		if (config->port && other->kind == config->kind &&
			other->port == config->port && *other->host &&
			!strchr(other->host, ':'))
			return true;
	}
	return false;
}

/* What to do about an errno, in words that follow the error's; or "". */
static const char *
hint_of(const struct listen_config *config, int error)
{
	switch (error) {
	case -EACCES:
		return is_unix(config)
			       ? "; its folder can't be written to"
			       : "; a privileged port needs root or the "
				 "capability CAP_NET_BIND_SERVICE: choose a "
				 "port from 1024 up, or start as root";
	case -EADDRNOTAVAIL:
		return "; no interface of this machine has it";
	case -EAFNOSUPPORT:
		return "; is IPv6 turned off on this machine?";
	case -ENOENT:
		return "; its folder doesn't exist: make it first";
	case -EPERM:
		return "; only root can give a socket to others";
	default:
		return "";
	}
}

/* Why the kernel refused, and what to do. */
static void
explain(char *ret_error, const struct listen_config *config,
	const struct address *address, const char *step, int error)
{
	char why[LISTENER_ERROR_SIZE - SHOWN_MAX - 32];
	char holder[HOLDER_TEXT_SIZE];

	if (error == -EADDRINUSE) {
		holder_find(&address->socket,
			is_stream(config) ? SOCK_STREAM : SOCK_DGRAM, holder);
		snprintf(why, sizeof(why),
			"%s%s%s; stop that program or choose another %s",
			strerror(-error), *holder ? " by " : "", holder,
			is_unix(config) ? "path" : "port");
	} else if (error == -EEXIST) {
		snprintf(why, sizeof(why),
			"there is a file of that name that is no socket; "
			"remove it or choose another path");
	} else {
		snprintf(why, sizeof(why), "%s: %s%s", step, strerror(-error),
			hint_of(config, error));
	}
	say(ret_error, error, config->address, why);
}

/* Options that have to be there before the bind. */
static int
set_options(
	int fd, const struct listener_plan *plan, const struct address *address)
{
	int one = 1, six_only = !address->takes_both, r = 0;

	/* Of UDP it would let others take datagrams away. */
	if (plan->config->kind == LISTEN_TCP)
		r = sys_setsockopt(
			fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (r >= 0 && plan->shares_port)
		r = sys_setsockopt(
			fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (r >= 0 && address->socket.ss_family == AF_INET6)
		r = sys_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &six_only,
			sizeof(six_only));
	return r;
}

/* Whether a port that is to be shared is free: others of this user that share
 * theirs would let us in, and take connections away. */
static int
probe(const struct listener_plan *plan, const struct address *address)
{
	struct listener_plan alone = *plan;
	int r, fd = sys_socket(address->socket.ss_family,
		       is_stream(plan->config) ? SOCK_STREAM : SOCK_DGRAM, 0);

	if (fd < 0)
		return fd;
	alone.shares_port = false;
	r = set_options(fd, &alone, address);
	if (r >= 0)
		r = sys_bind(fd, (const struct sockaddr *)&address->socket,
			address->size);
	sys_close(fd);
	return r;
}

static int
open_address(const struct listener_plan *plan, const struct address *address,
	int *ret_fd, const char **ret_step)
{
	const struct listen_config *config = plan->config;
	int fd, r;

	*ret_step = "socket";
	/* It is the workers' to accept from: a program that waits in accept()
	 * gets a socket that blocks, as it would from systemd; others change
	 * that themselves. */
	fd = sys_socket(address->socket.ss_family,
		is_stream(config) ? SOCK_STREAM : SOCK_DGRAM, 0);
	if (fd < 0)
		return fd;
	*ret_step = "setsockopt";
	r = set_options(fd, plan, address);
	if (r >= 0 && plan->shares_port) {
		*ret_step = "bind";
		r = probe(plan, address);
	}
	if (r >= 0 && is_unix(config)) {
		r = listener_unix_bind(fd, config, ret_step);
	} else if (r >= 0) {
		*ret_step = "bind";
		r = sys_bind(fd, (const struct sockaddr *)&address->socket,
			address->size);
	}
	if (r >= 0 && is_stream(config)) {
		*ret_step = "listen";
		r = sys_listen(fd, config->backlog);
		if (r < 0 && is_unix(config))
			(void)sys_unlink(config->path);
	}
	if (r < 0) {
		sys_close(fd);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

static bool
set_address(
	const struct listener_plan *plan, bool six_only, struct address *ret)
{
	const struct listen_config *config = plan->config;
	uint16_t port = plan->port ? plan->port : config->port;
	struct sockaddr_un local;

	if (is_unix(config)) {
		local = listener_unix_address(config->path);
		memset(ret, 0, sizeof(*ret));
		memcpy(&ret->socket, &local, sizeof(local));
		ret->size = sizeof(local);
		return true;
	}
	if (*config->host && !strchr(config->host, ':'))
		return set_four(ret, config->host, port);
	if (!set_six(ret, *config->host ? config->host : "::", port))
		return false;
	ret->takes_both = config->ipv6_only == CONFIG_UNSET
				  ? !*config->host && !six_only
				  : !config->ipv6_only;
	return true;
}

static int
open_one(const struct listener_plan *plan, bool six_only, int *ret_fd,
	char *ret_error)
{
	const struct listen_config *config = plan->config;
	struct address address;
	const char *step;
	int r;

	if (plan->given) {
		*ret_fd = plan->given;
		return 0;
	}
	if (!set_address(plan, six_only, &address))
		return say(ret_error, -EINVAL, config->address,
			"not a numeric address");
	r = open_address(plan, &address, ret_fd, &step);
	if (address.takes_both && !*config->host &&
		(r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)) {
		(void)set_four(&address, "0.0.0.0",
			plan->port ? plan->port : config->port);
		r = open_address(plan, &address, ret_fd, &step);
	}
	if (r < 0)
		explain(ret_error, config, &address, step, r);
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
			has_four(plans, count, plans[done].config), &fds[done],
			ret_error);
		if (r < 0)
			break;
	}
	if (r < 0) {
		while (done) {
			done--;
			if (is_unix(plans[done].config) && !plans[done].given)
				(void)sys_unlink(plans[done].config->path);
			sys_close(fds[done]);
		}
	} else if (count) {
		memcpy(ret_fds, fds, count * sizeof(*fds));
	}
	free(fds);
	return r;
}

/* Gives a new socket what `fd` has. */
static int
copy_options(int fd, int twin, bool is_six, bool is_tcp)
{
	int one = 1, six_only;
	socklen_t size = sizeof(six_only);
	int r = sys_setsockopt(
		twin, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));

	if (r >= 0 && is_tcp)
		r = sys_setsockopt(
			twin, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (r < 0 || !is_six)
		return r;
	r = sys_getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &six_only, &size);
	return r < 0 ? r
		     : sys_setsockopt(twin, IPPROTO_IPV6, IPV6_V6ONLY,
			       &six_only, sizeof(six_only));
}

int
listener_open_twin(int fd, int backlog)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address), type_size = sizeof(int);
	int type, twin;
	int r = sys_getsockname(fd, (struct sockaddr *)&address, &size);

	if (r >= 0)
		r = sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size);
	if (r < 0)
		return r;
	twin = sys_socket(address.ss_family, type, 0);
	if (twin < 0)
		return twin;
	r = copy_options(
		fd, twin, address.ss_family == AF_INET6, type == SOCK_STREAM);
	if (r >= 0)
		r = sys_bind(twin, (const struct sockaddr *)&address, size);
	if (r >= 0 && type == SOCK_STREAM)
		r = sys_listen(twin, backlog);
	if (r >= 0)
		return twin;
	sys_close(twin);
	return r;
}

int
listener_text(int fd, char *ret_text)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address), type_size = sizeof(int);
	char host[INET6_ADDRSTRLEN];
	int type, r = sys_getsockname(fd, (struct sockaddr *)&address, &size);

	if (r >= 0)
		r = sys_getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_size);
	if (r < 0)
		return r;
	if (type != SOCK_STREAM && type != SOCK_DGRAM)
		return -EAFNOSUPPORT;
	if (address.ss_family == AF_INET) {
		struct sockaddr_in *four = (struct sockaddr_in *)&address;

		inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host));
		snprintf(ret_text, LISTENER_TEXT_SIZE, "%s://%s:%u",
			type == SOCK_STREAM ? "tcp" : "udp", host,
			ntohs(four->sin_port));
	} else if (address.ss_family == AF_INET6) {
		struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;

		inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host));
		snprintf(ret_text, LISTENER_TEXT_SIZE, "%s://[%s]:%u",
			type == SOCK_STREAM ? "tcp" : "udp", host,
			ntohs(six->sin6_port));
	} else if (address.ss_family == AF_UNIX) {
		struct sockaddr_un *local = (struct sockaddr_un *)&address;

		if (size <= offsetof(struct sockaddr_un, sun_path) ||
			local->sun_path[0] != '/')
			return -EAFNOSUPPORT;
		snprintf(ret_text, LISTENER_TEXT_SIZE, "%s://%.*s",
			type == SOCK_STREAM ? "unix" : "unix-dgram",
			(int)sizeof(local->sun_path), local->sun_path);
	} else {
		return -EAFNOSUPPORT;
	}
	return 0;
}

struct listener_file
listener_find_file(const char *path)
{
	struct listener_file file = {0};
	struct stat stat;

	if (*path && sys_lstat(path, &stat) >= 0 && S_ISSOCK(stat.st_mode)) {
		file.device = stat.st_dev;
		file.inode = stat.st_ino;
	}
	return file;
}

void
listener_remove_file(const char *path, const struct listener_file *file)
{
	struct listener_file there = listener_find_file(path);

	if (there.inode && there.inode == file->inode &&
		there.device == file->device)
		(void)sys_unlink(path);
}
