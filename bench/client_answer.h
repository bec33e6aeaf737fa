/*
 * client_answer.h: where an HTTP answer ends and what it says. Pure.
 */
#ifndef BENCH_CLIENT_ANSWER_H
#define BENCH_CLIENT_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

struct client_answer {
	size_t size; /* of all of it */
	int status;
	bool is_last; /* the server closes behind it */
	const char *body;
	size_t body_size;
};

/*
 * Looks at `size` bytes with a NUL behind them. Returns 1: an answer is whole
 * and described in *ret_answer (its texts lie in `bytes`); 0: more is needed;
 * -1: this is no answer.
 */
int client_answer_parse(
	const char *bytes, size_t size, struct client_answer *ret_answer);

/* The number behind "worker " in a body, 0 where there is none. */
unsigned client_answer_worker(const struct client_answer *answer);

#endif
