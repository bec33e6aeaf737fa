/*
 * address: what people write for an address to listen on, checked without
 * touching the network, so that a wrong one is found with the rest of the
 * configuration. Names are refused: looking them up could block.
 */
#include "config/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *start;
	enum listen_kind kind;
} schemes[] = {
	{"tcp://", LISTEN_TCP},
	{"udp://", LISTEN_UDP},
	{"unix://", LISTEN_UNIX},
	{"unix-dgram://", LISTEN_UNIX_DGRAM},
};

static bool
read_port(const char *text, uint16_t *ret_port)
{
	unsigned long port;
	size_t digits = strspn(text, "0123456789");

	if (digits == 0 || digits > 5 || text[digits] != '\0')
		return false;
	port = strtoul(text, NULL, 10);
	*ret_port = (uint16_t)port;
	return port <= UINT16_MAX;
}

/* A host of `size` bytes without brackets. */
static bool
read_host(const char *host, size_t size, struct address *address)
{
	char copy[INET6_ADDRSTRLEN];
	unsigned char bytes[sizeof(struct in6_addr)];
	int family = address->is_ipv6 ? AF_INET6 : AF_INET;

	address->host[0] = '\0';
	if (size >= sizeof(copy))
		return false;
	memcpy(copy, host, size);
	copy[size] = '\0';
	if (!address->is_ipv6 && (size == 0 || strcmp(copy, "*") == 0))
		return true;
	if (!address->is_ipv6 && strcmp(copy, "localhost") == 0)
		strcpy(copy, "127.0.0.1");
	if (inet_pton(family, copy, bytes) != 1 ||
		inet_ntop(family, bytes, address->host,
			sizeof(address->host)) == NULL)
		return false;
	if (strcmp(address->host, "::") == 0) {
		address->host[0] = '\0';
		address->is_ipv6 = false;
	}
	return true;
}

static void
write_text(struct address *address)
{
	const char *scheme = schemes[address->kind].start;

	if (address->path[0] != '\0')
		snprintf(address->text, sizeof(address->text), "%s%s", scheme,
			address->path);
	else if (address->host[0] == '\0' || address->is_ipv6)
		snprintf(address->text, sizeof(address->text), "%s[%s]:%u",
			scheme,
			address->is_ipv6 ? address->host : "::", address->port);
	else
		snprintf(address->text, sizeof(address->text), "%s%s:%u",
			scheme, address->host, address->port);
}

/* The path of a UNIX socket. Returns NULL, or what would be right. */
static const char *
read_path(const char *path, struct address *address)
{
	size_t size = strlen(path);

	if (path[0] != '/' || path[size - 1] == '/')
		return "a socket's path is absolute: unix:///run/app.sock";
	if (size >= sizeof(address->path))
		return "a socket's path has at most 107 bytes: the kernel "
		       "takes "
		       "no longer one";
	for (const char *c = path; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			return "a socket's path has no control characters";
	memcpy(address->path, path, size + 1);
	return NULL;
}

/*
 * Parts `text` into the host (without brackets) and the port behind it.
 * False: the brackets or colons are wrong.
 */
static bool
part(const char *text, bool is_ipv6, const char **ret_end,
	const char **ret_port)
{
	const char *end = strchr(text, is_ipv6 ? ']' : ':');

	if (end == NULL) { /* a port alone */
		*ret_end = *ret_port = text;
		return !is_ipv6;
	}
	*ret_end = end;
	end += is_ipv6;
	*ret_port = end + 1;
	return *end == ':';
}

/* HOST:PORT. Returns NULL, or what would be right. */
static const char *
read_internet(const char *host, struct address *address)
{
	const char *host_end, *port_text;

	address->is_ipv6 = host[0] == '[';
	host += address->is_ipv6;
	if (!part(host, address->is_ipv6, &host_end, &port_text))
		return "write 8080, 127.0.0.1:8080, [::1]:8080, one of these "
		       "behind tcp:// or udp://, or unix:///run/app.sock";
	if (strchr(port_text, ':') != NULL)
		return "an IPv6 address stands in brackets: [::1]:8080";
	if (!read_port(port_text, &address->port))
		return "a port is a number from 0 (any free one) to 65535";
	if (!read_host(host, (size_t)(host_end - host), address))
		return "the host must be a numeric address, localhost or *";
	return NULL;
}

int
address_read(
	const char *text, struct address *ret_address, const char **ret_reason)
{
	struct address address = {.kind = LISTEN_TCP};
	const char *reason, *rest = text;

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t size = strlen(schemes[i].start);

		if (strncmp(text, schemes[i].start, size) == 0) {
			address.kind = schemes[i].kind;
			rest = text + size;
			break;
		}
	}
	reason = address.kind == LISTEN_TCP || address.kind == LISTEN_UDP
			 ? read_internet(rest, &address)
			 : read_path(rest, &address);
	if (reason != NULL) {
		*ret_reason = reason;
		return -EINVAL;
	}
	write_text(&address);
	*ret_address = address;
	return 0;
}
