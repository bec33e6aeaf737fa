/*
 * signals.c: one table of what is passed on, and the bookkeeping. What a signal
 * means is the brain's business; only that TERM, INT and QUIT must have an
 * effect even where no brain works is decided here.
 */
#include "keeper/signals.h"
#include "base/sys.h"

#include <errno.h>
#include <sys/signalfd.h>

static const struct {
	int number;
	bool stops; /* counted, and must not be lost */
} table[] = {
	{SIGTERM, true},
	{SIGINT, true},
	{SIGQUIT, true},
	{SIGHUP, false},
	{SIGUSR1, false},
	{SIGUSR2, false},
	{SIGTTIN, false},
	{SIGTTOU, false},
	{SIGTSTP, false},
};

#define COUNT ((int)(sizeof(table) / sizeof(*table)))

_Static_assert(COUNT <= SIGNALS_MAX, "each signal has its counters");

int
signals_take_over(void)
{
	sigset_t all, ours;
	int error;

	sigfillset(&all);
	error = sys_sigprocmask(SIG_SETMASK, &all, NULL);
	if (error)
		return error;
	/* A refusal means KILL, STOP, or one that libc keeps for itself. */
	for (int number = 1; number < NSIG; number++)
		sys_sigaction(number,
			&(struct sigaction){.sa_handler = SIG_DFL,
				.sa_flags = SA_NOCLDSTOP},
			NULL);
	sigemptyset(&ours);
	sigaddset(&ours, SIGCHLD);
	for (int i = 0; i < COUNT; i++)
		sigaddset(&ours, table[i].number);
	return sys_signalfd(-1, &ours, SFD_NONBLOCK);
}

static int
index_of(int number)
{
	for (int i = 0; i < COUNT; i++)
		if (table[i].number == number)
			return i;
	return -ENOENT;
}

void
signals_came(struct signals *signals, int number, bool brain_runs,
	struct instant now)
{
	int i = index_of(number);

	if (i < 0)
		return;
	if (signals->each[i].untold == 0 ||
		(table[i].stops && brain_runs &&
			signals->each[i].untold < UINT8_MAX))
		signals->each[i].untold++;
	if (table[i].stops && !clock_is_set(signals->force_at))
		signals->force_at = clock_after_ms(now, SIGNALS_PATIENCE_MS);
}

int
signals_untold(const struct signals *signals)
{
	for (int i = 0; i < COUNT; i++)
		if (signals->each[i].untold)
			return table[i].number;
	return 0;
}

void
signals_told(struct signals *signals, int number)
{
	int i = index_of(number);

	signals->each[i].untold--;
	if (signals->each[i].told < UINT8_MAX)
		signals->each[i].told++;
}

void
signals_took(struct signals *signals, int number)
{
	int i = index_of(number);

	if (i < 0 || signals->each[i].told == 0)
		return;
	signals->each[i].told--;
	for (i = 0; i < COUNT; i++)
		if (table[i].stops &&
			(signals->each[i].told || signals->each[i].untold))
			return;
	signals->force_at = INSTANT_NONE;
}

void
signals_repeat(struct signals *signals)
{
	for (int i = 0; i < COUNT; i++) {
		if (signals->each[i].told)
			signals->each[i].untold = 1;
		signals->each[i].told = 0;
	}
}
