/*
 * The brain dies at every point of its work, and again while it recovers:
 * nothing is lost, nothing comes twice, the order holds, and each request ends
 * once. Fault book: E (messages), K (the brain's death).
 */
#include "crash_walk.h"

#include "base/clock.h"
#include "protocol/frame.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WALK_BUDGET_MS = 30000 };

struct script {
	void (*run)(struct walk *walk);
	void (*check)(struct walk *walk);
};

static struct walk walk;

static uint32_t
delivered(uint32_t number)
{
	uint32_t sum = 0;

	for (int slot = 1; slot <= WALK_WORKERS; slot++)
		sum += walk.fates[number].delivered[slot];
	return sum;
}

static void
blame(const char *text, uint32_t number)
{
	if (walk.fault[0] == '\0')
		(void)snprintf(walk.fault, sizeof walk.fault,
			"%s: %u (%u times delivered, %u answered, %u failed "
			"%s)",
			text, number, delivered(number),
			walk.fates[number].answered, walk.fates[number].failed,
			walk.fates[number].code);
}

/* A message reached exactly so many. */
static void
expect_reached(uint32_t number, uint32_t count)
{
	if (delivered(number) != count)
		blame(delivered(number) < count ? "lost" : "doubled", number);
	if (walk.fates[number].failed != 0)
		blame("it was reported too", number);
}

/* A request was answered, or failed with the code. */
static void
expect_answer(uint32_t number)
{
	if (walk.fates[number].answered != 1 || walk.fates[number].failed != 0)
		blame("no one answer", number);
}

static void
expect_failure(uint32_t number, const char *code)
{
	if (walk.fates[number].failed != 1 || walk.fates[number].answered != 0)
		blame("no one error", number);
	else if (strcmp(walk.fates[number].code, code) != 0)
		blame("another error", number);
}

/* What was for a process that died came to it, to its successor, or back. Both
 * only when the dead one had it: that it took it in nobody knows. */
static void
expect_passed_on(uint32_t number)
{
	const struct walk_fate *fate = &walk.fates[number];
	uint32_t count = delivered(number);

	if (count + fate->failed == 0)
		blame("lost", number);
	if (count > 1 || fate->failed > 1 ||
		(fate->failed == 1 && count > fate->delivered_to_dead))
		blame("doubled", number);
}

/* Runs the script with brains that die at `kills`; returns how many points the
 * first has. */
static uint32_t
run(const struct script *script, const uint32_t kills[4])
{
	uint32_t points, deaths, open;

	walk_start(&walk, kills);
	script->run(&walk);
	do { /* the last of them may die at the very end */
		deaths = walk.deaths;
		walk_pump(&walk);
		open = walk_tell(&walk, 'R', 0);
	} while (walk.deaths != deaths);
	script->check(&walk);
	if (open != 0)
		blame("a request is open", 0);
	points = walk_tell(&walk, 'P', 0);
	walk_stop(&walk);
	cr_assert_str_empty(walk.fault, "killed at %u, %u, %u: %s", kills[0],
		kills[1], kills[2], walk.fault);
	return points;
}

/* Dies at the point, and in every other walk again in the recovery, once or
 * twice. */
static void
walk_one(const struct script *script, uint32_t n, uint32_t recovery)
{
	uint32_t again = 1 + n * 7919 % recovery;

	(void)run(script, (uint32_t[4]){n, n % 2 ? again : 0,
				  n % 4 == 3 ? 1 + n * 31 % recovery : 0});
}

/*
 * Every point, in passes over each eighth; on a machine where that takes too
 * long, as many passes as there is time for. MUSTER_WALK_KILLS="255,178,130"
 * does one walk again.
 */
static void
walk_all(const struct script *script, uint32_t points_min)
{
	struct instant until = clock_after_ms(clock_now(), WALK_BUDGET_MS);
	const char *kills = getenv("MUSTER_WALK_KILLS");
	uint32_t points = run(script, (uint32_t[4]){UINT32_MAX});
	uint32_t given[4] = {0}, recovery, died = 0, walked = 0;

	if (kills != NULL) {
		(void)sscanf(
			kills, "%u,%u,%u", &given[0], &given[1], &given[2]);
		(void)run(script, given);
		return;
	}
	cr_assert_gt(points, points_min);
	recovery = run(script, (uint32_t[4]){points / 2, UINT32_MAX});
	for (uint32_t pass = 1; pass <= 8; pass++) {
		for (uint32_t n = pass; n <= points; n += 8, walked++) {
			walk_one(script, n, recovery);
			died += walk.deaths > 0;
		}
		if (clock_is_past(until, clock_now()))
			break;
	}
	/* Nearly each had its death: the points are the same every time. */
	cr_assert_gt(died, walked / 10 * 9);
}

/* Messages ---------------------------------------------------------------- */

static uint32_t first, last, all[3], nobody;

static void
say_messages(struct walk *w)
{
	first = w->frames + 1;
	for (int i = 0; i < 3; i++) {
		(void)walk_say(w, 1, MUSTER_MESSAGE, 2, "", 40, 0);
		(void)walk_murmur(w, 1, 2);
		(void)walk_murmur(w, 3, 2);
		(void)walk_murmur(w, 2, 1);
	}
	walk_pump(w);
	w->workers[2].acknowledges = false;
	(void)walk_murmur(w, 1, 2);
	(void)walk_say(w, 1, MUSTER_MESSAGE, 2, "", 700, 0);
	(void)walk_murmur(w, 1, 4);
	walk_pump(w);
	(void)walk_murmur(w, 1, 2);
	last = walk_murmur(w, 3, 2);
	walk_pump(w);
	all[0] = walk_say(w, 1, MUSTER_MESSAGE, MUSTER_TO_ALL, "", 40, 0);
	all[1] = walk_say(w, 2, MUSTER_MESSAGE, MUSTER_TO_ALL, "", 3000, 0);
	all[2] = walk_say(w, 5, MUSTER_MESSAGE, MUSTER_TO_ALL, "api", 60, 0);
	nobody = walk_say(w, 1, MUSTER_MESSAGE, 99, "", 40, 0);
	w->workers[2].acknowledges = true;
	walk_pump(w);
}

static void
check_messages(struct walk *w)
{
	(void)w;
	for (uint32_t i = first; i <= last; i++)
		expect_reached(i, 1);
	expect_reached(all[0], 3);
	expect_reached(all[1], 3);
	expect_reached(all[2], 4);
	expect_failure(nobody, "no-such-worker");
}

Test(crash_walk, messages_and_broadcasts, .timeout = 110)
{
	walk_all(&(struct script){say_messages, check_messages}, 300);
}

/* Requests ---------------------------------------------------------------- */

static uint32_t asked[8], late, waiting[2], unknown;

static void
say_requests(struct walk *w)
{
	asked[0] = walk_say(w, 1, MUSTER_REQUEST, 2, "", 40, 0);
	asked[1] = walk_say(w, 1, MUSTER_REQUEST, MUSTER_TO_ANY, "", 40, 0);
	asked[2] = walk_say(w, 2, MUSTER_REQUEST, 0, "", 40, 0);
	asked[3] = walk_say(w, 3, MUSTER_REQUEST, 1, "", 900, 60000);
	walk_pump(w);
	unknown = walk_say(w, 1, MUSTER_REQUEST, 77, "", 40, 0);
	w->workers[4].answers = false;
	late = walk_say(w, 1, MUSTER_REQUEST, 4, "", 40, 1);
	walk_await(w, late);
	waiting[0] =
		walk_say(w, 2, MUSTER_REQUEST, MUSTER_TO_ANY, "jobs", 40, 0);
	waiting[1] =
		walk_say(w, 2, MUSTER_MESSAGE, MUSTER_TO_ANY, "jobs", 40, 0);
	walk_pump(w);
	walk_ready(w, 5);
	walk_pump(w);
	asked[4] = walk_say(w, 2, MUSTER_REQUEST, MUSTER_TO_ANY, "jobs", 40, 0);
	walk_pump(w);
}

static void
check_requests(struct walk *w)
{
	(void)w;
	for (int i = 0; i < 5; i++)
		expect_answer(asked[i]);
	expect_answer(waiting[0]);
	expect_reached(waiting[1], 1);
	expect_failure(late, "timeout");
	expect_failure(unknown, "no-such-worker");
}

Test(crash_walk, requests_answers_and_time_outs, .timeout = 110)
{
	walk_all(&(struct script){say_requests, check_requests}, 300);
}

/* A worker that dies ------------------------------------------------------ */

static uint32_t left[10], held;
static bool held_was_sent;

static void
say_to_the_dying(struct walk *w)
{
	w->workers[3].reads = false;
	left[0] = walk_say(w, 1, MUSTER_MESSAGE, 3, "", 40, 0);
	left[1] = walk_say(w, 1, MUSTER_REQUEST, 3, "", 40, 0);
	walk_pump(w);
	left[2] = walk_say(w, 1, MUSTER_MESSAGE, 3, "", WALK_LONG, 0);
	left[3] = walk_say(w, 1, MUSTER_MESSAGE, 3, "", 40, 0);
	walk_pump(w);
	left[4] = walk_say(w, 2, MUSTER_REQUEST, 3, "", 40, 0);
	left[5] = walk_say(w, 1, MUSTER_MESSAGE, 3, "", 1000, 0);
	walk_pump(w);
	held = walk_say(w, 3, MUSTER_MESSAGE, 2, "", 40, 0);
	walk_pump(w);
	/* One that doesn't read can't resume, and so can't send either. */
	held_was_sent = w->workers[3].is_attached &&
			w->workers[3].out == w->workers[3].unacked_count;
	walk_die(w, 3);
	left[6] = walk_say(w, 1, MUSTER_MESSAGE, 3, "", 40, 0);
	left[7] = walk_say(w, 2, MUSTER_REQUEST, 3, "", 40, 0);
	walk_pump(w);
	walk_spawn(w, 3);
	walk_pump(w);
	(void)walk_say(w, 3, MUSTER_REQUEST, 0, "", 40, 0);
	walk_pump(w);
	left[8] = walk_say(w, 1, MUSTER_MESSAGE, 3, "", 40, 0);
	walk_pump(w);
}

static void
check_the_dying(struct walk *w)
{
	static const int requests[] = {1, 4, 7};

	if (held_was_sent || delivered(held) > 0)
		expect_reached(held, 1);
	for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
		const struct walk_fate *fate = &w->fates[left[requests[i]]];

		if (fate->answered + fate->failed != 1)
			blame("not ended once", left[requests[i]]);
	}
	expect_passed_on(left[0]);
	expect_passed_on(left[2]);
	expect_passed_on(left[3]);
	expect_passed_on(left[5]);
	expect_reached(left[6], 1);
	expect_answer(left[7]);
	expect_reached(left[8], 1);
}

Test(crash_walk, a_worker_dies_with_a_queue, .timeout = 110)
{
	walk_all(&(struct script){say_to_the_dying, check_the_dying}, 300);
}

/* Descriptors, long frames ------------------------------------------------- */

static uint32_t handed[2], around[3];

static void
say_heavy(struct walk *w)
{
	around[0] = walk_say(w, 1, MUSTER_MESSAGE, 2, "", 40, 0);
	handed[0] = walk_hand(w, 1, 2);
	around[1] = walk_say(w, 1, MUSTER_MESSAGE, 2, "", 40, 0);
	walk_pump(w);
	w->workers[2].acknowledges = false;
	handed[1] = walk_hand(w, 4, 2);
	around[2] = walk_say(w, 2, MUSTER_MESSAGE, 1, "", WALK_LONG, 0);
	walk_pump(w);
}

static void
check_heavy(struct walk *w)
{
	for (int i = 0; i < 3; i++)
		expect_reached(around[i], 1);
	for (int i = 0; i < 2; i++) {
		if (w->fates[handed[i]].failed > 0)
			expect_failure(handed[i], "fd-missing");
		if (delivered(handed[i]) + w->fates[handed[i]].failed != 1)
			blame("not ended once", handed[i]);
	}
}

Test(crash_walk, descriptors_and_long_frames, .timeout = 110)
{
	walk_all(&(struct script){say_heavy, check_heavy}, 100);
}

/* Topics ------------------------------------------------------------------ */

static uint32_t calls[6], published[9];

static uint32_t
publish(struct walk *w, uint32_t slot, const char *topic, size_t size)
{
	return walk_say(w, slot, MUSTER_PUBLISH, 0, topic, size, 0);
}

static void
say_topics(struct walk *w)
{
	calls[0] = walk_call(w, 2, "subscribe", "t.>");
	calls[1] = walk_call(w, 2, "subscribe", "t.*");
	calls[2] = walk_call(w, 3, "subscribe", "t.*");
	walk_pump(w);
	published[0] = publish(w, 1, "t.x", 40);
	published[1] = publish(w, 1, "t.x", 3000);
	published[2] = publish(w, 1, "t.x.y", 40);
	published[3] = publish(w, 2, "t.z", 40);
	walk_pump(w);
	calls[3] = walk_call(w, 3, "unsubscribe", "t.*");
	published[4] = publish(w, 3, "t.x", 40);
	walk_pump(w);
	published[5] = publish(w, 1, "t.x", 40);
	published[6] = publish(w, 1, "nobody", 40);
	walk_pump(w);
	walk_die(w, 2);
	walk_spawn(w, 2);
	walk_pump(w);
	published[7] = publish(w, 1, "t.x", 40);
	walk_pump(w);
	calls[4] = walk_call(w, 2, "subscribe", "*.>");
	walk_pump(w);
	published[8] = publish(w, 4, "t.x", 40);
	calls[5] = walk_call(w, 4, "subscribe", "not a pattern");
	walk_pump(w);
}

static void
check_topics(struct walk *w)
{
	static const uint32_t receivers[9] = {2, 2, 1, 1, 1, 1, 0, 0, 1};

	(void)w;
	for (int i = 0; i < 9; i++)
		expect_reached(published[i], receivers[i]);
	for (int i = 0; i < 5; i++)
		expect_answer(calls[i]);
	expect_failure(calls[5], "bad-request");
}

Test(crash_walk, topics_and_who_subscribed, .timeout = 110)
{
	walk_all(&(struct script){say_topics, check_topics}, 300);
}

/* What the supervisor says ------------------------------------------------- */

static uint32_t ready_before[WALK_WORKERS + 1], gone_before[WALK_WORKERS + 1];

static void
say_events(struct walk *w)
{
	for (int slot = 1; slot <= WALK_WORKERS; slot++) {
		ready_before[slot] = w->workers[slot].ready_events;
		gone_before[slot] = w->workers[slot].gone_events;
	}
	walk_not_ready(w, 4);
	walk_pump(w);
	(void)walk_murmur(w, 1, 2);
	walk_pump(w);
	walk_ready(w, 4);
	walk_pump(w);
}

static void
check_events(struct walk *w)
{
	for (int slot = 1; slot <= 3; slot++) {
		const struct walk_worker *worker = &w->workers[slot];

		if (worker->ready_events != ready_before[slot] + 1 ||
			worker->gone_events != gone_before[slot] + 1)
			blame("told otherwise than once", 0);
	}
}

Test(crash_walk, comings_and_goings_are_told_once, .timeout = 110)
{
	walk_all(&(struct script){say_events, check_events}, 100);
}
