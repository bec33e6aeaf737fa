/*
 * reload: the plan against a small model of slots that carries commands out in
 * any order, with failures, crashes, cancels and repeated requests.
 */
#include "policy/reload.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

TestSuite(reload, .timeout = 60);

enum {
	SLOTS = 200,
};

enum incoming {
	NONE,
	COMING, /* started, not ready */
	SERVING,
	FAILING, /* failed or rolled back, not yet gone */
};

struct slot {
	bool is_wanted;
	bool has_old; /* a main process that is ready */
	bool old_leaves;
	enum incoming incoming;
	int version, incoming_version;
};

struct model {
	struct reload reload;
	struct slot slots[SLOTS];
	uint32_t count;
	int newest; /* version that START means */
	bool soaks, is_done;
	enum reload_outcome outcome;
	unsigned starts, retires, roll_backs, soak_count;
	unsigned fail_percent;
};

static bool
serves(const struct slot *slot)
{
	return (slot->has_old && !slot->old_leaves) ||
	       slot->incoming == SERVING;
}

static void
do_start(struct model *model, struct reload_command c)
{
	struct slot *slot = &model->slots[c.slot];

	cr_assert_eq(
		slot->incoming, NONE, "a third process in slot %u", c.slot);
	cr_assert_eq(slot->old_leaves, false);
	model->starts++;
	if (!slot->is_wanted) {
		reload_event(&model->reload, RELOAD_SLOT_SKIPPED, c.slot);
		return;
	}
	if (!slot->has_old)
		reload_event(&model->reload, RELOAD_OLD_GONE, c.slot);
	slot->incoming = COMING;
	slot->incoming_version = c.back ? 0 : model->newest;
}

static void
do_retire(struct model *model, uint32_t number)
{
	struct slot *slot = &model->slots[number];

	cr_assert_eq(slot->incoming, SERVING, "slot %u loses its only process",
		number);
	cr_assert_eq(slot->has_old, true);
	slot->old_leaves = true;
	model->retires++;
}

static void
do_roll_back(struct model *model, uint32_t number)
{
	struct slot *slot = &model->slots[number];

	cr_assert(slot->incoming == COMING || slot->incoming == SERVING);
	cr_assert_eq(slot->old_leaves, false, "rolls back what took over");
	slot->incoming = FAILING;
	model->roll_backs++;
}

static void
carry_out(struct model *model)
{
	struct reload_command c;

	while ((c = reload_next(&model->reload)).kind != RELOAD_WAIT) {
		cr_assert_eq(model->is_done, false, "a command after DONE");
		cr_assert(c.kind == RELOAD_DONE || c.slot < SLOTS);
		if (c.kind == RELOAD_START)
			do_start(model, c);
		else if (c.kind == RELOAD_RETIRE)
			do_retire(model, c.slot);
		else if (c.kind == RELOAD_ROLL_BACK)
			do_roll_back(model, c.slot);
		else if (c.kind == RELOAD_SOAK) {
			cr_assert_eq(c.soak_ms, 1000);
			model->soaks = true;
			model->soak_count++;
		} else {
			model->is_done = true;
			model->outcome = c.outcome;
		}
	}
}

static void
tell(struct model *model, enum reload_event event, uint32_t slot)
{
	reload_event(&model->reload, event, slot);
	carry_out(model);
}

static bool
chance(unsigned percent)
{
	return (unsigned)rand() % 100 < percent;
}

/* The next thing that happens to a process of the slot by itself. */
static void
happen(struct model *model, uint32_t number)
{
	struct slot *slot = &model->slots[number];

	if (slot->old_leaves && chance(50)) {
		slot->old_leaves = false;
		slot->version = slot->incoming_version;
		slot->incoming = NONE; /* it is the main process now */
		tell(model, RELOAD_OLD_GONE, number);
	} else if (slot->incoming == COMING && chance(model->fail_percent)) {
		slot->incoming = chance(50) ? FAILING : NONE;
		tell(model,
			slot->incoming == NONE ? RELOAD_INCOMING_GONE
					       : RELOAD_INCOMING_FAILED,
			number);
	} else if (slot->incoming == COMING) {
		slot->incoming = SERVING;
		if (!slot->has_old)
			slot->version = slot->incoming_version;
		tell(model, RELOAD_INCOMING_READY, number);
	} else if (slot->incoming == FAILING) {
		slot->incoming = NONE;
		tell(model, RELOAD_INCOMING_GONE, number);
	}
}

/* An incoming process of a slot without an old one is its main one in the end.
 */
static void
adopt(struct model *model)
{
	for (uint32_t i = 0; i < model->count; i++)
		if (model->slots[i].incoming == SERVING &&
			!model->slots[i].has_old &&
			(i < model->reload.first || model->is_done)) {
			model->slots[i].has_old = true;
			model->slots[i].incoming = NONE;
		}
}

static void
run_on(struct model *model, int steps)
{
	bool served[SLOTS];

	for (; steps > 0 && !model->is_done; steps--) {
		for (uint32_t i = 0; i < model->count; i++)
			served[i] = model->slots[i].has_old &&
				    model->slots[i].is_wanted;
		if (model->soaks && chance(20)) {
			model->soaks = false;
			tell(model, RELOAD_SOAK_OVER, 0);
		}
		happen(model, (uint32_t)rand() % model->count);
		for (uint32_t i = 0; i < model->count; i++)
			cr_assert_geq((int)serves(&model->slots[i]),
				(int)served[i], "slot %u serves no more", i);
		adopt(model);
	}
}

static struct model *
model_new(uint32_t count, uint32_t batch, bool changed, unsigned fail_percent)
{
	static struct model model;

	memset(&model, 0, sizeof(model));
	model.count = count;
	model.newest = 1;
	model.fail_percent = fail_percent;
	for (uint32_t i = 0; i < count; i++)
		model.slots[i].has_old = model.slots[i].is_wanted = true;
	reload_begin(&model.reload, count, batch, 1000, changed);
	carry_out(&model);
	return &model;
}

static unsigned
with_version(const struct model *model, int version)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < model->count; i++)
		n += model->slots[i].version == version;
	return n;
}

Test(reload, nothing_to_do_is_done)
{
	struct model *m = model_new(0, 1, false, 0);

	cr_expect_eq(m->is_done, true);
	cr_expect_eq(m->outcome, RELOAD_OK);
	cr_expect_eq(reload_is_running(&m->reload), false);
}

Test(reload, one_by_one_after_the_canary)
{
	struct model *m = model_new(3, 1, false, 0);

	for (uint32_t slot = 0; slot < 3; slot++) {
		cr_assert_eq(m->starts, slot + 1, "one at a time");
		cr_assert_eq(m->retires, slot);
		m->slots[slot].incoming = SERVING;
		tell(m, RELOAD_INCOMING_READY, slot);
		if (slot == 0) {
			cr_assert_eq(m->soaks, true);
			cr_assert_eq(m->retires, 0, "retired while it soaks");
			tell(m, RELOAD_SOAK_OVER, 0);
		}
		cr_assert_eq(m->retires, slot + 1);
		m->slots[slot].incoming = NONE;
		m->slots[slot].old_leaves = false;
		tell(m, RELOAD_OLD_GONE, slot);
	}
	cr_expect_eq(m->is_done, true);
	cr_expect_eq(m->outcome, RELOAD_OK);
	cr_expect_eq(m->soak_count, 1);
}

Test(reload, batches_start_together_and_retire_together)
{
	struct model *m = model_new(6, 4, false, 0);

	m->slots[0].incoming = SERVING;
	tell(m, RELOAD_INCOMING_READY, 0);
	tell(m, RELOAD_SOAK_OVER, 0);
	m->slots[0].incoming = NONE;
	m->slots[0].old_leaves = false;
	tell(m, RELOAD_OLD_GONE, 0);
	cr_assert_eq(m->starts, 5);
	for (uint32_t slot = 1; slot < 4; slot++) {
		m->slots[slot].incoming = SERVING;
		tell(m, RELOAD_INCOMING_READY, slot);
	}
	cr_assert_eq(m->retires, 1);
	m->slots[4].incoming = SERVING;
	tell(m, RELOAD_INCOMING_READY, 4);
	cr_assert_eq(m->retires, 5);
}

Test(reload, canary_that_fails_in_its_soak_leaves_the_old_ones)
{
	struct model *m = model_new(3, 1, true, 0);

	m->slots[0].incoming = SERVING;
	tell(m, RELOAD_INCOMING_READY, 0);
	m->slots[0].incoming = NONE;
	tell(m, RELOAD_INCOMING_GONE, 0);
	cr_expect_eq(m->is_done, true);
	cr_expect_eq(m->outcome, RELOAD_FAILED);
	cr_expect_eq(m->retires, 0);
	cr_expect_eq(m->starts, 1);
}

Test(reload, failure_in_a_batch_rolls_the_others_back)
{
	struct model *m = model_new(4, 3, false, 0);

	m->slots[0].incoming = SERVING;
	tell(m, RELOAD_INCOMING_READY, 0);
	tell(m, RELOAD_SOAK_OVER, 0);
	m->slots[0].incoming = NONE;
	m->slots[0].old_leaves = false;
	tell(m, RELOAD_OLD_GONE, 0);
	m->slots[1].incoming = SERVING;
	tell(m, RELOAD_INCOMING_READY, 1);
	m->slots[2].incoming = FAILING;
	tell(m, RELOAD_INCOMING_FAILED, 2);
	cr_assert_eq(m->roll_backs, 2);
	cr_assert_eq(m->is_done, false, "done before they are gone");
	for (uint32_t slot = 1; slot < 4; slot++)
		tell(m, RELOAD_INCOMING_GONE, slot);
	cr_expect_eq(m->is_done, true);
	cr_expect_eq(m->outcome, RELOAD_FAILED);
	cr_expect_eq(m->retires, 1);
}

Test(reload, changed_slots_are_put_back)
{
	struct model *m = model_new(5, 1, true, 0);

	while (m->reload.first < 3)
		run_on(m, 1);
	m->fail_percent = 100;
	while (!m->reload.back)
		run_on(m, 1);
	m->fail_percent = 0;
	run_on(m, 10000);
	cr_assert_eq(m->is_done, true);
	cr_expect_eq(m->outcome, RELOAD_FAILED);
	cr_expect_eq(with_version(m, 0), 5);
	cr_expect_gt(m->retires, 5);
}

Test(reload, slots_without_a_process)
{
	struct model *m = model_new(0, 1, false, 0);

	memset(m, 0, sizeof(*m));
	m->count = 4;
	m->newest = 1;
	m->slots[1].has_old = m->slots[1].is_wanted = true;
	m->slots[3].is_wanted = true; /* in back-off */
	reload_begin(&m->reload, 4, 2, 1000, false);
	carry_out(m);
	run_on(m, 10000);
	cr_assert_eq(m->is_done, true);
	cr_expect_eq(m->outcome, RELOAD_OK);
	cr_expect_eq(m->soak_count, 1, "a skipped slot was the canary");
	cr_expect_eq(m->retires, 1);
	cr_expect_eq(with_version(m, 1), 2);
}

Test(reload, latest_wins)
{
	struct model *m = model_new(5, 1, true, 0);

	while (m->reload.first < 2)
		run_on(m, 1);
	m->newest = 2;
	reload_again(&m->reload, 5, 2, 1000, true);
	carry_out(m);
	run_on(m, 10000);
	cr_assert_eq(m->is_done, true);
	cr_expect_eq(m->outcome, RELOAD_OK);
	cr_expect_eq(m->soak_count, 2);
	cr_expect_lt(m->retires, 10, "the first one was not cut short");
	cr_expect_eq(with_version(m, 2), 5);
}

Test(reload, cancel_ends_it_at_once)
{
	struct model *m = model_new(4, 1, false, 0);

	tell(m, RELOAD_CANCEL, 0);
	cr_expect_eq(m->is_done, true);
	cr_expect_eq(m->outcome, RELOAD_CANCELLED);
	cr_expect_eq(m->roll_backs, 1);
	tell(m, RELOAD_INCOMING_READY, 0);
	tell(m, RELOAD_CANCEL, 0);
	cr_expect_eq(reload_is_running(&m->reload), false);
}

Test(reload, stray_events_change_nothing)
{
	struct model *m = model_new(4, 1, false, 0);
	struct reload before = m->reload;

	for (uint32_t slot = 1; slot < 4; slot++)
		for (int event = RELOAD_INCOMING_READY;
			event <= RELOAD_SLOT_SKIPPED; event++)
			tell(m, (enum reload_event)event, slot);
	tell(m, RELOAD_OLD_GONE, UINT32_MAX);
	tell(m, RELOAD_SOAK_OVER, 0);
	cr_expect_eq(memcmp(&before, &m->reload, sizeof(before)), 0);
	memset(&m->reload, 0xff, sizeof(m->reload)); /* a damaged ledger */
	cr_expect_eq(reload_next(&m->reload).kind, RELOAD_WAIT);
}

Test(reload, widest_batch)
{
	struct model *m = model_new(SLOTS, 1000, false, 0);

	run_on(m, 1000000);
	cr_assert_eq(m->is_done, true);
	cr_expect_eq(m->outcome, RELOAD_OK);
	cr_expect_eq(with_version(m, 1), SLOTS);
}

static void
random_reload(void)
{
	uint32_t count = 1 + (uint32_t)rand() % 12;
	bool changed = rand() % 2;
	struct model *m = model_new(count, 1 + (uint32_t)rand() % 5, changed,
		rand() % 3 ? 0 : (unsigned)rand() % 30);
	unsigned again = 0;

	for (int round = 0; round < 40; round++) {
		run_on(m, rand() % 60);
		if (m->is_done)
			break;
		if (chance(10) && again < 5) {
			again++;
			m->newest++;
			reload_again(&m->reload, count,
				1 + (uint32_t)rand() % 5, 1000, changed);
			carry_out(m);
		}
		if (chance(2))
			tell(m, RELOAD_CANCEL, 0);
	}
	run_on(m, 100000);
	cr_assert_eq(m->is_done, true, "it never ends");
	if (m->outcome == RELOAD_OK)
		cr_assert_eq(with_version(m, m->newest), count,
			"ok, and %u of %u are new", with_version(m, m->newest),
			count);
}

Test(reload, random_schedules)
{
	const char *given = getenv("MUSTER_TEST_SEED");
	unsigned seed = given != NULL ? (unsigned)strtoul(given, NULL, 10)
				      : (unsigned)time(NULL);

	fprintf(stderr, "MUSTER_TEST_SEED=%u\n", seed);
	srand(seed);
	for (int i = 0; i < 3000; i++)
		random_reload();
}
