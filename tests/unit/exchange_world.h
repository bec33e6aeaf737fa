/*
 * exchange_world.h: an exchange in a loop of its own, and workers and clients
 * at the other ends of real socketpairs, which write frames by hand. For the
 * tests of intake, router and exchange.
 *
 * Nothing here sleeps: expect_* run turns of the loop until what is awaited is
 * there, or a deadline fails the test.
 */
#ifndef MUSTER_EXCHANGE_WORLD_H
#define MUSTER_EXCHANGE_WORLD_H

#include "base/clock.h"
#include "base/sys.h"
#include "exchange/state.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WORLD_DEADLINE_MS = 5000 };

struct world {
	struct ev_loop *loop;
	struct exchange *exchange;
	struct group *group;
	int memory_fd; /* a duplicate, as the keeper has one */
	ev_timer tick; /* so that a wait looks at its deadline */
};

struct actor {
	struct world *world;
	struct endpoint *endpoint;
	struct peer *peer;
	int fd;
	uint32_t id;
	bool takes_part;
	uint32_t sequence; /* of its last frame */
	uint32_t received; /* the last number that it got */

	uint8_t *in; /* read and not yet taken */
	size_t in_size, in_room;
	int fds[256];
	int fd_count;
	bool at_end;

	/* what its hooks heard */
	int joined, ended, stalled, requests, messages;
	enum peer_end how;
	char reason[128];
	uint64_t request_id;
	char text[256];
	void (*on_request)(struct actor *actor);
	void (*on_end)(struct actor *actor);
	void (*on_join)(struct actor *actor);
};

static const struct group_limits world_limits = {
	.queue_limit = 64 * 1024,
	.max_message = MUSTER_MAX_MESSAGE,
	.stall_timeout_ms = 200,
};

static inline void
world_on_joined(struct peer *peer)
{
	struct actor *actor = peer_data(peer);

	actor->joined++;
	if (actor->on_join != NULL)
		actor->on_join(actor);
}

static inline void
world_keep(struct actor *actor, const char *body, size_t size)
{
	if (size > sizeof actor->text - 1)
		size = sizeof actor->text - 1;
	memcpy(actor->text, body, size);
	actor->text[size] = '\0';
}

static inline void
world_on_request(struct peer *peer, uint64_t id, const char *body, size_t size)
{
	struct actor *actor = peer_data(peer);

	actor->requests++;
	actor->request_id = id;
	world_keep(actor, body, size);
	if (actor->on_request != NULL)
		actor->on_request(actor);
}

static inline void
world_on_message(struct peer *peer, const char *body, size_t size)
{
	struct actor *actor = peer_data(peer);

	actor->messages++;
	world_keep(actor, body, size);
}

static inline void
world_on_ended(struct peer *peer, enum peer_end how, const char *reason)
{
	struct actor *actor = peer_data(peer);

	actor->ended++;
	actor->how = how;
	(void)snprintf(actor->reason, sizeof actor->reason, "%s", reason);
	if (actor->on_end != NULL)
		actor->on_end(actor);
}

static inline void
world_on_stalled(struct peer *peer)
{
	struct actor *actor = peer_data(peer);

	actor->stalled++;
}

static const struct peer_hooks world_hooks = {
	.joined = world_on_joined,
	.request = world_on_request,
	.message = world_on_message,
	.ended = world_on_ended,
	.stalled = world_on_stalled,
};

/* The loop and the exchange ---------------------------------------------- */

static inline void
world_on_tick(struct ev_loop *loop, ev_timer *timer, int events)
{
	(void)loop;
	(void)timer;
	(void)events;
}

static inline void
world_open(struct world *world, int memory_fd, uint64_t memory_limit)
{
	*world = (struct world){.memory_fd = memory_fd};
	world->loop = ev_loop_new(EVBACKEND_EPOLL);
	cr_assert_not_null(world->loop);
	ev_timer_init(&world->tick, world_on_tick, 0.01, 0.01);
	cr_assert_eq(exchange_new(world->loop, dup(memory_fd), memory_limit,
			     &world->exchange),
		0);
	world->group = group_new(world->exchange, "api", &world_limits);
	cr_assert_not_null(world->group);
}

static inline void
world_new_limited(struct world *world, uint64_t memory_limit)
{
	int fd = sys_memfd("exchange", MFD_CLOEXEC);

	cr_assert_geq(fd, 0);
	world_open(world, fd, memory_limit);
}

static inline void
world_new(struct world *world)
{
	world_new_limited(world, 64 << 20);
}

static inline void
world_free(struct world *world)
{
	exchange_free(&world->exchange);
	ev_loop_destroy(world->loop);
	(void)close(world->memory_fd);
}

/* Turns until nothing that is there already is left to do. */
static inline void
world_turn(struct world *world)
{
	for (int i = 0; i < 6; i++)
		ev_run(world->loop, EVRUN_NOWAIT);
}

/* Runs the loop, which may wait for a timer, until `condition`. */
#define world_wait(world, condition)                                           \
	do {                                                                   \
		struct instant until_ =                                        \
			clock_after_ms(clock_now(), WORLD_DEADLINE_MS);        \
		ev_timer_again((world)->loop, &(world)->tick);                 \
		while (!(condition)) {                                         \
			cr_assert_not(clock_is_past(until_, clock_now()),      \
				"in vain: %s", #condition);                    \
			ev_run((world)->loop, EVRUN_ONCE);                     \
		}                                                              \
		ev_timer_stop((world)->loop, &(world)->tick);                  \
	} while (0)

/* Actors ------------------------------------------------------------------ */

static inline int
actor_socket(struct actor *actor)
{
	int pair[2];

	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			0, pair),
		0);
	actor->fd = pair[1];
	actor->at_end = false;
	actor->in_size = 0;
	return pair[0];
}

static inline void
actor_spawn(struct actor *actor, uint64_t process)
{
	json_t *welcome = json_pack("{s:s}", "event", "welcome");

	cr_assert_eq(
		peer_new_worker(actor->endpoint, process, 1, welcome,
			actor_socket(actor), &world_hooks, actor, &actor->peer),
		0);
	json_decref(welcome);
	endpoint_set_peer(actor->endpoint, actor->peer);
	actor->sequence = actor->received = 0;
}

static inline void
actor_new_in(struct world *world, struct actor *actor, struct group *group,
	uint32_t id)
{
	*actor = (struct actor){.world = world, .id = id, .takes_part = true};
	actor->endpoint = endpoint_new(group, id, id);
	cr_assert_not_null(actor->endpoint);
	actor_spawn(actor, id);
}

static inline void
actor_client(struct world *world, struct actor *actor)
{
	*actor = (struct actor){.world = world};
	cr_assert_eq(peer_new_client(world->exchange, actor_socket(actor),
			     &world_hooks, actor, &actor->peer),
		0);
}

static inline void
actor_free(struct actor *actor)
{
	for (int i = 0; i < actor->fd_count; i++)
		(void)close(actor->fds[i]);
	peer_retire(&actor->peer);
	if (actor->fd >= 0)
		(void)close(actor->fd);
	free(actor->in);
	actor->in = NULL;
	actor->fd = -1;
	actor->fd_count = 0;
}

/* Reads what is there; returns whether something was. */
static inline bool
actor_fill(struct actor *actor)
{
	char control[CMSG_SPACE(253 * sizeof(int))];
	struct iovec iov;
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof control};
	ssize_t n;

	if (actor->in_room - actor->in_size < 65536) {
		actor->in_room = actor->in_size + (1 << 20);
		actor->in = realloc(actor->in, actor->in_room);
		cr_assert_not_null(actor->in);
	}
	iov = (struct iovec){
		actor->in + actor->in_size, actor->in_room - actor->in_size};
	n = recvmsg(actor->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		actor->at_end = true;
	if (n <= 0)
		return false;
	actor->in_size += (size_t)n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL;
		c = CMSG_NXTHDR(&message, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		memcpy(actor->fds + actor->fd_count, CMSG_DATA(c),
			count * sizeof(int));
		actor->fd_count += (int)count;
	}
	return true;
}

static inline bool
actor_has_frame(struct actor *actor)
{
	struct frame_header header;

	if (actor->in_size < MUSTER_HEADER_SIZE)
		return false;
	frame_load(actor->in, &header);
	return actor->in_size >= (size_t)header.size + MUSTER_HEADER_SIZE;
}

/* A frame is there now, without a wait. */
static inline bool
actor_sees_frame(struct actor *actor)
{
	world_turn(actor->world);
	while (actor_fill(actor))
		world_turn(actor->world);
	return actor_has_frame(actor);
}

/* Takes a frame that is there. `body` has room for `room` bytes or is NULL. */
static inline struct frame_header
actor_take(struct actor *actor, char *body, size_t room)
{
	struct frame_header header;
	size_t total;

	frame_load(actor->in, &header);
	total = (size_t)header.size + MUSTER_HEADER_SIZE;
	if (body != NULL) {
		size_t size = header.size < room ? header.size : room - 1;

		memcpy(body, actor->in + MUSTER_HEADER_SIZE, size);
		if (size < room)
			body[size] = '\0';
	}
	memmove(actor->in, actor->in + total, actor->in_size - total);
	actor->in_size -= total;
	if (header.sequence != 0) {
		cr_assert_eq(header.sequence, actor->received + 1,
			"a gap at %u: %u came", actor->received,
			header.sequence);
		actor->received = header.sequence;
	}
	return header;
}

/* The next frame but an `ack`; waits for it. */
static inline struct frame_header
expect_frame(struct actor *actor, char *body, size_t room)
{
	char text[256];

	for (;;) {
		struct frame_header header;

		world_wait(actor->world,
			actor_has_frame(actor) ||
				(actor_fill(actor) && actor_has_frame(actor)) ||
				actor->at_end);
		cr_assert(actor_has_frame(actor), "the channel is at its end");
		frame_load(actor->in, &header);
		if (header.size < sizeof text && header.from == 0 &&
			header.kind == MUSTER_MESSAGE) {
			memcpy(text, actor->in + MUSTER_HEADER_SIZE,
				header.size);
			text[header.size] = '\0';
			if (strstr(text, "\"ack\"") != NULL) {
				(void)actor_take(actor, NULL, 0);
				continue;
			}
		}
		return actor_take(actor, body, room);
	}
}

static inline void
expect_nothing(struct actor *actor)
{
	char text[256] = "";

	while (actor_sees_frame(actor)) {
		struct frame_header header =
			actor_take(actor, text, sizeof text);

		cr_assert(
			header.sequence == 0 && strstr(text, "\"ack\"") != NULL,
			"unexpected: %s", text);
	}
}

static inline void
expect_end(struct actor *actor)
{
	world_wait(actor->world, actor->ended > 0);
}

/* An error from 0 with this code for the frame `id`. */
static inline void
expect_error(struct actor *actor, uint64_t id, const char *code)
{
	char text[512], wanted[64];
	struct frame_header header = expect_frame(actor, text, sizeof text);

	cr_assert_eq(header.kind, MUSTER_ERROR, "instead: kind %d %s",
		header.kind, text);
	cr_assert_eq(header.from, 0);
	cr_assert_eq(header.id, id);
	(void)snprintf(wanted, sizeof wanted, "\"code\":\"%s\"", code);
	cr_assert_not_null(
		strstr(text, wanted), "instead of %s: %s", code, text);
}

/* Writes all, with turns of the loop where the socket is full. */
static inline void
actor_write(struct actor *actor, const void *bytes, size_t size)
{
	const char *at = bytes;
	struct instant deadline =
		clock_after_ms(clock_now(), WORLD_DEADLINE_MS);

	while (size > 0) {
		ssize_t n = send(actor->fd, at, size, MSG_NOSIGNAL);

		if (n > 0) {
			at += n;
			size -= (size_t)n;
			continue;
		}
		cr_assert(n < 0 && errno == EAGAIN, "writing: %s",
			strerror(errno));
		/* One that is held back is read again after a moment. */
		cr_assert(
			!clock_is_past(deadline, clock_now()), "nobody reads");
		world_turn(actor->world);
	}
}

/* Builds a frame of the actor into `room`; returns its size. */
static inline size_t
actor_build(struct actor *actor, uint8_t *room, struct frame_header header,
	const char *name, const void *body, size_t size)
{
	size_t name_size = strlen(name);

	header.name_size = (uint16_t)name_size;
	header.size = (uint32_t)(name_size + size);
	if (actor->takes_part && actor->endpoint != NULL &&
		header.sequence == 0)
		header.sequence = ++actor->sequence;
	frame_store(room, &header);
	memcpy(room + MUSTER_HEADER_SIZE, name, name_size);
	memcpy(room + MUSTER_HEADER_SIZE + name_size, body, size);
	return MUSTER_HEADER_SIZE + header.size;
}

static inline void
actor_say_named(struct actor *actor, struct frame_header header,
	const char *name, const void *body, size_t size)
{
	uint8_t *room = malloc(MUSTER_HEADER_SIZE + 256 + size);

	cr_assert_not_null(room);
	actor_write(actor, room,
		actor_build(actor, room, header, name, body, size));
	free(room);
}

static inline void
actor_say(struct actor *actor, enum muster_kind kind, uint32_t to, uint64_t id,
	const char *body)
{
	actor_say_named(actor,
		(struct frame_header){
			.kind = (uint8_t)kind, .to = to, .id = id},
		"", body, strlen(body));
}

/* A message with a body of `size` bytes, a JSON string. */
static inline void
actor_send(struct actor *actor, uint32_t to, uint64_t id, size_t size)
{
	char *body = malloc(size);

	cr_assert_not_null(body);
	memset(body, 'x', size);
	body[0] = body[size - 1] = '"';
	actor_say_named(actor,
		(struct frame_header){
			.kind = MUSTER_MESSAGE, .to = to, .id = id},
		"", body, size);
	free(body);
}

static inline void
actor_ask(struct actor *actor, uint32_t to, uint64_t id, uint32_t timeout_ms,
	const char *body)
{
	actor_say_named(actor,
		(struct frame_header){.kind = MUSTER_REQUEST,
			.to = to,
			.id = id,
			.timeout_ms = timeout_ms},
		"", body, strlen(body));
}

/* A frame to 0 without a number. */
static inline void
actor_say_numberless(struct actor *actor, const char *text)
{
	struct frame_header header = {
		.kind = MUSTER_MESSAGE, .size = (uint32_t)strlen(text)};
	uint8_t room[MUSTER_HEADER_SIZE + 128];

	frame_store(room, &header);
	memcpy(room + MUSTER_HEADER_SIZE, text, header.size);
	actor_write(actor, room, MUSTER_HEADER_SIZE + header.size);
	world_turn(actor->world);
}

/* Acknowledges what the actor has received. */
static inline void
actor_ack(struct actor *actor)
{
	char text[64];

	snprintf(text, sizeof text, "{\"event\":\"ack\",\"sequence\":%u}",
		actor->received);
	actor_say_numberless(actor, text);
}

/* A worker that has taken its welcome and joined by a word to 0. */
static inline void
actor_join(struct actor *actor)
{
	char text[256];
	struct frame_header header = expect_frame(actor, text, sizeof text);

	cr_assert_eq(header.kind, MUSTER_MESSAGE);
	cr_assert_not_null(strstr(text, "welcome"), "first: %s", text);
	actor_say(actor, MUSTER_MESSAGE, 0, 0, "\"here\"");
	world_wait(actor->world, actor->joined == 1);
}

static inline void
actor_new(struct world *world, struct actor *actor, uint32_t id)
{
	actor_new_in(world, actor, world->group, id);
	actor_join(actor);
}

/* Joined and ready; what its fellows are told of it is taken. */
static inline void
actor_ready(struct actor *actor)
{
	endpoint_set_ready(actor->endpoint, true);
	world_turn(actor->world);
}

/* Takes all that is there; returns how many frames. */
static inline int
actor_skip(struct actor *actor)
{
	int count = 0;

	while (actor_sees_frame(actor)) {
		(void)actor_take(actor, NULL, 0);
		count++;
	}
	return count;
}

#endif
