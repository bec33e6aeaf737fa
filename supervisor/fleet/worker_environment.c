/*
 * A worker's environment, variable by variable, and the numbers that its
 * descriptors have, which the variables tell.
 */
#include "fleet/worker_environment.h"

#include "fleet/core.h"
#include "fleet/description.h"
#include "fleet/handover.h"
#include "fleet/notify.h"
#include "fleet/process.h"
#include "fleet/slot.h"
#include "fleet/version.h"
#include "protocol/protocol.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	VARIABLES = 16, /* at most so many of our own, and the NULL */
};

struct environment {
	char **list; /* of config_environment, grown by VARIABLES */
	size_t count;
	int error;
};

/* The variable of that name, or NULL. */
static char **
find(const struct environment *environment, const char *name)
{
	size_t size = strlen(name);

	for (size_t i = 0; i < environment->count; i++)
		if (!strncmp(environment->list[i], name, size) &&
			environment->list[i][size] == '=')
			return &environment->list[i];
	return NULL;
}

static void __attribute__((format(printf, 2, 3)))
add(struct environment *environment, const char *format, ...)
{
	va_list arguments;
	char *text = NULL;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	if (!text) {
		environment->error = -ENOMEM;
		return;
	}
	environment->list[environment->count++] = text;
	environment->list[environment->count] = NULL;
}

/* How many listening sockets a worker gets. */
static size_t
count_listeners(const struct listen_list *listen)
{
	size_t count = 0;

	for (size_t i = 0; i < listen->count; i++)
		count += !handover_is_for(&listen->entries[i]);
	return count;
}

/* The first number from `number` on that notify_fd leaves free. */
static int
free_number(const struct app_config *config, int number)
{
	return number == config->notify_fd ? number + 1 : number;
}

int
worker_channel_number(const struct app_config *config)
{
	return free_number(config,
		WORKER_FIRST_LISTENER + (int)count_listeners(&config->listen));
}

int
worker_resume_number(const struct app_config *config)
{
	return free_number(config, worker_channel_number(config) + 1);
}

static void
add_notify(struct environment *environment, const struct process *process)
{
	const char *address = notify_address(process->fleet);
	int64_t watchdog = process->version->config->watchdog;

	if (address)
		add(environment, "NOTIFY_SOCKET=%s", address);
	if (watchdog == CONFIG_UNSET)
		return;
	add(environment, "WATCHDOG_USEC=%lld", (long long)watchdog * 1000);
	add(environment, "%s", DESCRIPTION_WATCHDOG_PID);
}

static void
add_listeners(struct environment *environment, const struct listen_list *listen)
{
	char names[4096] = "";
	size_t used = 0, count = 0;

	for (size_t i = 0; i < listen->count && used < sizeof(names); i++) {
		if (handover_is_for(&listen->entries[i]))
			continue;
		used += (size_t)snprintf(names + used, sizeof(names) - used,
			"%s%s", count++ ? ":" : "", listen->entries[i].name);
	}
	if (!count)
		return;
	add(environment, "LISTEN_FDS=%zu", count);
	add(environment, "LISTEN_FDNAMES=%s", names);
	add(environment, "%s", DESCRIPTION_LISTEN_PID);
}

/* Takes the place of one that is inherited. */
static void
set_number(struct environment *environment, const char *name, long long number)
{
	char **old = find(environment, name);

	add(environment, "%s=%lld", name, number);
	if (!old || environment->error)
		return;
	free(*old);
	*old = environment->list[--environment->count];
	environment->list[environment->count] = NULL;
}

/* The instance, and a number that each worker has for itself, as PM2 has it. */
static void
add_instance(struct environment *environment, const struct process *process)
{
	const struct app_config *config = process->version->config;
	uint32_t instance = process->slot->state.instance;
	char **counted = config->increment_var
				 ? find(environment, config->increment_var)
				 : NULL;
	const char *text = counted ? strchr(*counted, '=') + 1 : NULL;
	char *end;
	long long number = text ? strtoll(text, &end, 10) : 0;

	if (text && *text && !*end && number < INT64_MAX - STATE_SLOTS_MAX)
		set_number(
			environment, config->increment_var, number + instance);
	set_number(environment, config->instance_var, instance);
}

char **
worker_environment(const struct process *process)
{
	const struct app_config *config = process->version->config;
	int channel = worker_channel_number(config);
	struct environment environment = {0};
	char **grown;

	environment.list =
		config_environment(config, process->fleet->setup.environment);
	if (!environment.list)
		return NULL;
	while (environment.list[environment.count])
		environment.count++;
	grown = realloc(environment.list,
		(environment.count + VARIABLES + 1) * sizeof(*grown));
	if (!grown) {
		config_free_strings(&environment.list);
		return NULL;
	}
	environment.list = grown;
	add(&environment, MUSTER_ENV_CHANNEL "=%d", channel);
	add(&environment, MUSTER_ENV_RESUME "=%d",
		worker_resume_number(config));
	add(&environment, MUSTER_ENV_ID "=%u", process->slot->state.id);
	add(&environment, MUSTER_ENV_APP "=%s", config->name);
	add(&environment, MUSTER_ENV_INSTANCE "=%u",
		process->slot->state.instance);
	add(&environment, MUSTER_ENV_GENERATION "=%u",
		process->state.generation);
	add_instance(&environment, process);
	add_listeners(&environment, &config->listen);
	add_notify(&environment, process);
	if (environment.error)
		config_free_strings(&environment.list);
	return environment.list;
}
