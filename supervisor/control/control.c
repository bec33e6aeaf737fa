/*
 * control.c: accepts clients, admits them, and lets them go. What they may ask
 * of address 0 is methods.c's; frames between a client and workers are the
 * exchange's.
 */
#include "control.h"

#include "base/json.h"
#include "base/log.h"
#include "base/sys.h"
#include "exchange/exchange.h"
#include "fleet/bus.h"
#include "fleet/events.h"
#include "fleet/fleet.h"
#include "methods.h"
#include "protocol/protocol.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CONTROL_ACCEPTS = 16,	 /* connections taken in one turn */
	CONTROL_PAUSE_MS = 1000, /* without descriptors nothing is accepted */
	/* A guest over TCP whose host is gone is found after so long. */
	CONTROL_ALIVE_S = 60,
	CONTROL_ALIVE_PROBES = 4,
};

/* A listening socket. */
struct door {
	struct control *control;
	int fd; /* -1: none */
	ev_io acceptable;
	ev_timer pause; /* accepting goes on after it */
};

struct control {
	struct ev_loop *loop;
	struct exchange *exchange;
	struct fleet *fleet;
	struct door near, bus;
	struct client *clients;
	unsigned int counts[CLIENT_CROWDS];
	uint64_t wrong_tokens;
};

/* Hello ----------------------------------------------------------------- */

static void
control_deny(struct client *client, uint64_t id, const char *reason)
{
	struct peer *peer = client->peer;

	peer_error(peer, id, "denied", reason);
	/* Told first, closed then: who is denied has no second try. */
	ev_timer_stop(client->control->loop, &client->hello);
	ev_timer_set(&client->hello, 0, 0);
	ev_timer_start(client->control->loop, &client->hello);
}

/* Compares in a time that tells nothing of where the first difference is. */
static bool
control_knows_token(const struct client *client, json_t *params)
{
	const char *right = fleet_bus_token(client->fleet);
	json_t *value = json_object_get(params, "token");
	const char *token = json_string_value(value);
	size_t size = json_string_length(value);
	size_t right_size = strlen(right);
	unsigned char differs = size != right_size || right_size == 0;

	for (size_t i = 0; i < BUS_TOKEN_MAX; i++) {
		unsigned char a =
			token != NULL && i < size ? (unsigned char)token[i] : 0;
		unsigned char b = i < right_size ? (unsigned char)right[i] : 0;

		differs |= a ^ b;
	}
	return differs == 0;
}

/* Each failure costs its sender a connection; the log stays short. */
static void
control_count_wrong_token(struct control *control)
{
	uint64_t count = ++control->wrong_tokens;

	if ((count & (count - 1)) == 0)
		log_warn("the bus: %llu connections so far had a wrong token",
			(unsigned long long)count);
}

static bool
control_is_full(const struct control *control, enum client_crowd crowd)
{
	static const unsigned int most[CLIENT_CROWDS] = {
		[CLIENT_OTHER] = CONTROL_OTHERS_MAX,
		[CLIENT_GUEST] = CONTROL_GUESTS_MAX,
		[CLIENT_REMOTE] = CONTROL_REMOTE_MAX,
	};

	return control->counts[crowd] >= most[crowd];
}

/* It has said what it is. Returns false: of those there are too many. */
static bool
control_move(struct client *client, enum client_crowd crowd)
{
	struct control *control = client->control;

	if (control_is_full(control, crowd))
		return false;
	control->counts[client->crowd]--;
	control->counts[crowd]++;
	client->crowd = crowd;
	return true;
}

/* The role that is asked for, if it may be had; else `ret_reason`. */
static bool
control_choose_role(struct client *client, json_t *params,
	enum peer_role *ret_role, const char **ret_reason)
{
	const char *role = json_text(params, "role");

	*ret_role = PEER_GUEST;
	if (json_object_get(params, "role") == NULL ||
		(role != NULL && strcmp(role, "guest") == 0)) {
		*ret_reason = "there are too many guests; come again later";
		return client->crowd == CLIENT_REMOTE ||
		       control_move(client, CLIENT_GUEST);
	}
	*ret_role = PEER_OPERATOR;
	*ret_reason = "role: operator and guest may come in";
	if (role == NULL || strcmp(role, "operator") != 0)
		return false;
	*ret_reason = "role: over TCP only guests may come in";
	return client->crowd != CLIENT_REMOTE;
}

static void
control_hello(struct client *client, uint64_t id, json_t *params)
{
	json_int_t version =
		json_integer_value(json_object_get(params, "protocol"));
	enum peer_role admitted;
	const char *reason;
	json_t *result;

	if (client->is_foreign) {
		control_deny(client, id, "the master belongs to another user");
		return;
	}
	if (client->crowd == CLIENT_REMOTE &&
		!control_knows_token(client, params)) {
		control_count_wrong_token(client->control);
		control_deny(client, id, "token: it is wrong");
		return;
	}
	if (version != MUSTER_PROTOCOL_VERSION) {
		control_deny(client, id, "protocol: only version 1 is spoken");
		return;
	}
	if (!control_choose_role(client, params, &admitted, &reason)) {
		control_deny(client, id, reason);
		return;
	}
	ev_timer_stop(client->control->loop, &client->hello);
	peer_admit(client->peer, admitted);
	result = json_pack("{s:i, s:I, s:i}", "protocol",
		MUSTER_PROTOCOL_VERSION, "id",
		(json_int_t)peer_id(client->peer), "max_message",
		MUSTER_MAX_MESSAGE);
	peer_reply(client->peer, id, result);
	json_decref(result);
}

static void
control_dispatch(struct client *client, uint64_t id, json_t *body)
{
	json_t *params = NULL;
	const char *name = json_method(body, &params);

	if (peer_role(client->peer) == PEER_STRANGER) {
		/* The bare parameters are a hello too. */
		if (name == NULL)
			params = body;
		if (name != NULL && strcmp(name, "hello") != 0)
			control_deny(client, id,
				"the first frame is the request hello");
		else
			control_hello(client, id, params);
		return;
	}
	if (name == NULL) {
		peer_error(client->peer, id, "bad-request",
			"method: a request to the master names one");
		return;
	}
	if (!json_is_params(params)) {
		peer_error(client->peer, id, "bad-request",
			"params: they are an object");
		return;
	}
	methods_call(client, name, id, params);
}

/* Peer hooks ------------------------------------------------------------ */

static void
control_on_request(
	struct peer *peer, uint64_t id, const char *text, size_t size)
{
	struct client *client = peer_data(peer);
	json_t *body = json_read(text, size);

	if (body == NULL && peer_role(peer) == PEER_STRANGER)
		control_deny(client, id, "the body is no JSON value");
	else if (body == NULL)
		peer_error(
			peer, id, "bad-request", "the body is no JSON value");
	else
		control_dispatch(client, id, body);
	json_decref(body);
}

/* A program's word to its master, whoever started the program. */
static void
control_on_message(struct peer *peer, const char *text, size_t size)
{
	const struct client *client = peer_data(peer);
	struct events_subject subject = {.id = peer_id(peer)};

	events_raise_message(fleet_events(client->fleet), &subject, text, size);
}

static void
control_drop(struct client *client)
{
	struct control *control = client->control;
	struct client **at = &control->clients;

	while (*at != NULL && *at != client)
		at = &(*at)->next;
	if (*at != NULL) {
		*at = client->next;
		control->counts[client->crowd]--;
	}
	ev_timer_stop(control->loop, &client->hello);
	events_unfollow(&client->follower);
	peer_retire(&client->peer);
	if (client->waiting == 0)
		free(client);
}

static void
control_on_ended(struct peer *peer, enum peer_end how, const char *reason)
{
	struct client *client = peer_data(peer);

	if (how == PEER_END_PROTOCOL || how == PEER_END_OVERFLOW ||
		how == PEER_END_DESCRIPTORS)
		log_warn("a client of the control socket was closed: %s",
			reason);
	control_drop(client);
}

static const struct peer_hooks control_hooks = {
	.request = control_on_request,
	.message = control_on_message,
	.ended = control_on_ended,
};

/* Accepting ------------------------------------------------------------- */

static void
control_on_hello_timer(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct client *client = (struct client *)timer->data;

	(void)loop;
	(void)events;
	control_drop(client);
}

/* Whether the kernel says that the other side is the same user, or root. */
static bool
control_knows(int fd)
{
	struct ucred credentials;
	socklen_t size = sizeof credentials;

	if (sys_getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) <
		0)
		return false;
	return credentials.uid == 0 || credentials.uid == geteuid();
}

/* A connection that waits for more than this side is not left to hang. */
static void
control_tune(int fd)
{
	int one = 1, idle = CONTROL_ALIVE_S, probes = CONTROL_ALIVE_PROBES;

	(void)sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	(void)sys_setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
	(void)sys_setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
	(void)sys_setsockopt(
		fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static void
control_admit(struct control *control, enum client_crowd crowd, int fd)
{
	struct client *client;

	client = calloc(1, sizeof *client);
	if (client == NULL) {
		(void)sys_close(fd);
		return;
	}
	client->control = control;
	client->fleet = control->fleet;
	client->crowd = crowd;
	if (crowd == CLIENT_REMOTE)
		control_tune(fd);
	else
		client->is_foreign = !control_knows(fd);
	ev_init(&client->hello, control_on_hello_timer);
	client->hello.data = client;
	if (peer_new_client(control->exchange, fd, &control_hooks, client,
		    &client->peer) < 0) {
		free(client);
		return;
	}
	client->next = control->clients;
	control->clients = client;
	control->counts[crowd]++;
	ev_timer_set(&client->hello, CONTROL_HELLO_MS / 1000.0, 0);
	ev_timer_start(control->loop, &client->hello);
}

/* Descriptors or memory ran out: the queue waits, the loop doesn't spin. */
static void
control_pause(struct door *door, int r)
{
	struct ev_loop *loop = door->control->loop;

	log_warn("the control socket accepts nothing for a second: %s",
		strerror(-r));
	ev_io_stop(loop, &door->acceptable);
	ev_timer_set(&door->pause, CONTROL_PAUSE_MS / 1000.0, 0);
	ev_timer_start(loop, &door->pause);
}

static void
control_on_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct door *door = timer->data;

	(void)events;
	ev_io_start(loop, &door->acceptable);
}

static void
control_on_acceptable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct door *door = watcher->data;
	struct control *control = door->control;
	enum client_crowd crowd =
		door == &control->bus ? CLIENT_REMOTE : CLIENT_OTHER;

	(void)loop;
	(void)events;
	for (int i = 0; i < CONTROL_ACCEPTS; i++) {
		int fd = sys_accept(door->fd, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd == -EAGAIN || fd == -ECONNABORTED)
			return;
		if (fd < 0) {
			control_pause(door, fd);
			return;
		}
		if (control_is_full(control, crowd))
			(void)sys_close(fd);
		else
			control_admit(control, crowd, fd);
	}
}

static void
control_open(struct control *control, struct door *door, int fd, int priority)
{
	door->fd = fd;
	if (fd < 0)
		return;
	ev_io_init(&door->acceptable, control_on_acceptable, fd, EV_READ);
	ev_set_priority(&door->acceptable, priority);
	door->acceptable.data = door;
	ev_io_start(control->loop, &door->acceptable);
}

static void
control_init_door(struct control *control, struct door *door)
{
	door->control = control;
	door->fd = -1;
	ev_init(&door->acceptable, control_on_acceptable);
	ev_init(&door->pause, control_on_pause);
	door->pause.data = door;
}

static void
control_close(struct control *control, struct door *door)
{
	ev_io_stop(control->loop, &door->acceptable);
	ev_timer_stop(control->loop, &door->pause);
}

/* Life ------------------------------------------------------------------ */

int
control_new(struct ev_loop *loop, struct exchange *exchange,
	struct fleet *fleet, int fd, struct control **ret_control)
{
	struct control *control = calloc(1, sizeof *control);

	if (control == NULL) {
		if (fd >= 0)
			(void)sys_close(fd);
		return -ENOMEM;
	}
	control->loop = loop;
	control->exchange = exchange;
	control->fleet = fleet;
	control_init_door(control, &control->near);
	control_init_door(control, &control->bus);
	control_open(control, &control->near, fd, EV_MAXPRI);
	*ret_control = control;
	return 0;
}

void
control_use_bus(struct control *control)
{
	if (control->bus.fd < 0)
		control_open(
			control, &control->bus, fleet_bus(control->fleet), 0);
}

void
control_free(struct control **control_at)
{
	struct control *control = *control_at;

	*control_at = NULL;
	if (control == NULL)
		return;
	while (control->clients != NULL)
		control_drop(control->clients); /* NOLINT: it takes it out */
	control_close(control, &control->near);
	control_close(control, &control->bus); /* its socket is the fleet's */
	if (control->near.fd >= 0)
		(void)sys_close(control->near.fd);
	free(control);
}
