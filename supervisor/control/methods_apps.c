/*
 * methods_apps.c: the methods that start, stop and change applications. What
 * they do is the fleet's; how a command line is read is config/options'.
 */
#include "base/json.h"
#include "config/options.h"
#include "methods.h"
#include "status.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	WORDS_MAX = 4096, /* of a command line, or variables */
};

/* Operating on a target -----------------------------------------------------
 */

static void
operate(struct client *client, uint64_t id, json_t *params,
	enum fleet_operation operation, const char *failure)
{
	struct fleet_target target;
	struct question *question;
	int r;

	if (!methods_find(client, id, params, &target))
		return;
	question = methods_ask(client, id, failure);
	if (question == NULL)
		return;
	r = fleet_operate(
		client->fleet, operation, &target, methods_answer, question);
	if (r == 0)
		return;
	methods_withdraw(question);
	if (r == -EINVAL)
		peer_error(client->peer, id, "bad-request",
			"an application can be deleted, a worker can't: see "
			"scale");
	else
		methods_refuse(client, id, r);
}

void
methods_stop(struct client *client, uint64_t id, json_t *params)
{
	operate(client, id, params, FLEET_STOP, "app-stop-failed");
}

void
methods_restart(struct client *client, uint64_t id, json_t *params)
{
	operate(client, id, params, FLEET_RESTART, "app-restart-failed");
}

void
methods_delete(struct client *client, uint64_t id, json_t *params)
{
	operate(client, id, params, FLEET_DELETE, "app-delete-failed");
}

void
methods_reset(struct client *client, uint64_t id, json_t *params)
{
	struct fleet_target target;

	if (!methods_find(client, id, params, &target))
		return;
	fleet_reset(client->fleet, &target);
	peer_reply(client->peer, id, NULL);
}

/* The number of a signal: "TERM", "SIGTERM" or "15"; 0: there is none. */
static int
read_signal(const char *text)
{
	char *end;
	long number;

	if (text == NULL)
		return 0;
	number = strtol(text, &end, 10);
	if (*text != '\0' && *end == '\0')
		return number > 0 && number <= SIGRTMAX ? (int)number : 0;
	if (strncmp(text, "SIG", 3) == 0)
		text += 3;
	for (int i = 1; i < NSIG; i++) {
		const char *name = sigabbrev_np(i);

		if (name != NULL && strcmp(name, text) == 0)
			return i;
	}
	return 0;
}

void
methods_signal(struct client *client, uint64_t id, json_t *params)
{
	int signal = read_signal(json_text(params, "signal"));
	struct fleet_target target;
	json_t *result;

	if (signal == 0) {
		peer_error(client->peer, id, "bad-request",
			"signal: no signal is called so; TERM, HUP, USR1 and "
			"the like are");
		return;
	}
	if (!methods_find(client, id, params, &target))
		return;
	result = json_pack("{s:I}", "signalled",
		(json_int_t)fleet_send_signal(client->fleet, &target, signal));
	peer_reply(client->peer, id, result);
	json_decref(result);
}

/* Whether one of the objects is about the application. */
static bool
lists_app(const json_t *list, const char *app)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry)
	{
		const char *name = json_text(entry, "app");

		if (name != NULL && strcmp(name, app) == 0)
			return true;
	}
	return false;
}

/* Each file once for an application and a stream. */
static void
add_file(json_t *files, const struct slot *slot, const char *app, bool is_error)
{
	char path[PATH_MAX + 32];
	const char *stream = is_error ? "err" : "out";
	const json_t *entry;
	size_t i;

	if (!slot_log_path(slot, is_error, path, sizeof path))
		return;
	json_array_foreach(files, i, entry)
	{
		if (strcmp(json_text(entry, "path"), path) == 0 &&
			strcmp(json_text(entry, "stream"), stream) == 0 &&
			strcmp(json_text(entry, "app"), app) == 0)
			return;
	}
	(void)json_array_append_new(
		files, json_pack("{s:s, s:s, s:s}", "app", app, "stream",
			       stream, "path", path));
}

/* Which files hold what the workers print. */
void
methods_logs(struct client *client, uint64_t id, json_t *params)
{
	struct fleet_target target;
	json_t *files, *result;

	if (!methods_find(client, id, params, &target))
		return;
	files = json_array();
	for (const struct slot *slot = fleet_next_slot(client->fleet, NULL);
		slot != NULL; slot = fleet_next_slot(client->fleet, slot)) {
		struct slot_view view;

		if (!fleet_target_has(&target, slot))
			continue;
		slot_read(slot, &view);
		add_file(files, slot, view.app, false);
		add_file(files, slot, view.app, true);
	}
	result = json_pack("{s:o}", "files", files);
	if (result != NULL)
		peer_reply(client->peer, id, result);
	else
		methods_refuse(client, id, -ENOMEM);
	json_decref(result);
}

void
methods_describe(struct client *client, uint64_t id, json_t *params)
{
	struct fleet_target target;
	json_t *apps, *result;

	if (!methods_find(client, id, params, &target))
		return;
	apps = json_array();
	for (const struct slot *slot = fleet_next_slot(client->fleet, NULL);
		slot != NULL; slot = fleet_next_slot(client->fleet, slot)) {
		struct slot_view view;

		slot_read(slot, &view);
		if (!fleet_target_has(&target, slot) ||
			lists_app(apps, view.app))
			continue;
		(void)json_array_append_new(
			apps, status_app(client->fleet, slot, &target));
	}
	result = json_pack("{s:o}", "apps", apps);
	if (result != NULL)
		peer_reply(client->peer, id, result);
	else
		methods_refuse(client, id, -ENOMEM);
	json_decref(result);
}

void
methods_dump(struct client *client, uint64_t id, json_t *params)
{
	json_t *result = fleet_dump(client->fleet);

	(void)params;
	if (result != NULL)
		peer_reply(client->peer, id, result);
	else
		methods_refuse(client, id, -ENOMEM);
	json_decref(result);
}

void
methods_resurrect(struct client *client, uint64_t id, json_t *params)
{
	char words[FLEET_WORDS_SIZE];
	struct question *question = methods_ask(client, id, "app-start-failed");

	if (question == NULL)
		return;
	if (fleet_resurrect(client->fleet, params, methods_answer, question,
		    words) == 0)
		return;
	methods_withdraw(question);
	peer_error(client->peer, id, "app-start-failed", words);
}

void
methods_kill(struct client *client, uint64_t id, json_t *params)
{
	(void)params;
	peer_reply(client->peer, id, NULL);
	fleet_stop(client->fleet, false);
}

/* Scaling -------------------------------------------------------------------
 */

/* "4", "+2" or "-1", beside how many there are. Returns -1: it makes no sense.
 */
static int64_t
read_count(const char *text, int64_t now)
{
	bool is_step = *text == '+' || *text == '-';
	long long number;
	char *end;

	errno = 0;
	number = strtoll(text, &end, 10);
	if (*text == '\0' || *end != '\0' || errno != 0 || number > INT32_MAX ||
		number < -INT32_MAX)
		return -1;
	return is_step ? now + number : number;
}

void
methods_scale(struct client *client, uint64_t id, json_t *params)
{
	const char *app = json_text(params, "app");
	const char *text = json_text(params, "instances");
	int64_t now = app != NULL ? fleet_instances(client->fleet, app) : 0;
	struct question *question;
	int64_t count;
	int r;

	if (app == NULL || text == NULL) {
		peer_error(client->peer, id, "bad-request",
			"app, instances: which application, and how many "
			"workers");
		return;
	}
	count = now < 0 ? 0 : read_count(text, now);
	if (now < 0) {
		peer_error(client->peer, id, "no-such-app",
			"no application is called so");
		return;
	}
	question = methods_ask(client, id, "app-scale-failed");
	if (question == NULL)
		return;
	r = count < 0 ? -ERANGE
		      : fleet_scale_and_wait(client->fleet, app, count,
				methods_answer, question);
	if (r == 0)
		return;
	methods_withdraw(question);
	if (r == -ERANGE || r == -ENOSPC)
		peer_error(client->peer, id, "bad-request",
			"instances: a number from 0 to 4096, or a step like +1 "
			"or -1 that leads to one");
	else if (r == -EDQUOT)
		peer_error(client->peer, id, "app-scale-failed",
			"these are more workers than max_processes allows");
	else
		methods_refuse(client, id, r);
}

/* Starting ------------------------------------------------------------------
 */

/* What `start` waits for: first the configuration, then readiness. */
struct start {
	struct question *question;
	char **names; /* of the applications, ending with NULL */
	size_t next;
	bool no_wait;
};

static void
free_start(struct start *start)
{
	config_free_strings(&start->names);
	free(start);
}

/* One whose program never ran, and won't, isn't left behind. */
static void
take_back(const struct start *start)
{
	struct fleet *fleet = start->question->client->fleet;
	struct fleet_target target;

	for (char *const *name = start->names; *name != NULL; name++)
		if (!fleet_was_started(fleet, *name) &&
			fleet_find(fleet, *name, &target) == 0)
			(void)fleet_operate(
				fleet, FLEET_DELETE, &target, NULL, NULL);
}

static void
finish(struct start *start, const char *error)
{
	struct question *question = start->question;

	if (error != NULL)
		take_back(start);
	free_start(start);
	methods_answer(error, question);
}

/* One after the other: each is started, or found ready. */
static void
start_next(const char *error, void *data)
{
	struct start *start = data;
	struct fleet *fleet = start->question->client->fleet;
	const char *name = start->names[start->next];
	struct fleet_target target;
	int r = -ENOENT;

	if (error != NULL || name == NULL) {
		finish(start, error);
		return;
	}
	start->next++;
	if (fleet_find(fleet, name, &target) == 0)
		r = fleet_operate(fleet, FLEET_START, &target,
			start->no_wait ? NULL : start_next, start);
	if (r < 0)
		finish(start, r == -ENOENT ? "it was deleted meanwhile"
					   : strerror(-r));
	else if (start->no_wait)
		start_next(NULL, start);
}

/* A list of strings out of `params`, ending with NULL; NULL: it is none. */
static char **
read_list(json_t *params, const char *key)
{
	const json_t *list = json_object_get(params, key);
	size_t count = json_array_size(list);
	const char **texts;
	char **copy = NULL;

	if (!json_is_array(list) || count > WORDS_MAX)
		return NULL;
	texts = calloc(count + 1, sizeof *texts);
	for (size_t i = 0; texts != NULL && i < count; i++) {
		texts[i] = json_string_value(json_array_get(list, i));
		if (texts[i] == NULL) {
			free(texts);
			return NULL;
		}
	}
	if (texts != NULL)
		copy = config_copy_strings((char *const *)texts);
	free(texts);
	return copy;
}

static char **
names_of(const struct config_set *set)
{
	const char **names = calloc(set->count + 1, sizeof *names);
	char **copy;

	if (names == NULL)
		return NULL;
	for (size_t i = 0; i < set->count; i++)
		names[i] = set->apps[i]->name;
	copy = config_copy_strings((char *const *)names);
	free(names);
	return copy;
}

/* Brings the set into force. Returns 0, or a negative errno with the words. */
static int
apply(struct fleet *fleet, struct options *options, char *const *environment,
	struct start *start, char *ret_words)
{
	size_t changed = 0;
	int r = fleet_adopt(
		fleet, &options->set, environment, options->update_env);

	snprintf(ret_words, FLEET_WORDS_SIZE, "%s", strerror(-r));
	if (r >= 0)
		r = fleet_apply(fleet, &options->set, &changed, start_next,
			start, ret_words);
	if (r >= 0 && changed == 0)
		start_next(NULL, start);
	return r;
}

/* The words are those of `start`, read where the caller stands. */
static void
start_set(struct client *client, uint64_t id, struct options *options,
	char *const *environment)
{
	char words[FLEET_WORDS_SIZE];
	struct start *start;
	struct question *question;

	question = methods_ask(client, id, "app-start-failed");
	if (question == NULL)
		return;
	start = calloc(1, sizeof *start);
	if (start != NULL) {
		start->question = question;
		start->no_wait = options->no_wait;
		start->names = names_of(&options->set);
	}
	if (start == NULL || start->names == NULL) {
		free(start);
		methods_withdraw(question);
		methods_refuse(client, id, -ENOMEM);
		return;
	}
	if (apply(client->fleet, options, environment, start, words) < 0)
		finish(start, words);
}

/* A single word that is the name of what exists already. */
static bool
names_target(struct client *client, char *const *words,
	struct fleet_target *ret_target)
{
	return words[0] != NULL && words[1] == NULL &&
	       fleet_find(client->fleet, words[0], ret_target) == 0;
}

static void
start_target(struct client *client, uint64_t id, struct fleet_target *target)
{
	struct question *question = methods_ask(client, id, "app-start-failed");
	int r;

	if (question == NULL)
		return;
	r = fleet_operate(
		client->fleet, FLEET_START, target, methods_answer, question);
	if (r < 0) {
		methods_withdraw(question);
		methods_refuse(client, id, r);
	}
}

static int
read_place(json_t *params, struct config_place *ret_place)
{
	const char *directory = json_text(params, "directory");
	size_t size = directory != NULL ? strlen(directory) : 0;

	if (size == 0 || size >= sizeof ret_place->directory ||
		*directory != '/')
		return -EINVAL;
	memcpy(ret_place->directory, directory, size + 1);
	ret_place->search = json_text(params, "search");
	return 0;
}

static void
start_words(struct client *client, uint64_t id, json_t *params,
	char *const *words, char *const *environment)
{
	struct config_error error = {.text = ""};
	struct config_place place = {
		.find = fleet_configuration, .find_data = client->fleet};
	struct options options;
	int count = 0;
	int r = read_place(params, &place);

	while (words[count] != NULL)
		count++;
	if (r < 0) {
		peer_error(client->peer, id, "bad-request",
			"directory: an absolute path is missing");
		return;
	}
	r = options_parse(count, words, &place, &options, &error);
	if (r < 0) {
		peer_error(client->peer, id,
			r == -EINVAL ? "app-usage" : "app-start-failed",
			error.text[0] != '\0' ? error.text : strerror(-r));
		return;
	}
	start_set(client, id, &options, environment);
	options_fini(&options);
}

void
methods_start(struct client *client, uint64_t id, json_t *params)
{
	char **words = read_list(params, "words");
	char **environment = read_list(params, "environment");
	struct fleet_target target;

	if (words == NULL || environment == NULL)
		peer_error(client->peer, id, "bad-request",
			"words, environment: lists of texts are missing");
	else if (names_target(client, words, &target))
		start_target(client, id, &target);
	else
		start_words(client, id, params, words, environment);
	config_free_strings(&words);
	config_free_strings(&environment);
}
