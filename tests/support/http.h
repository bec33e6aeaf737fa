/*
 * http.h: a client that counts, for tests of reloads and deaths under load.
 *
 * Works with any server that answers with Content-Length; what it calls a
 * failure is what a browser or proxy would show to its user.
 */
#ifndef TEST_HTTP_H
#define TEST_HTTP_H

#include <stdbool.h>
#include <stddef.h>

/* A blocking connection to a port of 127.0.0.1; -1 with errno. */
int http_connect(int port);

/*
 * One GET on the connection; the body, cut to `size`, in `ret_body`.
 * Returns the status code; 0: the server hung up before the first byte of an
 * answer; -1: the answer broke off or was no HTTP. `*ret_open` tells whether
 * the connection stays open.
 */
int http_get(
	int fd, const char *path, char *ret_body, size_t size, bool *ret_open);

struct load_counts {
	unsigned long good, failed;
	char first_failure[128];
};

struct load;

/*
 * Starts `threads` threads that ask the port for `path` without a pause; with
 * `keep_alive` on one connection as long as the server lets them. A connection
 * that had been used and was closed before an answer began is opened again and
 * the request repeated, as every client does (RFC 9112, 9.3.1).
 */
struct load *load_start(
	int port, int threads, const char *path, bool keep_alive);

/* Waits until `count` more requests were answered; false: 20 s were over. */
bool load_wait(struct load *load, unsigned long count);

/* Ends the threads, fills in what they counted, and frees. */
void load_stop(struct load *load, struct load_counts *ret_counts);

#endif
