/*
 * worker_fsm: every pair of the table, the promises that it makes as a whole,
 * and random lives. MUSTER_TEST_SEED replays a schedule.
 */
#include "policy/restart.h"
#include "policy/worker_fsm.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

TestSuite(worker_fsm, .timeout = 60);

static const uint32_t all_flags[] = {0, FSM_IS_JOINED, FSM_MUST_SAY_READY,
	FSM_IS_JOINED | FSM_MUST_SAY_READY};

#define EACH(type, variable, count)                                            \
	for (type variable = (type)0; variable < (type)(count);                \
		variable = (type)(variable + 1))
#define EACH_FLAGS(variable)                                                   \
	for (size_t i_##variable = 0, variable = all_flags[0];                 \
		i_##variable < 4 && ((variable = all_flags[i_##variable]), 1); \
		i_##variable++)

static int
bits(uint32_t mask)
{
	return __builtin_popcount(mask);
}

Test(worker_fsm, every_pair_is_listed)
{
	EACH(enum fsm_state, state, FSM_STATE_COUNT)
	EACH(enum fsm_event, event, FSM_EVENT_COUNT)
	EACH(enum fsm_want, want, 3)
	EACH_FLAGS(flags)
	cr_expect_eq(worker_fsm_step(state, want, event, flags).known, true,
		"%s on %s is not listed", worker_fsm_state_name(state),
		worker_fsm_event_name(event));
}

/* What has to be true of each single step. */
static void
check_step(enum fsm_state state, enum fsm_event event, struct fsm_result r)
{
	const char *from = worker_fsm_state_name(state);
	const char *on = worker_fsm_event_name(event);
	bool was_ready = state == FSM_READY;

	cr_assert_leq(bits(r.actions & FSM_SETS_DEADLINE), 1,
		"%s on %s sets two deadlines", from, on);
	cr_assert_eq(r.actions >> 15, 0, "%s on %s leaks a mark", from, on);
	cr_assert_eq((r.actions & FSM_IS_GONE) != 0,
		r.state == FSM_GONE && state != FSM_GONE,
		"%s on %s: gone is not said once", from, on);
	cr_assert_eq((r.actions & FSM_ANNOUNCE_READY) != 0,
		r.state == FSM_READY && !was_ready, "%s on %s: ready", from,
		on);
	cr_assert_eq((r.actions & FSM_WITHDRAW) != 0,
		was_ready && r.state != FSM_READY, "%s on %s: withdraw", from,
		on);
	cr_assert_eq((r.actions & FSM_SPAWN) != 0,
		state == FSM_WAITING && r.state == FSM_SPAWNING,
		"%s on %s: spawn", from, on);
	if (r.state == FSM_KILLING && state != FSM_KILLING)
		cr_assert_neq(r.actions & FSM_SEND_KILL, 0, "%s on %s: no kill",
			from, on);
	if (r.state != state &&
		(r.state == FSM_STARTING || r.state == FSM_ASKED ||
			r.state == FSM_STOPPING || r.state == FSM_KILLING))
		cr_assert_eq(bits(r.actions & FSM_SETS_DEADLINE &
				     ~(uint32_t)FSM_DISARM),
			1, "%s on %s: no deadline", from, on);
	if (r.state == state && r.actions == 0)
		return;
	cr_assert_neq(state, FSM_GONE, "gone is not final on %s", on);
}

Test(worker_fsm, each_step_is_sound)
{
	EACH(enum fsm_state, state, FSM_STATE_COUNT)
	EACH(enum fsm_event, event, FSM_EVENT_COUNT)
	EACH(enum fsm_want, want, 3)
	EACH_FLAGS(flags)
	check_step(state, event, worker_fsm_step(state, want, event, flags));
}

Test(worker_fsm, out_of_range_changes_nothing)
{
	struct fsm_result r = worker_fsm_step(
		(enum fsm_state)77, FSM_WANT_UP, FSM_ON_STOP, 0);

	cr_expect_eq(r.known, false);
	cr_expect_eq((int)r.state, 77);
	cr_expect_eq(r.actions, 0);
	r = worker_fsm_step(FSM_READY, FSM_WANT_UP, (enum fsm_event) - 1, 0);
	cr_expect_eq(r.known, false);
	cr_expect_eq(r.state, FSM_READY);
	cr_expect_str_eq(worker_fsm_state_name((enum fsm_state)77), "?");
	cr_expect_eq(worker_fsm_again((enum fsm_state)77), 0);
}

/* One path: state after it, and all actions of it. */
static struct fsm_result
walk(enum fsm_state state, enum fsm_want want, uint32_t flags,
	const enum fsm_event *events, size_t count)
{
	struct fsm_result sum = {.state = state, .known = true};

	for (size_t i = 0; i < count; i++) {
		struct fsm_result r =
			worker_fsm_step(sum.state, want, events[i], flags);

		sum.state = r.state;
		sum.actions |= r.actions;
		sum.known = sum.known && r.known;
	}
	return sum;
}

#define WALK(state, want, flags, ...)                                          \
	walk(state, want, flags, (enum fsm_event[]){__VA_ARGS__},              \
		sizeof((enum fsm_event[]){__VA_ARGS__}) /                      \
			sizeof(enum fsm_event))

Test(worker_fsm, unanswered_stop_ends_in_sigkill)
{
	static const enum fsm_state stoppable[] = {
		FSM_SPAWNING, FSM_STARTING, FSM_READY};

	for (size_t i = 0; i < 3; i++)
		EACH_FLAGS(flags)
		{
			struct fsm_result r = WALK(stoppable[i], FSM_WANT_DOWN,
				flags, FSM_ON_STOP, FSM_ON_TIMEOUT,
				FSM_ON_TIMEOUT);

			cr_expect_eq(r.state, FSM_KILLING);
			cr_expect_neq(r.actions & FSM_SEND_KILL, 0);
			cr_expect_neq(r.actions & FSM_BEGIN_STOP, 0);
		}
}

Test(worker_fsm, stop_before_exec_is_not_lost)
{
	struct fsm_result r = WALK(FSM_SPAWNING, FSM_WANT_DOWN,
		FSM_MUST_SAY_READY, FSM_ON_STOP, FSM_ON_EXECED);

	cr_expect_eq(r.state, FSM_STOPPING);
	cr_expect_neq(r.actions & FSM_SEND_SIGNAL, 0);
	cr_expect_eq(r.actions & FSM_ANNOUNCE_READY, 0);
	r = WALK(FSM_SPAWNING, FSM_WANT_REPLACED, FSM_IS_JOINED, FSM_ON_READY);
	cr_expect_eq(r.state, FSM_ASKED);
	cr_expect_neq(r.actions & FSM_SEND_SHUTDOWN, 0);
	/* Taken back in time. */
	r = WALK(FSM_SPAWNING, FSM_WANT_UP, 0, FSM_ON_STOP, FSM_ON_TIMEOUT,
		FSM_ON_EXECED);
	cr_expect_eq(r.state, FSM_READY);
}

Test(worker_fsm, joined_worker_is_asked_first)
{
	struct fsm_result r =
		WALK(FSM_READY, FSM_WANT_DOWN, FSM_IS_JOINED, FSM_ON_STOP);

	cr_expect_eq(r.state, FSM_ASKED);
	cr_expect_neq(r.actions & FSM_SEND_SHUTDOWN, 0);
	cr_expect_eq(r.actions & FSM_SEND_SIGNAL, 0);
	r = WALK(FSM_ASKED, FSM_WANT_DOWN, FSM_IS_JOINED, FSM_ON_SAID_STOPPING,
		FSM_ON_STOP);
	cr_expect_eq(r.state, FSM_STOPPING);
	cr_expect_eq(r.actions & FSM_SEND_SIGNAL, 0);
	r = WALK(FSM_ASKED, FSM_WANT_DOWN, FSM_IS_JOINED, FSM_ON_TIMEOUT);
	cr_expect_neq(r.actions & FSM_SEND_SIGNAL, 0);
	r = WALK(FSM_READY, FSM_WANT_DOWN, 0, FSM_ON_STOP);
	cr_expect_eq(r.state, FSM_STOPPING);
	cr_expect_neq(r.actions & FSM_SEND_SIGNAL, 0);
}

Test(worker_fsm, ready_by_word_or_by_running)
{
	struct fsm_result r =
		WALK(FSM_WAITING, FSM_WANT_UP, 0, FSM_ON_START, FSM_ON_EXECED);

	cr_expect_eq(r.state, FSM_READY);
	r = WALK(FSM_WAITING, FSM_WANT_UP, FSM_MUST_SAY_READY, FSM_ON_TIMEOUT,
		FSM_ON_EXECED);
	cr_expect_eq(r.state, FSM_STARTING);
	cr_expect_neq(r.actions & FSM_ARM_START, 0);
	r = WALK(FSM_STARTING, FSM_WANT_UP, FSM_MUST_SAY_READY, FSM_ON_TIMEOUT);
	cr_expect_eq(r.state, FSM_STOPPING);
	cr_expect_neq(r.actions & FSM_FAILED_START, 0);
	/* READY overtakes EXECED. */
	r = WALK(FSM_SPAWNING, FSM_WANT_UP, FSM_MUST_SAY_READY, FSM_ON_READY,
		FSM_ON_EXECED, FSM_ON_READY);
	cr_expect_eq(r.state, FSM_READY);
}

Test(worker_fsm, unkillable_is_reported_once)
{
	struct fsm_result r =
		WALK(FSM_READY, FSM_WANT_UP, 0, FSM_ON_KILL, FSM_ON_TIMEOUT);

	cr_expect_eq(r.state, FSM_KILLING);
	cr_expect_neq(r.actions & FSM_REPORT_UNKILLABLE, 0);
	cr_expect_neq(r.actions & FSM_DISARM, 0);
}

Test(worker_fsm, deadlines)
{
	struct instant now = {1000000000};
	struct instant began = {400000000};

	cr_expect_eq(
		worker_fsm_deadline(FSM_ARM_START, now, began, 3000, 10000).ns,
		4000000000);
	cr_expect_eq(
		worker_fsm_deadline(FSM_ARM_ASK, now, began, 3000, 10000).ns,
		1500000000);
	cr_expect_eq(worker_fsm_deadline(FSM_ARM_ASK, now, began, 3000, 100).ns,
		1050000000);
	cr_expect_eq(
		worker_fsm_deadline(FSM_ARM_KILL, now, began, 3000, 10000).ns,
		10400000000);
	cr_expect_eq(worker_fsm_deadline(
			     FSM_ARM_KILL, now, INSTANT_NONE, 3000, 10000)
			     .ns,
		11000000000);
	cr_expect_gt(
		worker_fsm_deadline(FSM_ARM_UNKILLABLE, now, began, 3000, 10000)
			.ns,
		now.ns);
	cr_expect_eq(clock_is_set(worker_fsm_deadline(
			     FSM_DISARM, now, began, 3000, 10000)),
		false);
}

/* A slot in a random life: one process after the other, as fleet runs it. */
struct life {
	enum fsm_state state;
	enum fsm_want want;
	uint32_t flags;
	unsigned spawns, announced, withdrawn, failed, kills;
	bool was_stopped;
	struct restart_history history;
};

static void
check_life(const struct life *life)
{
	cr_assert_leq(life->spawns, 1, "two processes in one incarnation");
	cr_assert_leq(life->announced, 1, "ready twice");
	cr_assert_leq(life->withdrawn, life->announced);
	cr_assert_leq(life->failed, 1, "failed twice");
	cr_assert_leq(life->failed + life->announced, 1,
		"was ready and is a failed start");
	if (life->state == FSM_GONE)
		cr_assert_eq(life->announced, life->withdrawn,
			"gone, and still announced");
	if (life->state == FSM_KILLING)
		cr_assert_gt(life->kills, 0);
}

static void
begin_life(struct life *life)
{
	struct restart_history history = life->history;

	*life = (struct life){.state = FSM_WAITING, .history = history};
	life->flags = (uint32_t)rand() & FSM_MUST_SAY_READY;
}

static void
live(struct life *life)
{
	enum fsm_event event = (enum fsm_event)(rand() % FSM_EVENT_COUNT);
	struct fsm_result r;

	if (rand() % 20 == 0)
		life->flags |= FSM_IS_JOINED;
	if (event == FSM_ON_STOP)
		life->want = rand() % 2 ? FSM_WANT_DOWN : FSM_WANT_REPLACED;
	r = worker_fsm_step(life->state, life->want, event, life->flags);
	cr_assert_eq(r.known, true);
	check_step(life->state, event, r);
	life->state = r.state;
	life->spawns += (r.actions & FSM_SPAWN) != 0;
	life->announced += (r.actions & FSM_ANNOUNCE_READY) != 0;
	life->withdrawn += (r.actions & FSM_WITHDRAW) != 0;
	life->failed += (r.actions & FSM_FAILED_START) != 0;
	life->kills += (r.actions & FSM_SEND_KILL) != 0;
	check_life(life);
}

static unsigned
test_seed(void)
{
	const char *given = getenv("MUSTER_TEST_SEED");
	unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10)
				      : (unsigned)time(NULL);

	fprintf(stderr, "MUSTER_TEST_SEED=%u\n", seed);
	srand(seed);
	return seed;
}

Test(worker_fsm, random_lives)
{
	unsigned seed = test_seed();
	struct life life = {0};
	unsigned lives = 0, most_steps = 0, steps = 0;

	begin_life(&life);
	for (int i = 0; i < 100000; i++) {
		live(&life);
		steps++;
		if (life.state != FSM_GONE)
			continue;
		most_steps = steps > most_steps ? steps : most_steps;
		steps = 0;
		lives++;
		begin_life(&life);
	}
	cr_expect_gt(lives, 1000, "seed %u: only %u lives", seed, lives);
}

/* Whatever has happened: a stop and then only time-outs end in SIGKILL. */
Test(worker_fsm, random_lives_can_be_ended)
{
	unsigned seed = test_seed();

	for (int i = 0; i < 10000; i++) {
		struct life life = {0};
		struct fsm_result r;
		int left = 4;

		begin_life(&life);
		for (int step = rand() % 12; step > 0; step--)
			live(&life);
		r = worker_fsm_step(
			life.state, FSM_WANT_DOWN, FSM_ON_STOP, life.flags);
		while (r.state != FSM_GONE && r.state != FSM_KILLING) {
			cr_assert_gt(left--, 0, "seed %u: stuck in %s", seed,
				worker_fsm_state_name(r.state));
			r = worker_fsm_step(r.state, FSM_WANT_DOWN,
				FSM_ON_TIMEOUT, life.flags);
		}
	}
}
