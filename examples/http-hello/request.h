/*
 * request.h: the head of an HTTP/1 request, from bytes to what this server
 * needs to know. No I/O and no memory of its own.
 */
#ifndef REQUEST_H
#define REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct request {
	size_t head_size;   /* bytes of the head, with its empty line */
	uint64_t body_size; /* bytes of the body behind it */
	bool is_get;
	bool is_head; /* the answer has no body */
	bool keep_alive;
	bool expects_continue;
};

/*
 * Looks at `size` bytes. Returns 1: a whole head, described in *ret_request;
 * 0: more is needed; or the negative status to answer with before closing:
 * -400 it makes no sense, -411 a body of unknown length, -505 not HTTP/1.
 */
int request_parse(const char *bytes, size_t size, struct request *ret_request);

#endif
