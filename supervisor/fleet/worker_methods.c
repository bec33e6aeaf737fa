/*
 * The requests that a worker sends to address 0, as a table, and its messages.
 *
 * Bodies come from outside: each is parsed here, once, and whatever is wrong
 * with it is told to its sender and does nothing else. They are at most
 * MUSTER_MAX_TO_SUPERVISOR bytes; the exchange sees to that.
 */
#include "fleet/worker_methods.h"

#include "base/json.h"
#include "exchange/exchange.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/events.h"
#include "fleet/heartbeat.h"
#include "fleet/process.h"
#include "fleet/slot.h"
#include "mechanism/output.h"

#include <stdio.h>
#include <string.h>

enum {
	EXTEND_MAX_MS = 86400000,
};

struct call {
	struct process *process;
	struct peer *peer;
	uint64_t id;
	json_t *params; /* borrowed, or NULL */
};

static void
refuse(const struct call *call, const char *message)
{
	peer_error(call->peer, call->id, "bad-request", message);
}

/* The answer goes first: a step may end the process. */

static void
do_ready(const struct call *call)
{
	peer_reply(call->peer, call->id, NULL);
	process_step(call->process, FSM_ON_READY);
}

static void
do_stopping(const struct call *call)
{
	peer_reply(call->peer, call->id, NULL);
	process_said_stopping(call->process);
}

static void
do_heartbeat(const struct call *call)
{
	heartbeat_take(call->process);
	peer_reply(call->peer, call->id, NULL);
}

static void
do_extend(const struct call *call)
{
	json_t *ms = json_object_get(call->params, "ms");
	json_int_t value = json_integer_value(ms);

	if (!json_is_integer(ms) || value < 1 || value > EXTEND_MAX_MS) {
		refuse(call, "ms must be a number from 1 to 86400000");
		return;
	}
	process_extend(call->process, value);
	peer_reply(call->peer, call->id, NULL);
}

/* How many of the connections that it was handed are over. */
static void
do_done(const struct call *call)
{
	json_t *count = json_object_get(call->params, "count");
	json_int_t value = json_integer_value(count);

	if (!json_is_integer(count) || value < 1 || value > UINT32_MAX) {
		refuse(call, "count must be a number from 1 to 4294967295");
		return;
	}
	peer_connections_done(call->peer, (uint32_t)value);
	peer_reply(call->peer, call->id, NULL);
}

static void
do_load(const struct call *call)
{
	json_t *in_flight = json_object_get(call->params, "in_flight");
	json_int_t value = json_integer_value(in_flight);

	if (!json_is_integer(in_flight) || value < 0 || value > UINT32_MAX) {
		refuse(call, "in_flight must be a number from 0 to 4294967295");
		return;
	}
	call->process->in_flight = (uint32_t)value;
	peer_reply(call->peer, call->id, NULL);
}

static void
do_subscribe(const struct call *call)
{
	peer_subscribe(call->peer, call->id, call->params);
}

static void
do_unsubscribe(const struct call *call)
{
	peer_unsubscribe(call->peer, call->id, call->params);
}

static void
do_workers(const struct call *call)
{
	json_t *app = json_object_get(call->params, "app");
	const char *name = json_string_value(app);
	const struct fleet *fleet = call->process->fleet;
	json_t *list;

	if (app && !name) {
		refuse(call, "app must be a string");
		return;
	}
	if (name && !core_find_app(fleet, name)) {
		peer_error(call->peer, call->id, "no-such-app",
			"no application has that name");
		return;
	}
	list = fleet_list_workers(fleet, name);
	if (list)
		peer_reply(call->peer, call->id, list);
	else
		peer_error(call->peer, call->id, "lost", "out of memory");
	json_decref(list);
}

static const struct {
	const char *name;
	void (*handle)(const struct call *call);
} methods[] = {
	{"ready", do_ready},
	{"stopping", do_stopping},
	{"heartbeat", do_heartbeat},
	{"extend", do_extend},
	{"subscribe", do_subscribe},
	{"unsubscribe", do_unsubscribe},
	{"workers", do_workers},
	{"done", do_done},
	{"load", do_load},
};

void
worker_methods_request(
	struct process *process, uint64_t id, const char *body, size_t size)
{
	struct call call = {
		.process = process, .peer = process->peer, .id = id};
	json_t *value = json_read(body, size);
	const char *name = value ? json_method(value, &call.params) : NULL;

	if (!name) {
		refuse(&call, value ? "the body is no {\"method\": NAME, "
				      "\"params\": {…}}"
				    : "the body is not one JSON value");
		json_decref(value);
		return;
	}
	if (!json_is_params(call.params)) {
		refuse(&call, "params must be an object");
		json_decref(value);
		return;
	}
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		if (strcmp(methods[i].name, name))
			continue;
		methods[i].handle(&call);
		json_decref(value);
		return;
	}
	peer_error(call.peer, id, "unknown-method",
		"the supervisor has no such method for workers");
	json_decref(value);
}

void
worker_methods_message(struct process *process, const char *body, size_t size)
{
	const struct slot *slot = process->slot;
	struct events_subject subject = process_subject(process);
	struct line_origin origin = {
		.app = app_name(slot->app),
		.instance = slot->state.instance,
		.pid = process->state.pid,
		.stream = LINE_MESSAGE,
	};

	output_message(process->fleet->output, &origin, body, size);
	events_raise_message(process->fleet->events, &subject, body, size);
}
