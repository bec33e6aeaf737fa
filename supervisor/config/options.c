/*
 * options: the words behind `run` and `start` become the same JSON that a file
 * holds, and go the same way from there. It knows how options are written, not
 * which there are: that is keys.def, but for the few below that aren't about
 * the application. Exit codes and printing are the caller's.
 */
#include "config/options.h"

#include "config/depends.h"
#include "config/program.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct parser {
	char *const *argv;
	int argc, at; /* `at`: the next word */
	const struct config_place *place;
	struct options *options;
	json_t *app;	      /* what keys said */
	const char *env_name; /* --env without a value: of a file */
	const char *shown;    /* whom a file stands for that is unlinked when
			       * it was read; NULL: it is none */
	struct config_error *error;
};

/* Options of the command itself. */
enum own_option {
	OWN_RAW,
	OWN_JSON,
	OWN_HOME,
	OWN_PID_FILE,
	OWN_BUS,
	OWN_BUS_TOKEN_FILE,
	OWN_ONLY,
	OWN_UPDATE_ENV,
	OWN_NO_WAIT,
	OWN_TEMPORARY,
	OWN_COUNT,
};

static const struct {
	const char *name;
	bool takes_value;
} own_options[OWN_COUNT] = {
	[OWN_RAW] = {"raw", false},
	[OWN_JSON] = {"json", false},
	[OWN_HOME] = {"home", true},
	[OWN_PID_FILE] = {"pid-file", true},
	[OWN_BUS] = {"bus", true},
	[OWN_BUS_TOKEN_FILE] = {"bus-token-file", true},
	[OWN_ONLY] = {"only", true},
	[OWN_UPDATE_ENV] = {"update-env", false},
	[OWN_NO_WAIT] = {"no-wait", false},
	[OWN_TEMPORARY] = {"temporary-file", true},
};

static int __attribute__((format(printf, 2, 3)))
wrong(struct parser *parser, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(parser->error->text, sizeof(parser->error->text), format,
		arguments);
	va_end(arguments);
	return -EINVAL;
}

/* A key's name as it is written in options. */
struct spelling {
	char text[KEY_NAME_MAX + 1];
};

static struct spelling
spell(const char *name)
{
	struct spelling spelling;

	snprintf(spelling.text, sizeof(spelling.text), "%s", name);
	for (char *c = spelling.text; *c != '\0'; c++)
		if (*c == '_')
			*c = '-';
	return spelling;
}

/* The nearest key that --no- may stand before, or NULL. */
static const char *
nearest_switch(const char *name)
{
	const char *nearest = keys_nearest(name);
	const struct key *key =
		nearest != NULL ? keys_find(nearest, strlen(nearest)) : NULL;

	return key != NULL && key->type == KEY_TYPE_BOOL ? nearest : NULL;
}

static int
unknown_option(struct parser *parser, const char *word)
{
	const char *name = word + strspn(word, "-");
	const char *nearest = NULL, *no = "";
	char bare[KEY_NAME_MAX + 1];

	snprintf(bare, sizeof(bare), "%.*s", (int)strcspn(name, "="), name);
	if (strncmp(bare, "no-", 3) == 0)
		nearest = nearest_switch(bare + 3);
	if (nearest != NULL)
		no = "no-";
	else
		nearest = keys_nearest(bare);
	for (int i = 0; i < OWN_COUNT && nearest == NULL; i++)
		if (keys_distance(own_options[i].name, bare) <= 2) {
			nearest = own_options[i].name;
			no = "";
		}
	if (nearest == NULL)
		return wrong(parser,
			"%.100s is an unknown option; muster help lists them",
			word);
	return wrong(parser,
		"%.100s is an unknown option; did you mean --%s%s?", word, no,
		spell(nearest).text);
}

/* "KEY=VALUE" into the object that the key holds. */
static int
add_pair(struct parser *parser, const struct key *key, const char *value)
{
	json_t *object = json_object_get(parser->app, key->name);
	const char *equals = strchr(value, '=');
	char *name;
	int failed;

	if (equals == NULL && key->type == KEY_TYPE_ENVIRONMENT &&
		*value != '\0') {
		parser->env_name = value;
		return 0;
	}
	if (equals == NULL || equals == value)
		return wrong(parser, "--%s: \"%.100s\" is no %s",
			spell(key->name).text, value, key->value);
	if (object == NULL) {
		object = json_object();
		if (json_object_set_new(parser->app, key->name, object) != 0)
			return -ENOMEM;
	}
	name = strndup(value, (size_t)(equals - value));
	if (name == NULL)
		return -ENOMEM;
	failed = json_object_set_new(object, name, json_string(equals + 1));
	free(name);
	return failed == 0 ? 0
			   : wrong(parser, "--%s: \"%.100s\" isn't UTF-8",
				     spell(key->name).text, value);
}

static int
add_to_list(struct parser *parser, const struct key *key, json_t *text)
{
	json_t *list = json_object_get(parser->app, key->name);

	if (list == NULL) {
		list = json_array();
		if (json_object_set_new(parser->app, key->name, list) != 0) {
			json_decref(text);
			return -ENOMEM;
		}
	}
	return json_array_append_new(list, text) == 0 ? 0 : -ENOMEM;
}

static int
set_key(struct parser *parser, const struct key *key, const char *value)
{
	json_t *text;

	if (key->type == KEY_TYPE_ENVIRONMENT || key->type == KEY_TYPE_LIMITS)
		return add_pair(parser, key, value);
	text = json_string(value);
	if (text == NULL)
		return wrong(parser, "--%s: the value isn't UTF-8",
			spell(key->name).text);
	if (key->type == KEY_TYPE_LISTEN)
		return add_to_list(parser, key, text);
	return json_object_set_new(parser->app, key->name, text) == 0 ? 0
								      : -ENOMEM;
}

/* The value of an option: behind "=", else the next word. */
static int
take_value(struct parser *parser, const char *word, const char *attached,
	const char **ret_value)
{
	if (attached != NULL) {
		*ret_value = attached;
		return 0;
	}
	if (parser->at >= parser->argc)
		return wrong(parser, "%s needs a value behind it", word);
	*ret_value = parser->argv[parser->at++];
	return 0;
}

static int
set_own(struct parser *parser, enum own_option own, const char *value)
{
	struct options *options = parser->options;
	char **path = NULL, **text = NULL;

	switch (own) {
	case OWN_RAW:
		options->raw = true;
		break;
	case OWN_JSON:
		options->json = true;
		break;
	case OWN_HOME:
		path = &options->home;
		break;
	case OWN_PID_FILE:
		path = &options->pid_file;
		break;
	case OWN_BUS:
		text = &options->bus;
		break;
	case OWN_BUS_TOKEN_FILE:
		path = &options->bus_token_file;
		break;
	case OWN_ONLY:
		text = &options->only;
		break;
	case OWN_UPDATE_ENV:
		options->update_env = true;
		break;
	case OWN_NO_WAIT:
		options->no_wait = true;
		break;
	case OWN_TEMPORARY:
		parser->shown = value;
		break;
	case OWN_COUNT:
		break;
	}
	if (text != NULL) {
		free(*text);
		*text = strdup(value);
		return *text == NULL ? -ENOMEM : 0;
	}
	if (path == NULL)
		return 0;
	free(*path);
	*path = program_absolute(value, parser->place->directory);
	return *path == NULL ? -ENOMEM : 0;
}

/* Returns 1 when the option isn't one of the command's own. */
static int
read_own(struct parser *parser, const char *word, size_t size,
	const char *attached)
{
	for (int i = 0; i < OWN_COUNT; i++) {
		const char *name = own_options[i].name;
		const char *value = NULL;
		int error = 0;

		if (strlen(name) != size || memcmp(name, word + 2, size) != 0)
			continue;
		if (own_options[i].takes_value)
			error = take_value(parser, word, attached, &value);
		else if (attached != NULL)
			error = wrong(parser, "--%s takes no value", name);
		return error < 0 ? error
				 : set_own(parser, (enum own_option)i, value);
	}
	return 1;
}

static int
read_long(struct parser *parser, const char *word)
{
	size_t size = strcspn(word + 2, "=");
	const char *attached = word[2 + size] == '=' ? word + 3 + size : NULL;
	const struct key *key = keys_find(word + 2, size);
	const char *value = NULL;
	int error = read_own(parser, word, size, attached);

	if (error <= 0)
		return error;
	if (key == NULL && strncmp(word + 2, "no-", 3) == 0 &&
		attached == NULL) {
		key = keys_find(word + 5, size - 3);
		if (key != NULL && key->type != KEY_TYPE_BOOL)
			key = NULL;
		attached = "false";
	}
	if (key == NULL)
		return unknown_option(parser, word);
	if ((key->type == KEY_TYPE_BOOL || key->type == KEY_TYPE_WATCH) &&
		attached == NULL)
		attached = "true";
	error = take_value(parser, word, attached, &value);
	return error < 0 ? error : set_key(parser, key, value);
}

/* -n 4 or -n4. */
static int
read_short(struct parser *parser, const char *word)
{
	const struct key *key = keys_find_letter(word[1]);
	const char *value = NULL;
	int error;

	if (key == NULL)
		return unknown_option(parser, word);
	error = take_value(
		parser, word, word[2] != '\0' ? word + 2 : NULL, &value);
	return error < 0 ? error : set_key(parser, key, value);
}

/* Reads options up to the first other word; `ret_ended`: by "--". */
static int
read_options(struct parser *parser, bool *ret_ended)
{
	*ret_ended = false;
	while (parser->at < parser->argc) {
		const char *word = parser->argv[parser->at];
		int error;

		if (word[0] != '-' || word[1] == '\0')
			return 0;
		parser->at++;
		if (strcmp(word, "--") == 0) {
			*ret_ended = true;
			return 0;
		}
		error = word[1] == '-' ? read_long(parser, word)
				       : read_short(parser, word);
		if (error < 0)
			return error;
	}
	return 0;
}

static bool
is_file_name(const char *word)
{
	size_t size = strlen(word);

	return size > 5 && strcmp(word + size - 5, ".json") == 0;
}

/* Leaves of a file's applications the one that --only names. */
static int
select_only(struct parser *parser)
{
	struct options *options = parser->options;
	struct config_set *set = &options->set;
	struct app_config *found = NULL;

	for (size_t i = 0; i < set->count; i++) {
		if (found == NULL &&
			strcmp(set->apps[i]->name, options->only) == 0)
			found = set->apps[i];
		else
			config_free(&set->apps[i]);
	}
	set->count = found != NULL;
	if (found == NULL)
		return wrong(parser,
			"--only %.100s: no application of %.200s is called so",
			options->only, options->file);
	set->apps[0] = found;
	return 0;
}

static int
read_file(struct parser *parser, const char *word)
{
	struct options *options = parser->options;
	struct config_place place = *parser->place;
	bool ended;
	int error = read_options(parser, &ended);

	if (error < 0)
		return error;
	if (parser->at < parser->argc)
		return wrong(parser, "%.100s: nothing may follow the file",
			parser->argv[parser->at]);
	if (json_object_size(parser->app) > 0)
		return wrong(parser,
			"--%s: an application's options stand in %.200s",
			spell(json_object_iter_key(
				      json_object_iter(parser->app)))
				.text,
			word);
	options->file = program_absolute(word, parser->place->directory);
	if (options->file == NULL)
		return -ENOMEM;
	place.env_name = parser->env_name;
	place.shown = parser->shown;
	error = config_file_read(
		options->file, &place, &options->set, parser->error);
	if (error == 0 && options->only != NULL)
		error = select_only(parser);
	if (parser->shown != NULL) {
		(void)unlink(options->file);
		free(options->file);
		options->file = NULL;
	}
	return error < 0 && error != -ENOMEM ? -EBADMSG : error;
}

/* The program and its arguments, as the keys script and args. */
static int
read_program(struct parser *parser, const char *word)
{
	bool has_args = json_object_get(parser->app, "args") != NULL;
	char *path;
	int error;

	if (json_object_get(parser->app, "script") != NULL)
		return wrong(parser,
			"%.200s: the program is already given by --script",
			word);
	if (word[0] == '\0')
		return wrong(parser, "the program's name is empty");
	path = program_find(
		word, parser->place->directory, parser->place->search);
	if (path == NULL)
		return -ENOMEM;
	error = set_key(parser, keys_find("script", 6), path);
	free(path);
	if (has_args && parser->at < parser->argc)
		return wrong(parser, "%.100s: arguments are given by --args",
			parser->argv[parser->at]);
	while (error == 0 && parser->at < parser->argc) {
		json_t *text = json_string(parser->argv[parser->at++]);

		error = text == NULL ? wrong(parser, "an argument isn't UTF-8")
				     : add_to_list(parser, keys_find("args", 4),
					       text);
	}
	return error;
}

static int
build(struct parser *parser)
{
	struct config_set *set = &parser->options->set;
	int error;

	set->apps = calloc(1, sizeof(*set->apps));
	if (set->apps == NULL)
		return -ENOMEM;
	error = config_from_json(
		parser->app, parser->place, "--", &set->apps[0], parser->error);
	if (error == 0)
		set->count = 1;
	if (error == 0)
		error = depends_check(set, parser->place, parser->error);
	return error == -ENOENT ? -EBADMSG : error;
}

static int
parse(struct parser *parser)
{
	bool ended;
	int error = read_options(parser, &ended);
	const char *word;

	if (error < 0)
		return error;
	if (parser->at < parser->argc) {
		word = parser->argv[parser->at++];
		if (!ended && is_file_name(word))
			return read_file(parser, word);
		if (parser->env_name != NULL)
			return wrong(parser,
				"--env: \"%.100s\" is no KEY=VALUE",
				parser->env_name);
		error = read_program(parser, word);
	} else if (json_object_get(parser->app, "script") == NULL) {
		return wrong(parser,
			"say which program to run: run [OPTIONS] [--] "
			"PROGRAM [ARG…], or run FILE.json");
	}
	return error < 0 ? error : build(parser);
}

/* What the command line says counts before what a file says. */
static void
take_bus(struct options *options)
{
	struct daemon_config *muster = &options->set.muster;

	if (options->bus != NULL) {
		free(muster->bus);
		muster->bus = options->bus;
		options->bus = NULL;
	}
	if (options->bus_token_file != NULL) {
		free(muster->bus_token_file);
		muster->bus_token_file = options->bus_token_file;
		options->bus_token_file = NULL;
	}
}

int
options_parse(int argc, char *const *argv, const struct config_place *place,
	struct options *ret_options, struct config_error *ret_error)
{
	struct options options = {0};
	struct parser parser = {
		.argv = argv,
		.argc = argc,
		.place = place,
		.options = &options,
		.app = json_object(),
		.error = ret_error,
	};
	int error = parser.app == NULL ? -ENOMEM : parse(&parser);

	json_decref(parser.app);
	if (error == 0)
		take_bus(&options);
	if (error < 0) {
		options_fini(&options);
		return error;
	}
	*ret_options = options;
	return 0;
}

void
options_fini(struct options *options)
{
	config_set_fini(&options->set);
	free(options->file);
	free(options->home);
	free(options->pid_file);
	free(options->only);
	free(options->bus);
	free(options->bus_token_file);
	*options = (struct options){0};
}
