/*
 * report.h: the samples of a benchmark, and the two ways to print them.
 *
 * A figure is a series of samples of one contestant, one a round; its value is
 * their median. A line compares muster's figure with others' and, where a
 * target is set, says whether it was reached.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { REPORT_ROUNDS_MAX = 1000 };

struct figure {
	double *samples; /* grows; owned */
	size_t count;
};

void figure_add(struct figure *figure, double sample);
double figure_median(struct figure *figure); /* 0 without samples */
void figure_fini(struct figure *figure);

/*
 * A ratio and what is wanted of it: at least `target`, or with `at_most` at
 * most. target 0: nothing is wanted.
 */
struct goal {
	double ratio;
	double target;
	bool at_most;
};

/* Writes "0.72 (>= 0.60 reached)" or "-" where a side is missing (ratio 0). */
void goal_text(const struct goal *goal, char *ret_text, size_t size);

/* New reference: {"ratio","target","reached"}; null where ratio is 0. */
json_t *goal_json(const struct goal *goal);

/* "17.3 M", "812 k", "93": three digits for people. */
void report_number(double value, char *ret_text, size_t size);

/* Prints `json` to stdout and takes the reference. */
void report_print_json(json_t *json);

#endif
