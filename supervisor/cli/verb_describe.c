/*
 * verb_describe: an application: its configuration in force, as far as it isn't
 * what it is anyhow, and its workers.
 */
#include "ask_target.h"
#include "escape.h"
#include "render.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

/* What a key is where nobody says anything, as JSON; NULL: no key. */
static const char *
fallback_of(const char *key)
{
	static const struct {
		const char *name;
		const char *fallback;
	} keys[] = {
#define KEY(name, type, fallback, least, most, change, letter, value, help)    \
	{#name, fallback},
#include "config/keys.def"
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (strcmp(keys[i].name, key) == 0)
			return keys[i].fallback;
	return NULL;
}

static bool
is_fallback(const char *key, const json_t *value)
{
	const char *text = fallback_of(key);
	json_t *fallback;
	bool same;

	if (text == NULL)
		return false;
	fallback = json_loads(text, JSON_DECODE_ANY, NULL);
	same = json_equal(fallback, value);
	json_decref(fallback);
	return same;
}

static void
print_value(const json_t *value)
{
	char *text;

	if (json_is_string(value)) {
		escape_print(stdout, json_string_value(value),
			json_string_length(value));
		return;
	}
	text = json_dumps(
		value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT);
	fputs(text != NULL ? text : "?", stdout);
	free(text);
}

static int
print_app(json_t *app)
{
	const char *name = json_string_value(json_object_get(app, "app"));
	json_t *configuration = json_object_get(app, "configuration");
	const char *key;
	json_t *value;

	escape_print(stdout, name, strlen(name));
	putchar('\n');
	json_object_foreach(configuration, key, value)
	{
		if (strcmp(key, "name") == 0 || is_fallback(key, value))
			continue;
		printf("  %-26s ", key);
		print_value(value);
		putchar('\n');
	}
	return render_workers(json_object_get(app, "workers"));
}

int
verb_describe(const struct call *call)
{
	json_t *answer, *apps, *app;
	size_t i;
	int code = ask_method("describe",
		json_pack("{s:s}", "target", call->words[0]), false, &answer);
	int result = 0;

	if (code != CLI_DONE)
		return code;
	apps = json_object_get(answer, "apps");
	if (call->values[OPTION_describe_json] != NULL)
		result = render_json(apps);
	else
		json_array_foreach(apps, i, app)
		{
			if (i > 0)
				putchar('\n');
			if (result == 0)
				result = print_app(app);
		}
	json_decref(answer);
	if (result == 0)
		return CLI_DONE;
	fputs("muster: describe: no memory\n", stderr);
	return CLI_FAILED;
}
