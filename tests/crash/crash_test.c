/*
 * Promise: the brain may die at any of its system calls, and any of them may
 * fail: no worker is doubled, no socket without its owner, no message or
 * request lost, doubled or out of order, nothing left behind.
 *
 * Each test is a walk over points (walk.h). Here is what happens meanwhile.
 */
#include "walk.h"

#include "support/process.h"

#include <signal.h>
#include <string.h>

static void
clean(void)
{
	walk_clean();
	run_clean();
}

TestSuite(crash, .fini = clean, .timeout = 3600);

/* Messages and requests between three workers, and lines of output. */
static void
exchange_messages(struct walk *walk)
{
	walk_arm(walk);
	walk_await(walk, 400);
}

/* A worker dies and is started again. */
static void
lose_worker(struct walk *walk)
{
	pid_t pid = (pid_t)run_field(walk->before, 0, "pid");

	walk_arm(walk);
	cr_assert_eq(kill(pid, SIGKILL), 0);
	while (process_state(pid) != 'X' && process_state(pid) != 'Z')
		run_pump(walk->run, 1);
	talk_excuse(walk->talk, 0);
	for (int i = 0; i < 500; i++) {
		json_t *now = run_ls(walk->run);
		const char *status = json_string_value(
			json_object_get(json_array_get(now, 0), "status"));
		bool is_new = run_field(now, 0, "pid") != pid &&
			      status != NULL && strcmp(status, "ready") == 0;
		json_decref(now);
		if (is_new)
			break;
		run_pump(walk->run, 5);
	}
}

static bool
is_reloaded(struct walk *walk)
{
	json_t *now = run_ls(walk->run);
	bool all = json_array_size(now) == WALK_WORKERS;

	for (size_t i = 0; i < WALK_TALKERS && all; i++)
		all = run_field(now, i, "generation") >
		      run_field(walk->before, i, "generation");
	json_decref(now);
	return all;
}

/* Workers are replaced, one by one. */
static void
reload(struct walk *walk)
{
	int code;

	walk_arm(walk);
	code = COMMAND(walk->run, "reload", "talk");
	/* The brain that was to answer may have died: the reload goes on, or,
	 * where it hadn't heard of it, is asked for once more. */
	for (int i = 0; i < 400 && !is_reloaded(walk); i++) {
		if (i == 200 && code != 0)
			code = COMMAND(walk->run, "reload", "talk");
		run_pump(walk->run, 10);
	}
	if (!is_reloaded(walk))
		walk_fail(walk, "the reload doesn't end: %s",
			run_said(walk->run));
}

/* The brain dies, and the next one dies while it takes over. */
static void
take_over(struct walk *walk)
{
	walk_arm_next(walk);
	cr_assert_eq(kill(run_brain(walk->run), SIGKILL), 0);
	walk_await(walk, 1000);
}

#define WALKS(name, MODE)                                                      \
	Test(crash, start_##name)                                              \
	{                                                                      \
		walk_starts("start_" #name, MODE);                             \
	}                                                                      \
	Test(crash, messages_##name)                                           \
	{                                                                      \
		walk_through("messages_" #name, MODE, exchange_messages);      \
	}                                                                      \
	Test(crash, spawn_##name)                                              \
	{                                                                      \
		walk_through("spawn_" #name, MODE, lose_worker);               \
	}                                                                      \
	Test(crash, reload_##name)                                             \
	{                                                                      \
		walk_through("reload_" #name, MODE, reload);                   \
	}                                                                      \
	Test(crash, resume_##name)                                             \
	{                                                                      \
		walk_through("resume_" #name, MODE, take_over);                \
	}                                                                      \
	Test(crash, stop_##name)                                               \
	{                                                                      \
		walk_stops("stop_" #name, MODE);                               \
	}

WALKS(killed_before, SYS_CRASH_BEFORE)
WALKS(killed_after, SYS_CRASH_AFTER)
WALKS(failing, SYS_CRASH_FAIL)
WALKS(not_now, SYS_CRASH_FAIL_SOON)
WALKS(no_memory, SYS_CRASH_NO_MEMORY)
