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
#include "fleet/events.h"
#include "fleet/fleet.h"
#include "methods.h"
#include "protocol/protocol.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CONTROL_ACCEPTS = 16,	 /* connections taken in one turn */
	CONTROL_PAUSE_MS = 1000, /* without descriptors nothing is accepted */
};

struct control {
	struct ev_loop *loop;
	struct exchange *exchange;
	struct fleet *fleet;
	int fd;
	ev_io acceptable;
	ev_timer pause; /* accepting goes on after it */
	struct client *clients;
	unsigned int client_count;
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

static void
control_hello(struct client *client, uint64_t id, json_t *params)
{
	const char *role = json_text(params, "role");
	json_int_t version =
		json_integer_value(json_object_get(params, "protocol"));
	enum peer_role admitted = PEER_GUEST;
	json_t *result;

	if (client->is_foreign) {
		control_deny(client, id, "the master belongs to another user");
		return;
	}
	if (version != MUSTER_PROTOCOL_VERSION) {
		control_deny(client, id, "protocol: only version 1 is spoken");
		return;
	}
	if (role != NULL && strcmp(role, "operator") == 0) {
		admitted = PEER_OPERATOR;
	} else if (role != NULL && strcmp(role, "guest") != 0) {
		control_deny(
			client, id, "role: operator and guest may come in");
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
		control->client_count--;
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

static void
control_admit(struct control *control, int fd, bool is_foreign)
{
	struct client *client;

	client = calloc(1, sizeof *client);
	if (client == NULL) {
		(void)sys_close(fd);
		return;
	}
	client->control = control;
	client->fleet = control->fleet;
	client->is_foreign = is_foreign;
	ev_init(&client->hello, control_on_hello_timer);
	client->hello.data = client;
	if (peer_new_client(control->exchange, fd, &control_hooks, client,
		    &client->peer) < 0) {
		free(client);
		return;
	}
	client->next = control->clients;
	control->clients = client;
	control->client_count++;
	ev_timer_set(&client->hello, CONTROL_HELLO_MS / 1000.0, 0);
	ev_timer_start(control->loop, &client->hello);
}

/* Descriptors or memory ran out: the queue waits, the loop doesn't spin. */
static void
control_pause(struct control *control, int r)
{
	log_warn("the control socket accepts nothing for a second: %s",
		strerror(-r));
	ev_io_stop(control->loop, &control->acceptable);
	ev_timer_set(&control->pause, CONTROL_PAUSE_MS / 1000.0, 0);
	ev_timer_start(control->loop, &control->pause);
}

static void
control_on_pause(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct control *control = timer->data;

	(void)events;
	ev_io_start(loop, &control->acceptable);
}

static void
control_on_acceptable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct control *control = watcher->data;

	(void)loop;
	(void)events;
	for (int i = 0; i < CONTROL_ACCEPTS; i++) {
		int fd = sys_accept(control->fd, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd == -EAGAIN || fd == -ECONNABORTED)
			return;
		if (fd < 0) {
			control_pause(control, fd);
			return;
		}
		if (control->client_count >= CONTROL_CLIENTS_MAX)
			(void)sys_close(fd);
		else
			control_admit(control, fd, !control_knows(fd));
	}
}

/* Life ------------------------------------------------------------------ */

int
control_new(struct ev_loop *loop, struct exchange *exchange,
	struct fleet *fleet, int fd, struct control **ret_control)
{
	struct control *control = calloc(1, sizeof *control);

	if (control == NULL) {
		(void)sys_close(fd);
		return -ENOMEM;
	}
	control->loop = loop;
	control->exchange = exchange;
	control->fleet = fleet;
	control->fd = fd;
	ev_io_init(&control->acceptable, control_on_acceptable, fd, EV_READ);
	ev_set_priority(&control->acceptable, EV_MAXPRI);
	control->acceptable.data = control;
	ev_init(&control->pause, control_on_pause);
	control->pause.data = control;
	ev_io_start(loop, &control->acceptable);
	*ret_control = control;
	return 0;
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
	ev_io_stop(control->loop, &control->acceptable);
	ev_timer_stop(control->loop, &control->pause);
	(void)sys_close(control->fd);
	free(control);
}
