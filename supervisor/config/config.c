/*
 * config: one application from JSON to an immutable struct, and back. Values
 * are read by values.c; here is what keys mean together: which may be missing,
 * and what a missing one becomes. It starts nothing and opens nothing that
 * isn't needed to tell what to execute and as whom.
 *
 * A sealed configuration (no place) has every key worked out, so that a brain
 * which starts later, with files and users changed, sees the same application.
 */
#include "config/config.h"

#include "base/log.h"
#include "base/sys.h"
#include "config/program.h"
#include "config/users.h"
#include "config/values.h"
#include "config/words.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A configuration while it is built. */
struct build {
	struct values_context context;
	struct app_config *config;
	const json_t *user; /* as it was given; names its groups */
};

int
config_place_init(struct config_place *ret_place)
{
	struct config_place place = {.env_name = NULL};
	int error = sys_getcwd(place.directory, sizeof(place.directory));

	if (error < 0)
		return error;
	place.search = getenv("PATH");
	*ret_place = place;
	return 0;
}

static const struct key *
key_named(const char *name)
{
	return keys_find(name, strlen(name));
}

static int
bad(struct build *build, const char *key, const char *what)
{
	return values_bad(&build->context, key_named(key), NULL, "%s", what);
}

static int
unknown_key(struct build *build, const char *name)
{
	const char *nearest = keys_nearest(name);
	const char *where = build->context.where;
	const char *why = keys_refused(name);

	if (why != NULL) {
		snprintf(build->context.error->text,
			sizeof(build->context.error->text), "%s%s%.100s %s",
			where, where[0] != '\0' ? "." : "", name, why);
		return -EINVAL;
	}
	snprintf(build->context.error->text, sizeof(build->context.error->text),
		"%s%s%.100s is an unknown key%s%s%s", where,
		where[0] != '\0' ? "." : "", name,
		nearest != NULL ? "; did you mean " : "",
		nearest != NULL ? nearest : "", nearest != NULL ? "?" : "");
	return -EINVAL;
}

/* "env_production": variables that only count where that name is given. */
static bool
is_named_env(const char *name, const json_t *value)
{
	return strncmp(name, "env_", 4) == 0 && name[4] != '\0' &&
	       json_is_object(value);
}

/* Whether a member that is no key may stand there; a word is said of those that
 * change nothing. */
static bool
is_passed_over(const struct build *build, const char *name, const json_t *value)
{
	const char *why = keys_passed_over(name);

	if (is_named_env(name, value))
		return true;
	if (why != NULL)
		log_warn("%s%s%s %s: it is left out", build->context.where,
			build->context.where[0] != '\0' ? "." : "", name, why);
	return why != NULL;
}

/* The variables of `env`, and over them those of the env_NAME that counts. */
static int
read_environment(struct build *build, const struct key *key,
	const json_t *object, const json_t *value)
{
	const struct config_place *place = build->context.place;
	char name[KEY_NAME_MAX + 1];
	json_t *named = NULL, *both;
	int error;

	if (place != NULL && place->env_name != NULL) {
		snprintf(name, sizeof(name), "env_%.50s", place->env_name);
		named = json_object_get(object, name);
	}
	if (!json_is_object(named))
		return values_read(&build->context, key, value, build->config);
	both = json_is_object(value) ? json_copy((json_t *)value)
				     : json_object();
	error = both == NULL || json_object_update(both, named) < 0
			? -ENOMEM
			: values_read(
				  &build->context, key, both, build->config);
	json_decref(both);
	return error;
}

/* Every member of the object into its field. */
static int
read_given(struct build *build, const json_t *object)
{
	size_t count;
	const struct key *keys = keys_all(&count);
	bool seen[KEY_COUNT_MAX] = {false};
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)object, name, value)
	{
		const struct key *key = keys_find(name, strlen(name));
		int error;

		if (key == NULL && is_passed_over(build, name, value))
			continue;
		if (key == NULL)
			return unknown_key(build, name);
		if (seen[key - keys])
			return values_bad(&build->context, key, NULL,
				"it is given twice, by two of its names");
		/* null is how scripts write "not given". */
		if (json_is_null(value))
			continue;
		seen[key - keys] = true;
		error = key->type == KEY_TYPE_ENVIRONMENT
				? read_environment(build, key, object, value)
				: values_read(&build->context, key, value,
					  build->config);
		if (error < 0)
			return error;
		if (key->type == KEY_TYPE_USER)
			build->user = value;
	}
	for (size_t i = 0; i < count; i++) {
		int error = 0;

		if (!seen[i] && strcmp(keys[i].fallback, "null") != 0) {
			json_t *fallback = json_loads(
				keys[i].fallback, JSON_DECODE_ANY, NULL);

			error = keys[i].type == KEY_TYPE_ENVIRONMENT
					? read_environment(build, &keys[i],
						  object, fallback)
					: values_read(&build->context, &keys[i],
						  fallback, build->config);
			json_decref(fallback);
		}
		if (error < 0)
			return error;
	}
	return 0;
}

/* Takes `text` over in place of the old one. */
static int
replace(char **field, char *text)
{
	if (text == NULL)
		return -ENOMEM;
	free(*field);
	*field = text;
	return 0;
}

static int
complete_program(struct build *build)
{
	struct app_config *config = build->config;
	const struct config_place *place = build->context.place;
	const char *found;
	int error;

	if (config->script == NULL)
		return bad(build, "script", "say which program to run");
	if (config->cwd == NULL)
		error = replace(&config->cwd,
			strdup(place != NULL ? place->directory : "/"));
	else
		error = 0;
	if (error == 0 && place != NULL)
		error = replace(
			&config->script, program_find(config->script,
						 config->cwd, place->search));
	if (error < 0)
		return error;
	if (config->interpreter == NULL) {
		found = place != NULL ? program_interpreter(config->script)
				      : NULL;
		error = replace(&config->interpreter,
			strdup(found != NULL ? found : "none"));
	}
	if (error == 0 && place != NULL &&
		strcmp(config->interpreter, "none") != 0)
		error = replace(&config->interpreter,
			program_find(config->interpreter, config->cwd,
				place->search));
	return error;
}

/* The program's base name, with what names can't hold replaced. */
static int
complete_name(struct build *build)
{
	struct app_config *config = build->config;
	const char *base = program_base(config->script);
	char name[65];

	if (config->name != NULL)
		return 0;
	snprintf(name, sizeof(name), "%s", base);
	for (char *c = name; *c != '\0'; c++) {
		char one[] = {'x', *c, '\0'};

		if (values_check_name(one) != NULL)
			*c = '_';
	}
	if (name[0] == '-' || name[0] == '.')
		name[0] = '_';
	if (values_check_name(name) != NULL)
		snprintf(name, sizeof(name), "app-%.60s", base);
	if (values_check_name(name) != NULL)
		return bad(build, "name",
			"the program's name can't be taken; give one");
	return replace(&config->name, strdup(name));
}

/*
 * Only root can become somebody else, so that is told now and not by the first
 * worker. Who is named anyway stays who they are.
 */
static int
stay_or_refuse(struct build *build)
{
	struct app_config *config = build->config;

	if (config->user != (int64_t)geteuid() ||
		(config->group != CONFIG_UNSET &&
			config->group != (int64_t)getegid()))
		return bad(build, "user",
			"only root can run workers as another user or group");
	config->user = config->group = CONFIG_UNSET;
	free(config->groups.numbers);
	config->groups = (struct number_list){0};
	return 0;
}

/* Who the worker runs as, complete as numbers. */
static int
complete_user(struct build *build)
{
	struct app_config *config = build->config;
	struct user_entry entry = {0};
	gid_t groups[USERS_GROUPS_MAX];
	char text[24];
	int count, error;

	if (config->no_new_privs == CONFIG_UNSET)
		config->no_new_privs = config->user != CONFIG_UNSET;
	if (build->context.place == NULL || config->user == CONFIG_UNSET)
		return 0;
	if (geteuid() != 0)
		return stay_or_refuse(build);
	snprintf(text, sizeof(text), "%lld", (long long)config->user);
	error = users_find(json_is_string(build->user)
				   ? json_string_value(build->user)
				   : text,
		&entry);
	if (error == -ENOMEM)
		return error;
	if (error < 0 && config->group == CONFIG_UNSET)
		return bad(build, "group",
			"the user has no entry on this machine; give a group");
	if (config->group == CONFIG_UNSET)
		config->group = entry.gid;
	if (config->groups.numbers != NULL)
		return 0;
	groups[0] = (gid_t)config->group;
	count = error < 0 ? 1
			  : users_groups(
				    entry.name, (gid_t)config->group, groups);
	if (count < 0)
		return bad(build, "user",
			"the user is a member of too many groups");
	config->groups.numbers = calloc((size_t)count + 1, sizeof(int64_t));
	if (config->groups.numbers == NULL)
		return -ENOMEM;
	for (int i = 0; i < count; i++)
		config->groups.numbers[i] = groups[i];
	config->groups.count = (size_t)count;
	return 0;
}

/* What to execute, and its arguments. */
static int
complete_command(struct build *build)
{
	struct app_config *config = build->config;
	bool runs_itself = strcmp(config->interpreter, "none") == 0;
	const char *program =
		runs_itself ? config->script : config->interpreter;
	struct words argv = {0};
	int error = words_add(&argv, program, strlen(program));

	if (!runs_itself) {
		if (error == 0)
			error = words_add_all(&argv, config->interpreter_args);
		if (error == 0)
			error = words_add(
				&argv, config->script, strlen(config->script));
	}
	if (error == 0)
		error = words_add_all(&argv, config->args);
	if (error < 0) {
		words_fini(&argv);
		return error;
	}
	config->argv = words_take(&argv);
	config->program = strdup(program);
	if (config->argv == NULL || config->program == NULL)
		return -ENOMEM;
	if (config->kill_signal == CONFIG_UNSET)
		config->kill_signal =
			program_is_node(program) ? SIGINT : SIGTERM;
	return 0;
}

/* An address without a `balance` of its own has the application's, where it
 * makes sense: datagrams and UNIX sockets are shared else. */
static int
complete_listen(struct build *build)
{
	struct app_config *config = build->config;

	for (size_t i = 0; i < config->listen.count; i++) {
		struct listen_config *entry = &config->listen.entries[i];
		bool has_connections =
			entry->kind == LISTEN_TCP || entry->kind == LISTEN_UNIX;
		bool has_ports = entry->path[0] == '\0';

		if (entry->balance != CONFIG_UNSET)
			continue;
		entry->balance = config->balance;
		if ((entry->balance == BALANCE_ROUND_ROBIN &&
			    !has_connections) ||
			(entry->balance == BALANCE_REUSEPORT && !has_ports))
			entry->balance = BALANCE_SHARED;
	}
	return 0;
}

/* The sockets' numbers are settled by systemd's convention: from 3 on. */
static int
complete_notify(struct build *build)
{
	const struct app_config *config = build->config;
	int64_t first = 3;

	for (size_t i = 0; i < config->listen.count; i++)
		first += config->listen.entries[i].balance !=
			 BALANCE_ROUND_ROBIN;
	if (config->notify_fd == CONFIG_UNSET || config->notify_fd >= first)
		return 0;
	return bad(build, "notify_fd",
		"the descriptors from 3 on are the listening sockets': choose "
		"a number behind them");
}

static int
complete(struct build *build)
{
	static int (*const steps[])(struct build *) = {
		complete_program,
		complete_name,
		complete_user,
		complete_command,
		complete_listen,
		complete_notify,
	};
	int error = 0;

	if (build->config->user == CONFIG_UNSET &&
		(build->config->group != CONFIG_UNSET ||
			build->config->groups.numbers != NULL))
		return bad(build, "group", "a group needs a user beside it");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		error = steps[i](build);
		if (error < 0)
			break;
	}
	return error;
}

int
config_from_json(const json_t *object, const struct config_place *place,
	const char *where, struct app_config **ret_config,
	struct config_error *ret_error)
{
	struct build build = {.context = {place, where, ret_error}};
	size_t count;
	const struct key *keys = keys_all(&count);
	int error;

	if (!json_is_object(object)) {
		snprintf(ret_error->text, sizeof(ret_error->text),
			"%s%san application is an object, {\"script\": "
			"\"app.js\"}",
			where, where[0] != '\0' ? ": " : "");
		return -EINVAL;
	}
	build.config = calloc(1, sizeof(*build.config));
	if (build.config == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++)
		values_init(&keys[i], build.config);
	error = read_given(&build, object);
	if (error == 0)
		error = complete(&build);
	if (error < 0) {
		config_free(&build.config);
		return error;
	}
	*ret_config = build.config;
	return 0;
}

json_t *
config_to_json(const struct app_config *config)
{
	size_t count;
	const struct key *keys = keys_all(&count);
	json_t *object = json_object();

	for (size_t i = 0; object != NULL && i < count; i++) {
		json_t *value;
		int error = values_write(&keys[i], config, &value);

		if (error == 0 && value != NULL)
			error = json_object_set_new(
				object, keys[i].name, value);
		if (error != 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

void
config_free(struct app_config **config)
{
	size_t count;
	const struct key *keys = keys_all(&count);

	if (*config == NULL)
		return;
	for (size_t i = 0; i < count; i++)
		values_fini(&keys[i], *config);
	free((*config)->program);
	words_free(&(*config)->argv);
	words_free(&(*config)->environment);
	free(*config);
	*config = NULL;
}

enum key_change
config_compare(const struct app_config *old, const struct app_config *new)
{
	size_t count;
	const struct key *keys = keys_all(&count);
	enum key_change change = KEY_CHANGE_NONE;

	for (size_t i = 0; i < count; i++) {
		json_t *before, *after;
		int error = values_write(&keys[i], old, &before);

		if (error < 0)
			return KEY_CHANGE_FIXED;
		error = values_write(&keys[i], new, &after);
		if (error < 0 ||
			(before != after && !json_equal(before, after)))
			change = keys[i].change > change ? keys[i].change
							 : change;
		json_decref(before);
		json_decref(after);
		if (error < 0)
			return KEY_CHANGE_FIXED;
	}
	return change;
}

bool
config_log_path(const struct app_config *config, bool is_error,
	uint32_t instance, char *ret_path, size_t size)
{
	const char *path = is_error ? config->error_file : config->out_file;
	const char *end;
	int used;

	if (config->disable_logs)
		path = "/dev/null";
	else if (path == NULL)
		path = config->log_file;
	if (path == NULL)
		return false;
	/* "api.log" of worker 2 is "api-2.log". */
	end = strrchr(path, '.');
	if (end == NULL || strchr(end, '/') != NULL)
		end = path + strlen(path);
	if (config->merge_logs != 0 || config->disable_logs)
		used = snprintf(ret_path, size, "%s", path);
	else
		used = snprintf(ret_path, size, "%.*s-%u%s", (int)(end - path),
			path, instance, end);
	return used >= 0 && (size_t)used < size;
}

uint32_t
config_portion_of(struct portion portion, uint32_t count)
{
	int64_t number = portion.number;

	if (portion.is_percent)
		number = number * count / 100;
	return number < 1 ? 1 : (uint32_t)number;
}

char **
config_copy_strings(char *const *list)
{
	struct words copy = {0};

	if (words_add_all(&copy, list) < 0) {
		words_fini(&copy);
		return NULL;
	}
	return words_take(&copy);
}

void
config_free_strings(char ***strings)
{
	words_free(strings);
}
