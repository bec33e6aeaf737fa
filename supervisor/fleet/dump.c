/*
 * What is kept across a reboot, as JSON, and back. Where it is written is the
 * command's business: nothing here touches a disk.
 */
#include "base/json.h"
#include "fleet/app.h"
#include "fleet/core.h"
#include "fleet/slot.h"
#include "fleet/version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether an operator has stopped all of it. */
static bool
is_stopped(const struct app *app)
{
	for (size_t i = 0; i < app->slot_count; i++)
		if (app->slots[i]->state.rest == STATE_RUNS)
			return false;
	return true;
}

json_t *
fleet_dump(const struct fleet *fleet)
{
	json_t *apps = json_array();

	for (const struct app *app = fleet->apps; app; app = app->next) {
		if (app->state.is_deleted)
			continue;
		json_array_append_new(apps,
			json_pack("{s:o, s:I, s:b}", "configuration",
				version_to_json(app->version->config),
				"instances", (json_int_t)app->state.instances,
				"stopped", (int)is_stopped(app)));
	}
	return json_pack("{s:i, s:o}", "version", 1, "apps", apps);
}

struct resurrection {
	struct fleet *fleet;
	char *name;
	bool shall_rest;
	fleet_done *done;
	void *data;
};

static void
end(struct resurrection *it, const char *error)
{
	it->done(error, it->data);
	free(it->name);
	free(it);
}

/* It is there; what was stopped is stopped again, what ran is waited for. */
static void
on_applied(const char *error, void *data)
{
	struct resurrection *it = data;
	struct fleet_target target = {.kind = FLEET_APP, .name = it->name};
	int r;

	if (error) {
		end(it, error);
		return;
	}
	r = fleet_operate(it->fleet, it->shall_rest ? FLEET_STOP : FLEET_START,
		&target, it->done, it->data);
	if (r < 0) {
		end(it, strerror(-r));
		return;
	}
	free(it->name);
	free(it);
}

static int
apply(struct fleet *fleet, struct app_config *config, struct resurrection *it,
	char *ret_words)
{
	struct config_set set = {.apps = &config, .count = 1};
	size_t changed = 0;
	int r;

	fleet->adds_stopped = it->shall_rest;
	r = fleet_apply(fleet, &set, &changed, on_applied, it, ret_words);
	fleet->adds_stopped = false;
	if (r >= 0 && !changed)
		on_applied(NULL, it);
	return r;
}

static int
refuse(char *ret_words, const char *words, int r)
{
	snprintf(ret_words, FLEET_WORDS_SIZE, "%s", words);
	return r;
}

int
fleet_resurrect(struct fleet *fleet, json_t *app, fleet_done *done, void *data,
	char *ret_words)
{
	json_t *json = json_deep_copy(json_object_get(app, "configuration"));
	json_int_t instances =
		json_integer_value(json_object_get(app, "instances"));
	struct config_error error = {.text = ""};
	struct app_config *config = NULL;
	struct resurrection *it;
	int r = -EINVAL;

	if (!json_is_object(json))
		error = (struct config_error){.text = "an entry is no object"};
	else
		r = version_from_json(json, &config, &error);
	json_decref(json);
	if (r < 0)
		return refuse(
			ret_words, *error.text ? error.text : strerror(-r), r);
	if (instances > 0 && instances <= STATE_SLOTS_MAX)
		config->instances = instances;
	it = calloc(1, sizeof(*it));
	if (it) {
		*it = (struct resurrection){
			.fleet = fleet,
			.name = strdup(config->name),
			.shall_rest =
				json_is_true(json_object_get(app, "stopped")),
			.done = done,
			.data = data,
		};
	}
	r = it && it->name ? apply(fleet, config, it, ret_words)
			   : refuse(ret_words, "no memory", -ENOMEM);
	if (r < 0 && it) {
		free(it->name);
		free(it);
	}
	config_free(&config);
	return r;
}
