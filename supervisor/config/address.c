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

static const char *const later[] = {"udp://", "unix://", "unix-dgram://"};

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
	if (address->host[0] == '\0' || address->is_ipv6)
		snprintf(address->text, sizeof(address->text), "tcp://[%s]:%u",
			address->is_ipv6 ? address->host : "::", address->port);
	else
		snprintf(address->text, sizeof(address->text), "tcp://%s:%u",
			address->host, address->port);
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

int
address_read(
	const char *text, struct address *ret_address, const char **ret_reason)
{
	const char *host, *host_end, *port_text;
	struct address address = {0};

	*ret_reason = "write 8080, 127.0.0.1:8080, [::1]:8080 or one of these "
		      "behind tcp://";
	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (strncmp(text, later[i], strlen(later[i])) == 0) {
			*ret_reason = "only TCP addresses (tcp://) can be "
				      "listened on so far";
			return -EINVAL;
		}
	host = strncmp(text, "tcp://", 6) == 0 ? text + 6 : text;
	address.is_ipv6 = host[0] == '[';
	host += address.is_ipv6;
	if (!part(host, address.is_ipv6, &host_end, &port_text))
		return -EINVAL;
	if (strchr(port_text, ':') != NULL) {
		*ret_reason = "an IPv6 address stands in brackets: [::1]:8080";
		return -EINVAL;
	}
	if (!read_port(port_text, &address.port)) {
		*ret_reason = "a port is a number from 0 (any free one) to "
			      "65535";
		return -EINVAL;
	}
	if (!read_host(host, (size_t)(host_end - host), &address)) {
		*ret_reason = "the host must be a numeric address, localhost "
			      "or *";
		return -EINVAL;
	}
	write_text(&address);
	*ret_address = address;
	return 0;
}
