/*
 * schedule: a random number generator (xorshift64*, seeded) and a table of
 * weights. What a fault does is in soak_test.c.
 */
#include "schedule.h"

#include <stdlib.h>

static const struct {
	const char *name;
	unsigned weight;
	int ms_least, ms_most;
} kinds[FAULT_KINDS] = {
	[FAULT_KILL_TALKER] = {"kill a talker", 4, 0, 0},
	[FAULT_KILL_SERVER] = {"kill a server", 3, 0, 0},
	[FAULT_KILL_ROGUE] = {"kill a rogue", 2, 0, 0},
	[FAULT_KILL_BRAIN] = {"kill the brain", 6, 0, 0},
	[FAULT_KILL_BRAIN_TWICE] = {"kill two brains", 2, 0, 0},
	[FAULT_KILL_BRAIN_AND_TALKER] = {"kill brain and talker", 2, 0, 0},
	[FAULT_STOP_TALKER] = {"stop a talker", 3, 50, 800},
	[FAULT_STOP_SERVER] = {"stop a server", 2, 50, 500},
	[FAULT_STOP_BRAIN] = {"stop the brain", 2, 50, 300},
	[FAULT_RELOAD_TALKERS] = {"reload the talkers", 3, 0, 0},
	[FAULT_RELOAD_SERVERS] = {"reload the servers", 2, 0, 0},
	[FAULT_RELOAD_BAD] = {"reload a bad version", 2, 0, 0},
	[FAULT_RELOAD_BROKEN] = {"reload a broken file", 1, 0, 0},
	[FAULT_FEW_DESCRIPTORS] = {"few descriptors", 2, 50, 500},
	[FAULT_FLOOD] = {"flood", 2, 100, 400},
};

const char *
fault_name(enum fault_kind kind)
{
	return kinds[kind].name;
}

void
schedule_init(struct schedule *schedule, uint64_t seed)
{
	schedule->state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

static uint32_t
draw(struct schedule *schedule, uint32_t below)
{
	uint64_t x = schedule->state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	schedule->state = x;
	return (uint32_t)((x * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % below;
}

static enum fault_kind
draw_kind(struct schedule *schedule)
{
	unsigned all = 0;
	int kind = 0;

	for (int i = 0; i < FAULT_KINDS; i++)
		all += kinds[i].weight;
	for (unsigned at = draw(schedule, all); at >= kinds[kind].weight;
		kind++)
		at -= kinds[kind].weight;
	return (enum fault_kind)kind;
}

static int
compare(const void *a, const void *b)
{
	const struct fault *x = a, *y = b;

	return (x->at_ms > y->at_ms) - (x->at_ms < y->at_ms);
}

size_t
schedule_round(
	struct schedule *schedule, int round_ms, struct fault *ret_faults)
{
	size_t count = 3 + draw(schedule, SCHEDULE_FAULTS_MAX - 6);

	for (size_t i = 0; i < count; i++) {
		struct fault *fault = &ret_faults[i];
		fault->at_ms = (int)draw(schedule, (uint32_t)round_ms);
		fault->kind = draw_kind(schedule);
		fault->target = draw(schedule, 64);
		int spread = kinds[fault->kind].ms_most -
			     kinds[fault->kind].ms_least;
		fault->ms = kinds[fault->kind].ms_least +
			    (int)draw(schedule, (uint32_t)spread + 1);
	}
	qsort(ret_faults, count, sizeof(*ret_faults), compare);
	return count;
}
