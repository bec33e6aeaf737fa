/*
 * address.h: the addresses that the key `listen` takes, in one canonical form.
 * Opening them is mechanism/listener's.
 */
#ifndef MUSTER_ADDRESS_H
#define MUSTER_ADDRESS_H

#include "config/config.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	ADDRESS_PATH_SIZE = 108, /* of a UNIX socket's path, with its NUL */
	ADDRESS_TEXT_SIZE = 128,
};

struct address {
	enum listen_kind kind;
	char text[ADDRESS_TEXT_SIZE]; /* canonical: tcp://127.0.0.1:8080 */
	char host[INET6_ADDRSTRLEN];  /* numeric; "": every address */
	char path[ADDRESS_PATH_SIZE]; /* of a UNIX socket, absolute; or "" */
	uint16_t port;		      /* 0: any free one */
	bool is_ipv6;		      /* `host` is one */
};

/*
 * Reads `8080`, `*:8080`, `127.0.0.1:8080`, `localhost:8080`, `[::1]:8080`,
 * each also behind tcp:// or udp://, and unix:///PATH and unix-dgram:///PATH. A
 * port alone, * and [::] are every address of IPv4 and IPv6.
 * Returns 0 or -EINVAL; then `ret_reason` is set to a static sentence that
 * says what would be right.
 */
int address_read(
	const char *text, struct address *ret_address, const char **ret_reason);

#endif
