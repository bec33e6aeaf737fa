/*
 * life.c: the brain as a process that comes and goes: started, on trial, up,
 * ended, and when the next is due. What is said to it is link.c's.
 */
#include "base/log.h"
#include "base/sys.h"
#include "keeper/state.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	FIRST_DELAY_MS = 100,
	LONGEST_DELAY_MS = 5000,
	FAILURES_AT_START = 3,
};

void
life_set_next(struct program *program, int fd)
{
	if (program->next >= 0)
		sys_close(program->next);
	program->next = fd;
}

/* There is no way back any more. */
static void
forget_before(struct program *program)
{
	if (program->may_return && program->before >= 0)
		sys_close(program->before);
	program->may_return = false;
	program->before = -1;
}

/* The new program was up and has crashed: the one before goes on. */
static void
take_back(struct keeper *keeper)
{
	struct program *program = &keeper->program;

	if (program->fd >= 0)
		sys_close(program->fd);
	program->fd = program->before;
	program->before = -1;
	program->may_return = false;
	program->trial = KEEPER_TRIAL_FAILED;
	keeper->brain.crashes = program->crashes;
}

void
life_up(struct keeper *keeper)
{
	struct program *program = &keeper->program;

	keeper->brain.up = keeper->brain.ever_up = true;
	keeper->brain.up_at = clock_now();
	keeper->brain.failures = 0;
	program->by = INSTANT_NONE;
	if (program->trial == KEEPER_TRIAL_RUNS) {
		forget_before(program);
		program->before = program->fd;
		program->may_return = true;
		program->crashes = keeper->brain.crashes;
		program->fd = program->next;
		program->next = -1;
		keeper->brain.crashes = 0;
	}
	program->trial = KEEPER_TRIAL_NONE;
}

_Noreturn static void
run_brain(const struct keeper *keeper, int pair)
{
	const struct program *program = &keeper->program;
	int file = program->trial == KEEPER_TRIAL_RUNS ? program->next
						       : program->fd;
	char path[32];
	sigset_t none;
	int error;

	/* Away from the terminal's signals, which are the keeper's. */
	sys_setpgid(0, 0);
	sigemptyset(&none);
	error = pair == KEEPER_PAIR_FD ? sys_fcntl(pair, F_SETFD, 0)
				       : sys_dup2(pair, KEEPER_PAIR_FD);
	if (error >= 0)
		error = sys_close_range(
			KEEPER_PAIR_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	if (error >= 0)
		error = sys_sigprocmask(SIG_SETMASK, &none, NULL);
	keeper->argv[0] = (char *)(uintptr_t) "musterd: brain";
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	if (error >= 0)
		error = sys_execve(
			file < 0 ? keeper->own : path, keeper->argv, environ);
	log_error("can't execute the brain: %s", strerror(-error));
	_exit(127);
}

static int
start(struct keeper *keeper)
{
	struct clone_args args = {.exit_signal = SIGCHLD};
	struct brain *brain = &keeper->brain;
	int pair[2], pid;
	int error = sys_socketpair(SOCK_SEQPACKET | SOCK_NONBLOCK, pair);

	if (error)
		return error;
	error = keeper_watch(
		keeper, EPOLL_CTL_ADD, pair[0], EVENT_PAIR, EPOLLIN);
	pid = error ? error : sys_clone3(&args, sizeof(args));
	if (pid == 0)
		run_brain(keeper, pair[1]);
	sys_close(pair[1]);
	if (pid < 0) {
		keeper_watch(keeper, EPOLL_CTL_DEL, pair[0], 0, 0);
		sys_close(pair[0]);
		return pid;
	}
	brain->pid = pid;
	brain->pair = pair[0];
	brain->interest = EPOLLIN;
	return 0;
}

void
life_start(struct keeper *keeper)
{
	struct keeper_record hello = {.kind = KEEPER_HELLO,
		.hello = {.version = KEEPER_VERSION, .pid = getpid()}};
	struct brain *brain = &keeper->brain;
	struct program *program = &keeper->program;
	int error;

	brain->start_at = INSTANT_NONE;
	brain->up = brain->heeds = false;
	keeper->unsent = (struct unsent){.orphans = keeper->unsent.orphans};
	if (program->must_try) {
		program->trial = KEEPER_TRIAL_RUNS;
		program->by = clock_after_ms(clock_now(), KEEPER_TRIAL_MS);
	}
	program->must_try = false;
	error = start(keeper);
	if (error) {
		life_ended(keeper, 0, -error);
		return;
	}
	hello.hello.brains = brain->started++;
	hello.hello.trial = program->trial;
	/* What crashed was another program. */
	if (program->trial != KEEPER_TRIAL_RUNS)
		hello.hello.crashes = brain->crashes;
	memcpy(hello.hello.ends, brain->ends, sizeof(brain->ends));
	link_answer(keeper, hello);
}

void
life_end_trial(struct keeper *keeper)
{
	keeper->program.by = INSTANT_NONE;
	keeper->program.trial = KEEPER_TRIAL_LATE;
	if (keeper->brain.pid)
		sys_kill(keeper->brain.pid, SIGKILL);
}

/* Notes how a brain ended, for the next ones. Whether that was soon, and by
 * itself: what somebody kills has not crashed. */
static bool
note_end(struct keeper *keeper, int code, int status)
{
	struct brain *brain = &keeper->brain;
	int64_t lived = clock_ms_between(brain->up_at, clock_now());
	struct keeper_brain_end end = {
		(uint8_t)code, (uint8_t)status, KEEPER_NEVER_UP};

	if (brain->up)
		end.lived = lived / 100 < UINT16_MAX ? (uint16_t)(lived / 100)
						     : UINT16_MAX - 1;
	memmove(brain->ends + 1, brain->ends,
		sizeof(brain->ends) - sizeof(*brain->ends));
	brain->ends[0] = end;
	if (brain->up && lived >= KEEPER_CRASH_MS) {
		brain->crashes = 0;
		forget_before(&keeper->program);
		return false;
	}
	if (code != CLD_EXITED && status == SIGKILL)
		return false;
	brain->crashes += brain->up;
	return true;
}

/* The n-th failure in a row: how long to wait. */
static int
back_off(uint32_t failures)
{
	int delay = FIRST_DELAY_MS;

	for (uint32_t i = 1; i < failures && delay < LONGEST_DELAY_MS; i++)
		delay *= 2;
	return delay < LONGEST_DELAY_MS ? delay : LONGEST_DELAY_MS;
}

/* When the next brain is due, in milliseconds. */
static int
judge(struct keeper *keeper, int code, int status)
{
	struct brain *brain = &keeper->brain;
	struct program *program = &keeper->program;
	bool has_crashed;

	if (program->must_try && brain->up)
		return 0; /* it ended since it said so */
	has_crashed = note_end(keeper, code, status);
	if (program->next >= 0) {
		/* The new program was not up: the one before goes on. */
		if (program->trial != KEEPER_TRIAL_LATE)
			program->trial = KEEPER_TRIAL_FAILED;
		program->by = INSTANT_NONE;
		life_set_next(program, -1);
		return 0;
	}
	if (has_crashed && program->may_return) {
		take_back(keeper);
		return 0;
	}
	if (brain->up)
		return brain->crashes > 1 ? back_off(brain->crashes - 1) : 0;
	return back_off(++brain->failures);
}

void
life_ended(struct keeper *keeper, int code, int status)
{
	struct brain *brain = &keeper->brain;
	struct row *row;
	int delay;

	/* Nobody hears answers now, but what it last said still counts. */
	brain->pid = 0;
	while (link_serve(keeper)) {
		keeper->unsent.answer_waits = false;
		keeper->unsent.cursor_kind = 0;
	}
	if (brain->pair >= 0)
		link_cut(keeper);
	/* The next one learns of the rows by LIST. */
	brain->heeds = false;
	while ((row = table_first(&keeper->table))) {
		bool failed = row->news & NEWS_FAILED;

		table_shift(&keeper->table);
		if (failed)
			keeper_free_row(keeper, row);
	}
	signals_repeat(&keeper->signals);
	if (keeper->ending)
		return;
	delay = judge(keeper, code, status);
	if (!brain->ever_up && brain->failures >= FAILURES_AT_START) {
		log_error("gave up: the brain ended %d times before it was up, "
			  "the last time by %s %d",
			FAILURES_AT_START,
			code == 0	     ? "errno"
			: code == CLD_EXITED ? "exit status"
					     : "signal",
			status);
		keeper_end(keeper, 1, 0);
	}
	brain->start_at = clock_after_ms(clock_now(), delay);
}
