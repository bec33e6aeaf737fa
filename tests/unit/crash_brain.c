/*
 * crash_brain.c: the brain of the crash walk: what it makes at its start, what
 * it does when it is told, and where it dies. Runs in a child of the test and
 * so asserts nothing: what goes wrong ends it with a code of its own.
 */
#include "base/json.h"
#include "base/sys.h"
#include "crash_walk.h"
#include "exchange/state.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	BRAIN_KILLED = 9,
	BRAIN_BROKEN = 3,
};

/* Dying ------------------------------------------------------------------- */

static uint32_t points, kill_at;
static bool is_armed;

/* As a kill would: nothing is flushed or freed. */
void
exchange_crash_point(void)
{
	if (is_armed && ++points == kill_at)
		_exit(BRAIN_KILLED);
}

ssize_t __real_sys_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __real_sys_recvmsg(int fd, struct msghdr *message, int flags);
int __real_sys_close(int fd);
ssize_t __wrap_sys_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_sys_recvmsg(int fd, struct msghdr *message, int flags);
int __wrap_sys_close(int fd);

ssize_t
__wrap_sys_sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t n;

	exchange_crash_point();
	n = __real_sys_sendmsg(fd, message, flags);
	exchange_crash_point();
	return n;
}

ssize_t
__wrap_sys_recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t n;

	exchange_crash_point();
	n = __real_sys_recvmsg(fd, message, flags);
	exchange_crash_point();
	return n;
}

int
__wrap_sys_close(int fd)
{
	exchange_crash_point();
	return __real_sys_close(fd);
}

/* Living ------------------------------------------------------------------ */

struct brain {
	struct ev_loop *loop;
	struct exchange *exchange;
	struct group *groups[2];
	struct endpoint *endpoints[WALK_WORKERS + 1];
	struct peer *peers[WALK_WORKERS + 1];
	ev_timer tick;
};

static void
on_joined(struct peer *peer)
{
	(void)peer;
}

static void
on_request(struct peer *peer, uint64_t id, const char *body, size_t size)
{
	json_t *value = json_read(body, size);
	json_t *params = NULL;
	const char *name = json_method(value, &params);

	if (name != NULL && strcmp(name, "subscribe") == 0)
		peer_subscribe(peer, id, params);
	else if (name != NULL && strcmp(name, "unsubscribe") == 0)
		peer_unsubscribe(peer, id, params);
	else
		peer_reply(peer, id, NULL);
	json_decref(value);
}

static void
on_message(struct peer *peer, const char *body, size_t size)
{
	(void)peer;
	(void)body;
	(void)size;
}

static void
on_ended(struct peer *peer, enum peer_end how, const char *reason)
{
	struct peer **at = peer_data(peer);

	(void)reason;
	/* No worker of the walk breaks a rule. */
	if (how != PEER_END_CLOSED)
		_exit(BRAIN_BROKEN + (int)how);
	peer_retire(at);
}

static const struct peer_hooks hooks = {
	.joined = on_joined,
	.request = on_request,
	.message = on_message,
	.ended = on_ended,
	.stalled = on_joined,
};

static void
on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)timer;
	(void)events;
}

static void
make_peer(struct brain *brain, struct walk_worker *worker, bool is_new)
{
	struct endpoint *endpoint = brain->endpoints[worker->slot];
	struct peer **peer = &brain->peers[worker->slot];
	json_t *welcome = json_pack("{s:s}", "event", "welcome");
	int r;

	if (is_new)
		r = peer_new_worker(endpoint, worker->process, 1, welcome,
			worker->brain_fd, &hooks, peer, peer);
	else
		r = peer_resume(endpoint, worker->process, welcome,
			worker->brain_fd, &hooks, peer, peer);
	json_decref(welcome);
	if (r < 0)
		_exit(BRAIN_BROKEN);
	endpoint_set_peer(endpoint, *peer);
}

/* What fleet does at a start: returns a bit for each process that is new. */
static uint32_t
rebuild(struct brain *brain, struct walk *walk)
{
	static const struct group_limits limits = {
		.queue_limit = 4 << 20,
		.max_message = MUSTER_MAX_MESSAGE,
		.stall_timeout_ms = 60000,
	};
	uint32_t news = 0;

	brain->loop = ev_loop_new(EVBACKEND_EPOLL);
	ev_timer_init(&brain->tick, on_tick, 0.001, 0.001);
	if (exchange_new(brain->loop, dup(walk->memory_fd), 16 << 20,
		    &brain->exchange) < 0)
		_exit(BRAIN_BROKEN);
	brain->groups[0] = group_new(brain->exchange, "api", &limits);
	brain->groups[1] = group_new(brain->exchange, "jobs", &limits);
	for (uint32_t slot = 1; slot <= WALK_WORKERS; slot++) {
		struct walk_worker *worker = &walk->workers[slot];
		bool is_new;

		brain->endpoints[slot] = endpoint_new(
			brain->groups[slot == WALK_WORKERS], slot, slot);
		if (worker->process == 0)
			continue;
		is_new = !exchange_wants_channel(
			brain->exchange, worker->process);
		news |= (uint32_t)is_new << slot;
		make_peer(brain, worker, is_new);
		if (worker->is_ready)
			endpoint_set_ready(brain->endpoints[slot], true);
	}
	exchange_settle(brain->exchange);
	return news;
}

static void
turn(struct brain *brain)
{
	for (int i = 0; i < 4; i++)
		ev_run(brain->loop, EVRUN_NOWAIT);
}

static void
bury(struct brain *brain, uint32_t slot)
{
	if (brain->peers[slot] != NULL)
		peer_drain(brain->peers[slot], 1 << 20);
	endpoint_set_peer(brain->endpoints[slot], NULL);
	peer_retire(&brain->peers[slot]);
}

static uint32_t
obey(struct brain *brain, struct walk *walk, char what, uint32_t value)
{
	switch (what) {
	case 'A':
		is_armed = true;
		kill_at = value;
		return 0;
	case 'W':
		ev_timer_again(brain->loop, &brain->tick);
		ev_run(brain->loop, EVRUN_ONCE);
		ev_timer_stop(brain->loop, &brain->tick);
		return 0;
	case 'D':
		bury(brain, value);
		return 0;
	case 'S':
		make_peer(brain, &walk->workers[value], true);
		return 0;
	case 'Y':
		endpoint_set_ready(brain->endpoints[value], true);
		return 0;
	case 'N':
		endpoint_set_ready(brain->endpoints[value], false);
		return 0;
	case 'R':
		return brain->exchange->requests.open;
	case 'P':
		return points;
	default:
		return 0;
	}
}

void
walk_brain(struct walk *walk, int control, uint32_t kill)
{
	struct brain brain = {.loop = NULL};
	uint32_t words[2], answer;

	kill_at = kill;
	is_armed = kill > 0;
	answer = rebuild(&brain, walk);
	for (;;) {
		if (send(control, &answer, sizeof answer, MSG_NOSIGNAL) < 0)
			_exit(0);
		if (recv(control, words, sizeof words, 0) !=
			(ssize_t)sizeof words)
			_exit(0);
		if (words[0] == 'S') {
			/* A socket made after this brain was: it follows. */
			char byte;
			struct iovec iov = {&byte, 1};
			char room[CMSG_SPACE(sizeof(int))];
			struct msghdr message = {.msg_iov = &iov,
				.msg_iovlen = 1,
				.msg_control = room,
				.msg_controllen = sizeof room};

			if (recvmsg(control, &message, MSG_CMSG_CLOEXEC) != 1)
				_exit(0);
			memcpy(&walk->workers[words[1]].brain_fd,
				CMSG_DATA(CMSG_FIRSTHDR(&message)),
				sizeof(int));
			walk->workers[words[1]].process = ++walk->processes;
		}
		answer = obey(&brain, walk, (char)words[0], words[1]);
		turn(&brain);
	}
}
