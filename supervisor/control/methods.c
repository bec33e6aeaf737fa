/*
 * methods.c: what clients may ask of address 0, in one table by name and role.
 * Who a client is was settled by control.c; what a method does is the fleet's;
 * what a listing shows is status.c's.
 */
#include "methods.h"

#include "base/json.h"
#include "fleet/events.h"
#include "fleet/fleet.h"
#include "status.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	METHODS_WAITING_MAX = 64, /* reloads that one client waits for */
};

static void
methods_ls(struct client *client, uint64_t id, json_t *params)
{
	json_t *list = status_list(client->fleet);
	json_t *result = json_pack("{s:o}", "workers", list);

	(void)params;
	if (result != NULL)
		peer_reply(client->peer, id, result);
	else
		peer_error(client->peer, id, "lost", "there is no memory");
	json_decref(result);
}

static void
methods_ping(struct client *client, uint64_t id, json_t *params)
{
	(void)params;
	peer_reply(client->peer, id, NULL);
}

struct question *
methods_ask(struct client *client, uint64_t id, const char *failure)
{
	struct question *question;

	if (client->waiting >= METHODS_WAITING_MAX) {
		peer_error(client->peer, id, "bad-request",
			"too many of your requests are under way; wait for "
			"one to end");
		return NULL;
	}
	question = malloc(sizeof *question);
	if (question == NULL) {
		methods_refuse(client, id, -ENOMEM);
		return NULL;
	}
	*question = (struct question){
		.client = client, .id = id, .failure = failure};
	client->waiting++;
	return question;
}

/*
 * Its asker may have gone: clients are found by the address of their struct,
 * which no other has while `waiting` counts.
 */
void
methods_answer(const char *error, void *data)
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
			client->peer, question->id, question->failure, error);
	}
	free(question);
}

void
methods_withdraw(struct question *question)
{
	question->client->waiting--;
	free(question);
}

void
methods_refuse(struct client *client, uint64_t id, int r)
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

bool
methods_find(struct client *client, uint64_t id, json_t *params,
	struct fleet_target *ret_target)
{
	const char *name = json_text(params, "target");

	if (name == NULL) {
		peer_error(client->peer, id, "bad-request",
			"target: a name, an id or \"all\" is missing");
		return false;
	}
	if (fleet_find(client->fleet, name, ret_target) < 0) {
		peer_error(client->peer, id, "no-such-app",
			"no application or worker is called so");
		return false;
	}
	return true;
}

/* How the last processes ended. */
static void
methods_why(struct client *client, uint64_t id, json_t *params)
{
	const struct fleet *fleet = client->fleet;
	struct fleet_target target;
	json_t *list, *result;

	if (!methods_find(client, id, params, &target))
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
methods_reload(struct client *client, uint64_t id, json_t *params)
{
	struct fleet *fleet = client->fleet;
	struct fleet_target target;
	struct question *question;
	int r;

	if (!methods_find(client, id, params, &target))
		return;
	question = methods_ask(client, id, "app-reload-failed");
	if (question == NULL)
		return;
	r = fleet_reload(fleet, &target, methods_answer, question);
	if (r < 0) {
		methods_withdraw(question);
		methods_refuse(client, id, r);
	}
}

static void
methods_reopen(struct client *client, uint64_t id, json_t *params)
{
	int r = fleet_reopen(client->fleet);

	(void)params;
	if (r < 0)
		peer_error(client->peer, id, "app-reopen-failed",
			"a log file can't be opened; the supervisor's messages "
			"say which and why");
	else
		peer_reply(client->peer, id, NULL);
}

static void
methods_tell_event(json_t *event, void *data)
{
	struct client *client = data;

	(void)peer_send(client->peer, event);
}

static void
methods_count_kept(const char *text, size_t size, void *data)
{
	json_int_t *count = data;

	(void)text;
	(void)size;
	(*count)++;
}

static void
methods_send_kept(const char *text, size_t size, void *data)
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
methods_events(struct client *client, uint64_t id, json_t *params)
{
	struct events *events = fleet_events(client->fleet);
	json_int_t kept = 0;
	json_t *result;

	(void)params;
	events_walk(events, methods_count_kept, &kept);
	result = json_pack("{s:I}", "kept", kept);
	peer_reply(client->peer, id, result);
	json_decref(result);
	events_walk(events, methods_send_kept, client);
	if (client->peer != NULL && client->follower == NULL)
		client->follower =
			events_follow(events, methods_tell_event, client);
}

/* The workers that a guest may see: of one application, or all. */
static void
methods_workers(struct client *client, uint64_t id, json_t *params)
{
	const struct fleet *fleet = client->fleet;
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
methods_subscribe(struct client *client, uint64_t id, json_t *params)
{
	peer_subscribe(client->peer, id, params);
}

static void
methods_unsubscribe(struct client *client, uint64_t id, json_t *params)
{
	peer_unsubscribe(client->peer, id, params);
}

static void
methods_upgraded(const char *error, void *data)
{
	struct question *question = data;
	struct client *client = question->client;
	json_t *result;

	client->waiting--;
	if (client->peer == NULL) {
		if (client->waiting == 0)
			free(client);
	} else if (error != NULL) {
		peer_error(client->peer, question->id, "app-upgrade-failed",
			error);
	} else {
		result = fleet_describe_brain(client->fleet);
		peer_reply(client->peer, question->id, result);
		json_decref(result);
	}
	free(question);
}

static void
methods_upgrade(struct client *client, uint64_t id, json_t *params)
{
	char words[FLEET_WORDS_SIZE] = "there is no memory";
	struct question *question =
		methods_ask(client, id, "app-upgrade-failed");
	int r;

	if (question == NULL)
		return;
	r = fleet_upgrade(client->fleet, json_text(params, "program"),
		methods_upgraded, question, words);
	if (r < 0) {
		methods_withdraw(question);
		peer_error(client->peer, id, "app-upgrade-failed", words);
	}
}

/* Which brain answers, and what became of the last upgrade. */
static void
methods_brain(struct client *client, uint64_t id, json_t *params)
{
	json_t *result = fleet_describe_brain(client->fleet);

	(void)params;
	peer_reply(client->peer, id, result);
	json_decref(result);
}

/* Who may ask what. */
static const struct {
	const char *name;
	bool guests_too;
	methods_function *method;
} methods_table[] = {
	{"ls", false, methods_ls},
	{"ping", false, methods_ping},
	{"reload", false, methods_reload},
	{"start", false, methods_start},
	{"stop", false, methods_stop},
	{"restart", false, methods_restart},
	{"delete", false, methods_delete},
	{"scale", false, methods_scale},
	{"signal", false, methods_signal},
	{"reset", false, methods_reset},
	{"kill", false, methods_kill},
	{"logs", false, methods_logs},
	{"dump", false, methods_dump},
	{"resurrect", false, methods_resurrect},
	{"describe", false, methods_describe},
	{"reopen", false, methods_reopen},
	{"why", false, methods_why},
	{"events", false, methods_events},
	{"upgrade", false, methods_upgrade},
	{"brain", false, methods_brain},
	{"workers", true, methods_workers},
	{"subscribe", true, methods_subscribe},
	{"unsubscribe", true, methods_unsubscribe},
};

void
methods_call(
	struct client *client, const char *name, uint64_t id, json_t *params)
{
	for (size_t i = 0; i < sizeof methods_table / sizeof *methods_table;
		i++) {
		if (strcmp(methods_table[i].name, name) != 0)
			continue;
		if (peer_role(client->peer) == PEER_GUEST &&
			!methods_table[i].guests_too)
			peer_error(client->peer, id, "denied",
				"guests may not ask for that");
		else
			methods_table[i].method(client, id, params);
		return;
	}
	peer_error(client->peer, id, "unknown-method",
		"the master has no method of this name");
}
