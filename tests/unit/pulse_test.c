/* The pulse: a loop that turns lives, one that doesn't is ended. */
#include "mechanism/pulse.h"

#include <criterion/criterion.h>
#include <ev.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { EVERY_MS = 50 };

static int64_t
cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Computes for so long, in one turn. */
static void
compute(int64_t ms)
{
	int64_t until = cpu_ms() + ms;

	while (cpu_ms() < until)
		;
}

static void
on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	int *rounds = timer->data;

	(void)events;
	compute(*rounds < 0 ? 20000 : EVERY_MS / 5);
	if (--*rounds == 0)
		ev_break(loop, EVBREAK_ALL);
}

/* Runs a loop in a child: `rounds` short turns, or one without end (-1).
 * Returns how the child ended. */
static int
run(int rounds)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		struct ev_loop *loop = ev_loop_new(EVFLAG_NOENV);
		ev_timer timer;

		close(STDERR_FILENO);
		ev_timer_init(&timer, on_timer, 0., 0.0001);
		timer.data = &rounds;
		ev_timer_start(loop, &timer);
		if (pulse_start(loop, EVERY_MS) < 0)
			_exit(3);
		ev_run(loop, 0);
		pulse_stop(loop);
		ev_loop_destroy(loop);
		_exit(0);
	}
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return status;
}

/* Much CPU time, in many turns. */
Test(pulse, a_busy_loop_lives)
{
	int status = run(60);

	cr_assert(WIFEXITED(status));
	cr_expect_eq(WEXITSTATUS(status), 0);
}

Test(pulse, a_turn_without_end_is_ended)
{
	int status = run(-1);

	cr_assert(WIFSIGNALED(status));
	cr_expect_eq(WTERMSIG(status), SIGABRT);
}
