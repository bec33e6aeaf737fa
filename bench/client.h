/*
 * client.h: an HTTP client that counts: every request ends in exactly one
 * column, and every failure in the column of its reason.
 *
 * For benchmarks and tests. It runs in a process of its own, one thread, one
 * epoll loop; its columns lie in memory that both share, so that its user sees
 * them grow. A client has lanes, each with a way of asking and columns of its
 * own. For each lane, when it has ended:
 *
 *	asked == good + all of failed[] + of_killed
 *
 * It knows answers with a Content-Length and no other coding.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum client_kind {
	CLIENT_KEPT,	  /* connections are used as long as they live */
	CLIENT_SHORT,	  /* one a request, asked for with Connection: close */
	CLIENT_PIPELINED, /* kept, with CLIENT_DEPTH requests in one write */
	CLIENT_SLOW,	  /* kept; answers are read a few bytes at a time */
	CLIENT_KINDS
};

enum client_failure {
	CLIENT_REFUSED,	  /* no connection could be made */
	CLIENT_RESET,	  /* the first request of a connection got a RST */
	CLIENT_HUNG_UP,	  /* the same, with an orderly end */
	CLIENT_HALF,	  /* an answer had begun and broke off */
	CLIENT_TIMED_OUT, /* no whole answer in time; also no connection */
	CLIENT_WRONG,	  /* not 200, no HTTP, or not the body expected */
	CLIENT_FAILURES
};

enum {
	CLIENT_DEPTH = 8,
	CLIENT_LANES_MAX = 8,
	CLIENT_CONNECTIONS_MAX = 1024, /* of all lanes */
	CLIENT_WORKERS_MAX = 64,
};

struct client_lane {
	const char *address; /* "127.0.0.1:8080" or "unix:///path" */
	enum client_kind kind;
	unsigned connections;
	double rate;	/* requests a second, due whether or not the last was
			 * answered late; 0: each as soon as the one before it
			 * was answered */
	int timeout_ms; /* of one request; 0: 10 s */
	const char *expect; /* how each body begins; NULL: anyhow */
	uint64_t limit;	    /* requests, then the lane ends; 0: none */
};

struct client_counts {
	uint64_t asked;
	uint64_t good;
	uint64_t failed[CLIENT_FAILURES];
	/* Requests that ended because of a connection of client_killed. */
	uint64_t of_killed;
	/*
	 * Not failed, since they were sent again and counted by how that ended:
	 * behind a last answer that said Connection: close; and on a used
	 * connection that was closed, without such a word, before a byte of
	 * the answer came, while the request was on its way (RFC 9112, 9.3.1).
	 */
	uint64_t repeated_after_last;
	uint64_t repeated_after_idle;
	/* Used connections that were closed, without a word, while nothing was
	 * under way. */
	uint64_t closed_idle;
	uint64_t connections; /* made */
	uint64_t waited; /* to connect: the queue of a UNIX socket was full, or
			  * no port was free on our side */
	uint64_t longest_us; /* of one request, from when it was due */
	/* Good ones by the worker that the body names ("… worker 3 (pid …"). */
	uint64_t by_worker[CLIENT_WORKERS_MAX];
};

struct client;

/*
 * Starts the process. The lanes are copied, their texts are borrowed for the
 * call. Returns NULL with errno: EINVAL for an address, a kind or too many
 * connections; or what fork and mmap say.
 */
struct client *client_start(const struct client_lane *lanes, size_t count);

/* What the columns of a lane are now; client_stop gives the last. */
void client_read(const struct client *client, size_t lane,
	struct client_counts *ret_counts);

/* Waits until so many more requests of the lane were good; false: not within
 * `patience_ms`, or the process has ended. */
bool client_wait(
	struct client *client, size_t lane, uint64_t more, int patience_ms);

/*
 * The server's end of the connection from this port of ours is about to be
 * killed: what it costs is counted apart. Call it when the server can't take
 * another connection any more, and before it ends.
 */
void client_killed(struct client *client, uint16_t port);

/*
 * Lets each request under way come to its end, asks no more, and ends the
 * process. Frees, and sets the pointer to NULL. Fills in the columns of the
 * lanes, as many as were started. Returns false: the process died.
 */
bool client_stop(struct client **client, struct client_counts *ret_counts);

/* The sum of failed[]. */
uint64_t client_failed(const struct client_counts *counts);

/* "12 refused, 3 half"; "nothing" where all are 0. */
void client_text(
	const struct client_counts *counts, char *ret_text, size_t size);

/* The name of a kind: "kept", "short", "pipelined", "slow". */
const char *client_kind_name(enum client_kind kind);

#endif
