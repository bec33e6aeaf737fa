/*
 * One timer a worker, left alone by the signs of life: when it fires it looks
 * when the last one was.
 */
#include "fleet/heartbeat.h"

#include "exchange/exchange.h"
#include "fleet/core.h"
#include "fleet/process.h"
#include "fleet/version.h"

enum {
	PAUSED_MS = 250, /* a paused worker is looked at again */
};

static void
set(struct process *process, int64_t ms)
{
	struct ev_loop *loop = process->fleet->setup.loop;

	ev_now_update(loop);
	ev_timer_set(&process->watchdog, (double)ms / 1e3, 0.);
	ev_timer_start(loop, &process->watchdog);
}

static void
on_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct process *process = timer->data;
	int64_t limit = process->version->config->watchdog;
	int64_t silent = clock_ms_between(process->heard, clock_now());

	(void)loop;
	(void)events;
	if (limit == CONFIG_UNSET || !process_is_ready(process))
		return;
	if (silent < limit)
		set(process, limit - silent);
	else if (process->peer && peer_is_paused(process->peer))
		set(process, PAUSED_MS); /* it can't be heard */
	else
		process_replace(process,
			"gave no sign of life in the time of watchdog",
			STOP_WATCHDOG);
}

void
heartbeat_begin(struct process *process)
{
	int64_t limit = process->version->config->watchdog;

	process->heard = clock_now();
	if (limit == CONFIG_UNSET || process->fleet->setup.is_safe)
		return;
	ev_timer_stop(process->fleet->setup.loop, &process->watchdog);
	ev_timer_init(&process->watchdog, on_timer, 0., 0.);
	process->watchdog.data = process;
	set(process, limit);
}

void
heartbeat_take(struct process *process)
{
	process->heard = clock_now();
}

void
heartbeat_end(struct process *process)
{
	ev_timer_stop(process->fleet->setup.loop, &process->watchdog);
}
