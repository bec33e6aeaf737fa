/*
 * replace: bounds, moved by a number that a process has for ever, so that each
 * brain decides the same.
 */
#include "policy/replace.h"

enum {
	PAUSE_FIRST_MS = 10000,
	PAUSE_MOST_MS = 300000,
};

/* `bound`, moved by -10 % to +10 % (splitmix64 of the number). */
static uint64_t
move(uint64_t bound, uint64_t process)
{
	uint64_t x = process + UINT64_C(0x9e3779b97f4a7c15);

	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	x ^= x >> 31;
	return bound - bound / 10 + x % (bound / 5 + 1);
}

enum replace_reason
replace_decide(
	const struct replace_rules *rules, const struct replace_facts *facts)
{
	uint64_t age = facts->age_ms > 0 ? (uint64_t)facts->age_ms : 0;

	if (rules->memory && facts->memory > rules->memory)
		return REPLACE_MEMORY;
	if (rules->lifetime_ms > 0 &&
		age >= move((uint64_t)rules->lifetime_ms, facts->process))
		return REPLACE_LIFETIME;
	if (rules->requests &&
		facts->requests >= move(rules->requests, facts->process))
		return REPLACE_REQUESTS;
	return REPLACE_NONE;
}

int64_t
replace_pause_ms(uint32_t failures)
{
	int64_t pause = PAUSE_FIRST_MS;

	while (failures-- > 1 && pause < PAUSE_MOST_MS)
		pause *= 2;
	return pause < PAUSE_MOST_MS ? pause : PAUSE_MOST_MS;
}
