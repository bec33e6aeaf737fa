/*
 * topics.c: how long the supervisor looks for a topic's subscribers, by how
 * many subscriptions there are. The trie alone: what a publish costs as a whole
 * is a case of relay.
 */
#include "measure.h"
#include "protocol/topic_trie.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	ROUNDS = 5,
	TOPICS = 1024, /* of different names, in turn */
	FEWEST = 10,
	MOST = 1000000,
	COUNTED = 10000, /* the number that the target names … */
	SMALL = 100,	 /* … and what it is compared with */
};

#define TARGET 3.0 /* times: cold caches are part of it */

struct bench {
	struct topic_trie trie;
	struct topic_entry *entries;
	unsigned count;
	unsigned long found;
};

static void
on_found(void *context, struct topic_entry *entry)
{
	struct bench *bench = context;

	(void)entry;
	bench->found++;
}

/* Half of them have a star; four match each topic. */
static void
subscribe(struct bench *bench, unsigned count)
{
	static const char *const shapes[] = {"shop.%u.order.paid",
		"shop.%u.*.paid", "shop.%u.order.*", "shop.%u.>"};
	char pattern[64];

	for (; bench->count < count; bench->count++) {
		snprintf(pattern, sizeof pattern, shapes[bench->count % 4],
			bench->count / 4);
		if (topic_trie_add(&bench->trie, pattern, strlen(pattern),
			    &bench->entries[bench->count]) < 0)
			measure_fail("no memory");
	}
}

static double
measure(struct bench *bench, unsigned matches)
{
	static char topics[TOPICS][32];
	unsigned groups = bench->count / 4 > 0 ? bench->count / 4 : 1;
	uint64_t start;

	for (unsigned i = 0; i < TOPICS; i++)
		snprintf(topics[i], sizeof topics[i], "shop.%u.order.paid",
			i * 2654435761u % groups);
	start = measure_now();
	for (unsigned i = 0; i < matches; i++) {
		const char *topic = topics[i % TOPICS];

		topic_trie_match(
			&bench->trie, topic, strlen(topic), on_found, bench);
	}
	return (double)(measure_now() - start) / matches;
}

int
main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{"quick", no_argument, NULL, 'q'}, {NULL, 0, NULL, 0}};
	struct bench bench = {.count = 0};
	unsigned matches = 1000000;
	double small = 0, counted = 0;
	int option;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) !=
		-1) {
		if (option != 'q') {
			fprintf(stderr, "usage: topics [--quick]\n");
			return 2;
		}
		matches = 20000;
	}
	bench.entries = calloc(MOST, sizeof *bench.entries);
	if (bench.entries == NULL ||
		topic_trie_init(&bench.trie, UINT32_MAX) < 0)
		measure_fail("no memory");
	printf("%14s %16s\n", "subscriptions", "ns a match");
	for (unsigned count = FEWEST; count <= MOST; count *= 10) {
		double samples[ROUNDS], median;

		subscribe(&bench, count);
		for (int i = 0; i < ROUNDS; i++)
			samples[i] = measure(&bench, matches);
		median = measure_median(samples, ROUNDS);
		if (count == SMALL)
			small = median;
		if (count == COUNTED)
			counted = median;
		printf("%14u %16.0f\n", count, median);
	}
	if (bench.found == 0)
		measure_fail("nothing was found");
	printf("10,000 against 100: %.2f times (wanted: at most %.0f)\n",
		counted / small, TARGET);
	topic_trie_fini(&bench.trie);
	free(bench.entries);
	return counted / small <= TARGET ? 0 : 1;
}
