/*
 * status.c: from what the fleet knows of a worker to the object that listings
 * show. Separate from control.c, since who may ask is another question than
 * what is shown.
 */
#include "status.h"

#include "fleet/fleet.h"
#include "mechanism/procstat.h"

#include <stdlib.h>
#include <string.h>

static json_t *
status_exit(const struct slot_view *view)
{
	if (!view->has_exit)
		return json_null();
	return json_pack("{s:i, s:I}", view->exit_by_signal ? "signal" : "code",
		(int)view->exit_status, "at", (json_int_t)view->exit_wall_ms);
}

static json_t *
status_listen(const struct slot *slot, const struct slot_view *view)
{
	json_t *list = json_array();

	if (list == NULL || view->listen == NULL)
		return list;
	for (size_t i = 0; i < view->listen->count; i++)
		if (json_array_append_new(
			    list, json_string(slot_listener_text(slot,
					  &view->listen->entries[i]))) < 0)
			break;
	return list;
}

/* CPU time in percent of one processor, over the life of the process. */
static double
status_cpu(const struct procstat *stat)
{
	if (stat->age_ms == 0)
		return 0;
	return (double)(stat->cpu_ms * 1000 / stat->age_ms) / 10;
}

json_t *
status_worker(const struct slot *slot)
{
	struct procstat stat = {.memory_bytes = 0};
	struct slot_view view;
	json_t *notice;

	slot_read(slot, &view);
	if (view.pid > 0)
		(void)procstat_read(view.pid, &stat);
	/* The worker's own bytes: what is no UTF-8 would spoil the listing. */
	notice = view.waits_for != NULL
			 ? json_sprintf("waits for %s", view.waits_for)
			 : json_string(view.notice);
	if (notice == NULL)
		notice = json_string("(not UTF-8)");
	return json_pack(
		"{s:I, s:s, s:s, s:I, s:o, s:s, s:I, s:I, s:I, s:o, "
		"s:f, s:I, s:I, s:I, s:I, s:o, s:o, s:{s:I, s:I}, s:o, s:b, "
		"s:b}",
		"id", (json_int_t)view.id, "app", view.app, "namespace",
		view.namespace, "instance", (json_int_t)view.instance, "pid",
		view.pid > 0 ? json_integer(view.pid) : json_null(), "status",
		view.status, "generation", (json_int_t)view.generation,
		"restarts", (json_int_t)view.restarts, "unstable_restarts",
		(json_int_t)view.unstable_restarts, "uptime_ms",
		view.uptime_ms >= 0 ? json_integer(view.uptime_ms)
				    : json_null(),
		"cpu_percent", status_cpu(&stat), "memory_bytes",
		(json_int_t)stat.memory_bytes, "messages_in",
		(json_int_t)view.messages_in, "messages_out",
		(json_int_t)view.messages_out, "queue_bytes",
		(json_int_t)view.queue_bytes, "exit", status_exit(&view),
		"listen", status_listen(slot, &view), "gauges", "in_flight",
		(json_int_t)view.in_flight, "connections",
		(json_int_t)view.connections, "notice", notice,
		"stopped_by_signal", (int)stat.is_stopped, "unkillable",
		(int)view.unkillable);
}

/* Whether a variable's name says that its value is nobody's business. */
static bool
is_secret(const char *name)
{
	static const char *const words[] = {"SECRET", "TOKEN", "PASS", "KEY",
		"AUTH", "CRED", "PRIVATE", "DSN", "DATABASE_URL"};

	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
		if (strcasestr(name, words[i]) != NULL)
			return true;
	return false;
}

static void
mask_secrets(json_t *environment)
{
	const char *name;
	json_t *value;
	void *next;

	json_object_foreach_safe(environment, next, name, value)
	{
		if (is_secret(name))
			(void)json_object_set_new(
				environment, name, json_string("********"));
	}
}

json_t *
status_app(const struct fleet *fleet, const struct slot *slot,
	const struct fleet_target *target)
{
	json_t *configuration = slot_configuration(slot);
	json_t *workers = json_array();
	struct slot_view view, other;

	slot_read(slot, &view);
	mask_secrets(json_object_get(configuration, "env"));
	for (const struct slot *at = fleet_next_slot(fleet, NULL); at != NULL;
		at = fleet_next_slot(fleet, at)) {
		slot_read(at, &other);
		if (strcmp(other.app, view.app) == 0 &&
			fleet_target_has(target, at))
			(void)json_array_append_new(workers, status_worker(at));
	}
	return json_pack("{s:s, s:s, s:o, s:o}", "app", view.app, "namespace",
		view.namespace, "configuration", configuration, "workers",
		workers);
}

json_t *
status_list(const struct fleet *fleet)
{
	json_t *list = json_array();

	for (const struct slot *slot = fleet_next_slot(fleet, NULL);
		slot != NULL && list != NULL;
		slot = fleet_next_slot(fleet, slot)) {
		if (json_array_append_new(list, status_worker(slot)) < 0) {
			json_decref(list);
			list = NULL;
		}
	}
	return list;
}

/* Text that a worker printed; what is no UTF-8 shows as question marks. */
static json_t *
status_text(const char *text, size_t size)
{
	json_t *string = json_stringn(text, size);
	char *copy;

	if (string != NULL || size == 0)
		return string;
	copy = malloc(size);
	if (copy == NULL)
		return NULL;
	for (size_t i = 0; i < size; i++)
		copy[i] = (char)((unsigned char)text[i] < 0x80 ? text[i] : '?');
	string = json_stringn(copy, size);
	free(copy);
	return string;
}

static json_t *
status_lines(const char *text, size_t size)
{
	json_t *lines = json_array();

	while (size > 0 && lines != NULL) {
		const char *end = memchr(text, '\n', size);
		size_t length = end != NULL ? (size_t)(end - text) : size;
		size_t whole = end != NULL ? length + 1 : length;

		(void)json_array_append_new(lines, status_text(text, length));
		text += whole;
		size -= whole;
	}
	return lines;
}

static json_t *
status_end(const struct exit_view *view)
{
	json_t *end = json_pack("{s:I, s:o, s:s, s:I, s:o, s:b, s:o, s:b, s:o, "
				"s:b, s:I, s:I, s:I, s:o}",
		"generation", (json_int_t)view->generation, "pid",
		view->pid > 0 ? json_integer(view->pid) : json_null(), "how",
		view->how, "at", (json_int_t)view->wall_ms, "uptime_ms",
		view->uptime_ms >= 0 ? json_integer(view->uptime_ms)
				     : json_null(),
		"core_dumped", (int)view->dumped, "asked",
		view->asked != NULL ? json_string(view->asked) : json_null(),
		"killed", (int)view->killed, "fault",
		view->fault[0] != '\0' ? json_string(view->fault) : json_null(),
		"output_held", (int)view->output_held, "user_ms",
		(json_int_t)view->user_ms, "system_ms",
		(json_int_t)view->system_ms, "memory_bytes",
		(json_int_t)view->memory_kib * 1024, "stderr",
		status_lines(view->tail, view->tail_size));

	if (end != NULL && view->has_status)
		(void)json_object_set_new(end,
			view->by_signal ? "signal" : "code",
			json_integer(view->status));
	return end;
}

json_t *
status_why(const struct slot *slot)
{
	struct slot_view worker;
	struct exit_view view;
	json_t *ends = json_array();

	slot_read(slot, &worker);
	for (uint32_t back = 0; slot_read_exit(slot, back, &view) == 0; back++)
		(void)json_array_append_new(ends, status_end(&view));
	return json_pack("{s:I, s:s, s:I, s:s, s:o}", "id",
		(json_int_t)worker.id, "app", worker.app, "instance",
		(json_int_t)worker.instance, "status", worker.status, "exits",
		ends);
}
