/*
 * The pulse: a count of the loop's turns, and a signal that looks at it.
 *
 * What follows on the death of the process is the keeper's business. The one
 * place of the supervisor with a signal handler, and so with state that isn't
 * in a struct of somebody's: a handler is given nothing but a number.
 */
#include "mechanism/pulse.h"

#include "base/sys.h"

#include <ev.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t turns, seen;
static ev_check check;

static void
on_turn(struct ev_loop *loop, ev_check *watcher, int events)
{
	(void)loop;
	(void)watcher;
	(void)events;
	turns = turns == SIG_ATOMIC_MAX ? 0 : turns + 1;
}

static void
on_prof(int signal)
{
	static const char words[] =
		"muster: the brain computes without end: it is replaced\n";

	(void)signal;
	if (turns != seen) {
		seen = turns;
		return;
	}
	(void)!write(STDERR_FILENO, words, sizeof(words) - 1);
	abort();
}

int
pulse_start(struct ev_loop *loop, int ms)
{
	struct sigaction action = {
		.sa_handler = on_prof, .sa_flags = SA_RESTART};
	struct timeval every = {ms / 1000, ms % 1000 * 1000};
	int r = sys_sigaction(SIGPROF, &action, NULL);

	if (r < 0)
		return r;
	seen = -1;
	turns = 0;
	ev_check_init(&check, on_turn);
	ev_check_start(loop, &check);
	/* It isn't a reason for the loop to go on. */
	ev_unref(loop);
	return sys_setitimer(ITIMER_PROF, &(struct itimerval){every, every});
}

void
pulse_stop(struct ev_loop *loop)
{
	(void)sys_setitimer(ITIMER_PROF, &(struct itimerval){0});
	ev_ref(loop);
	ev_check_stop(loop, &check);
}
