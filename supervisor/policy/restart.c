/*
 * restart: decides whether and when a slot gets its next process. It leaves the
 * wait itself to the deadline of the next automaton (policy/worker_fsm) and
 * the drawing of the random number to the caller, so that every verdict can be
 * computed again in a test.
 */
#include "policy/restart.h"

static bool
is_final_code(const struct restart_rules *rules, const struct restart_exit *end)
{
	if (end->by_signal)
		return false;
	for (size_t i = 0; i < rules->stop_exit_code_count; i++)
		if (rules->stop_exit_codes[i] == end->status)
			return true;
	return false;
}

/*
 * The wait before the start that follows `unstable` (at least 1) unstable ones:
 * between half of the doubled delay and all of it. Monotone in its bounds: the
 * least wait of a step is the most of the step before.
 */
static int64_t
back_off(int64_t first_ms, uint32_t unstable, uint32_t random)
{
	int64_t most = first_ms;
	int64_t half;

	if (first_ms <= 0)
		return 0;
	for (uint32_t i = 1; i < unstable && most < RESTART_DELAY_MAX_MS; i++)
		most *= 2;
	if (most > RESTART_DELAY_MAX_MS)
		most = RESTART_DELAY_MAX_MS;
	half = most / 2;
	return half + (int64_t)(random % (uint64_t)(most - half + 1));
}

struct restart_verdict
restart_decide(const struct restart_rules *rules,
	struct restart_history history, const struct restart_exit *ended,
	uint32_t random)
{
	struct restart_verdict verdict = {.kind = RESTART_AGAIN};
	bool is_unstable =
		!ended->was_ready || ended->uptime_ms < rules->min_uptime;
	int64_t delay = rules->restart_delay > 0 ? rules->restart_delay : 0;

	if (!rules->autorestart || is_final_code(rules, ended)) {
		verdict.kind = RESTART_STOPPED;
		return verdict;
	}
	if (!is_unstable) {
		verdict.delay_ms = delay;
		return verdict;
	}
	verdict.history.unstable = history.unstable;
	if (history.unstable < UINT32_MAX)
		verdict.history.unstable++;
	if (rules->max_restarts >= 0 &&
		verdict.history.unstable >= rules->max_restarts) {
		verdict.kind = RESTART_ERRORED;
		return verdict;
	}
	verdict.delay_ms = back_off(rules->exp_backoff_restart_delay,
		verdict.history.unstable, random);
	if (verdict.delay_ms < delay)
		verdict.delay_ms = delay;
	return verdict;
}
