/*
 * control.c: accepts clients, admits them, and carries out the methods that are
 * addressed to 0. Frames between a client and workers are the exchange's; what
 * a method does is the fleet's; what a listing shows is status.c's.
 */
#include "control.h"

#include "base/json.h"
#include "base/log.h"
#include "base/sys.h"
#include "exchange/exchange.h"
#include "fleet/events.h"
#include "fleet/fleet.h"
#include "protocol/protocol.h"
#include "status.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CONTROL_ACCEPTS = 16,	  /* connections taken in one turn */
	CONTROL_PAUSE_MS = 1000,  /* without descriptors nothing is accepted */
	CONTROL_WAITING_MAX = 64, /* reloads that one client waits for */
};

struct client {
	struct control *control;
	struct client *next; /* control::clients */
	struct peer *peer;
	ev_timer hello;	 /* its time to say it */
	bool is_foreign; /* another user's: it is told so, and no more */
	struct events_follower *follower;
	unsigned int waiting; /* answers that come later */
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

/* Who asked for something whose answer comes later. */
struct question {
	struct client *client; /* its peer is NULL when it went away */
	uint64_t id;
};

typedef void control_method(struct client *client, uint64_t id, json_t *params);

/* Methods --------------------------------------------------------------- */

static void
control_ls(struct client *client, uint64_t id, json_t *params)
{
	json_t *list = status_list(client->control->fleet);
	json_t *result = json_pack("{s:o}", "workers", list);

	(void)params;
	if (result != NULL)
		peer_reply(client->peer, id, result);
	else
		peer_error(client->peer, id, "lost", "there is no memory");
	json_decref(result);
}

static void
control_ping(struct client *client, uint64_t id, json_t *params)
{
	(void)params;
	peer_reply(client->peer, id, NULL);
}

/*
 * A reload is done. Its asker may have gone: clients are found by the address
 * of their struct, which no other has while `waiting` counts.
 */
static void
control_reloaded(const char *error, void *data)
{
	struct question *question = data;
	struct client *client = question->client;

	client->waiting--;
	if (client->peer == NULL) {
		if (client->waiting == 0)
			free(client);
	} else if (error == NULL) {
		peer_reply(client->peer, question->id, NULL);
	} else {
		peer_error(
			client->peer, question->id, "app-reload-failed", error);
	}
	free(question);
}

static void
control_refuse_reload(struct client *client, uint64_t id, int r)
{
	if (r == -ENOENT)
		peer_error(client->peer, id, "no-such-worker",
			"no application or worker is called so");
	else if (r == -ESHUTDOWN)
		peer_error(client->peer, id, "not-running",
			"everything is being stopped");
	else if (r == -EBUSY)
		peer_error(client->peer, id, "not-running",
			"not now: the supervisor is in safe mode (see muster "
			"events), or too many wait for a reload");
	else
		peer_error(client->peer, id, "lost", strerror(-r));
}

/* Reads "target"; false: it was answered that there is none. */
static bool
control_find(struct client *client, uint64_t id, json_t *params,
	struct fleet_target *ret_target)
{
	const char *name = json_text(params, "target");

	if (name == NULL) {
		peer_error(client->peer, id, "bad-request",
			"target: a name, an id or \"all\" is missing");
		return false;
	}
	if (fleet_find(client->control->fleet, name, ret_target) < 0) {
		peer_error(client->peer, id, "no-such-app",
			"no application or worker is called so");
		return false;
	}
	return true;
}

/* How the last processes ended. */
static void
control_why(struct client *client, uint64_t id, json_t *params)
{
	const struct fleet *fleet = client->control->fleet;
	struct fleet_target target;
	json_t *list, *result;

	if (!control_find(client, id, params, &target))
		return;
	list = json_array();
	for (const struct slot *slot = fleet_next_slot(fleet, NULL);
		slot != NULL; slot = fleet_next_slot(fleet, slot))
		if (fleet_target_has(&target, slot))
			(void)json_array_append_new(list, status_why(slot));
	result = json_pack("{s:o}", "workers", list);
	if (result != NULL)
		peer_reply(client->peer, id, result);
	else
		peer_error(client->peer, id, "lost", "there is no memory");
	json_decref(result);
}

static void
control_reload(struct client *client, uint64_t id, json_t *params)
{
	struct fleet *fleet = client->control->fleet;
	struct fleet_target target;
	struct question *question;
	int r;

	if (!control_find(client, id, params, &target))
		return;
	if (client->waiting >= CONTROL_WAITING_MAX) {
		peer_error(client->peer, id, "bad-request",
			"reload: too many of yours are under way; wait for "
			"one to end");
		return;
	}
	question = malloc(sizeof *question);
	if (question == NULL) {
		control_refuse_reload(client, id, -ENOMEM);
		return;
	}
	*question = (struct question){.client = client, .id = id};
	client->waiting++;
	r = fleet_reload(fleet, &target, control_reloaded, question);
	if (r < 0) {
		client->waiting--;
		free(question);
		control_refuse_reload(client, id, r);
	}
}

static void
control_reopen(struct client *client, uint64_t id, json_t *params)
{
	int r = fleet_reopen(client->control->fleet);

	(void)params;
	if (r < 0)
		peer_error(client->peer, id, "app-reopen-failed",
			"a log file can't be opened; the supervisor's messages "
			"say which and why");
	else
		peer_reply(client->peer, id, NULL);
}

static void
control_tell_event(json_t *event, void *data)
{
	struct client *client = data;

	(void)peer_send(client->peer, event);
}

static void
control_count_kept(const char *text, size_t size, void *data)
{
	json_int_t *count = data;

	(void)text;
	(void)size;
	(*count)++;
}

static void
control_send_kept(const char *text, size_t size, void *data)
{
	struct client *client = data;
	json_t *event;

	if (client->peer == NULL)
		return; /* it was too slow, and is gone */
	event = json_read(text, size);
	if (event != NULL)
		(void)peer_send(client->peer, event);
	json_decref(event);
}

/* The kept events, as many messages as the reply says, then what happens. */
static void
control_events(struct client *client, uint64_t id, json_t *params)
{
	struct events *events = fleet_events(client->control->fleet);
	json_int_t kept = 0;
	json_t *result;

	(void)params;
	events_walk(events, control_count_kept, &kept);
	result = json_pack("{s:I}", "kept", kept);
	peer_reply(client->peer, id, result);
	json_decref(result);
	events_walk(events, control_send_kept, client);
	if (client->peer != NULL && client->follower == NULL)
		client->follower =
			events_follow(events, control_tell_event, client);
}

/* The workers that a guest may see: of one application, or all. */
static void
control_workers(struct client *client, uint64_t id, json_t *params)
{
	const struct fleet *fleet = client->control->fleet;
	json_t *wanted = json_object_get(params, "app");
	const char *app = json_string_value(wanted);
	bool is_known = app == NULL;
	json_t *list;
	json_t *result;

	if (wanted != NULL && app == NULL) {
		peer_error(client->peer, id, "bad-request",
			"app: the name of an application is a text");
		return;
	}
	list = json_array();
	for (const struct slot *slot = fleet_next_slot(fleet, NULL);
		slot != NULL; slot = fleet_next_slot(fleet, slot)) {
		struct slot_view view;

		slot_read(slot, &view);
		if (app != NULL && strcmp(app, view.app) != 0)
			continue;
		is_known = true;
		(void)json_array_append_new(
			list, json_pack("{s:I, s:s, s:I, s:s}", "id",
				      (json_int_t)view.id, "app", view.app,
				      "instance", (json_int_t)view.instance,
				      "state", view.status));
	}
	result = json_pack("{s:o}", "workers", list);
	if (is_known)
		peer_reply(client->peer, id, result);
	else
		peer_error(client->peer, id, "no-such-app",
			"no application has that name");
	json_decref(result);
}

static void
control_upgraded(const char *error, void *data)
{
	struct question *question = data;
	struct client *client = question->client;
	json_t *result;

	client->waiting--;
	if (client->peer == NULL) {
		if (client->waiting == 0)
			free(client);
	} else if (error != NULL) {
		peer_error(client->peer, question->id, "upgrade-failed", error);
	} else {
		result = fleet_describe_brain(client->control->fleet);
		peer_reply(client->peer, question->id, result);
		json_decref(result);
	}
	free(question);
}

static void
control_upgrade(struct client *client, uint64_t id, json_t *params)
{
	char words[FLEET_WORDS_SIZE] = "there is no memory";
	struct question *question = malloc(sizeof *question);
	int r = -ENOMEM;

	if (question != NULL) {
		*question = (struct question){.client = client, .id = id};
		client->waiting++;
		r = fleet_upgrade(client->control->fleet,
			json_text(params, "program"), control_upgraded,
			question, words);
	}
	if (r < 0 && question != NULL)
		client->waiting--;
	if (r < 0) {
		free(question);
		peer_error(client->peer, id, "upgrade-failed", words);
	}
}

/* Which brain answers, and what became of the last upgrade. */
static void
control_brain(struct client *client, uint64_t id, json_t *params)
{
	json_t *result = fleet_describe_brain(client->control->fleet);

	(void)params;
	peer_reply(client->peer, id, result);
	json_decref(result);
}

/* Who may ask what. */
static const struct {
	const char *name;
	bool guests_too;
	control_method *method;
} control_methods[] = {
	{"ls", false, control_ls},
	{"ping", false, control_ping},
	{"reload", false, control_reload},
	{"reopen", false, control_reopen},
	{"why", false, control_why},
	{"events", false, control_events},
	{"upgrade", false, control_upgrade},
	{"brain", false, control_brain},
	{"workers", true, control_workers},
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
	bool is_guest = peer_role(client->peer) == PEER_GUEST;

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
	for (size_t i = 0; i < sizeof control_methods / sizeof *control_methods;
		i++) {
		if (strcmp(control_methods[i].name, name) != 0)
			continue;
		if (is_guest && !control_methods[i].guests_too)
			peer_error(client->peer, id, "denied",
				"guests may not ask for that");
		else
			control_methods[i].method(client, id, params);
		return;
	}
	peer_error(client->peer, id, "unknown-method",
		"the master has no method of this name");
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

	events_raise_message(
		fleet_events(client->control->fleet), &subject, text, size);
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
