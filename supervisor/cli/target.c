/*
 * target: a word of the command line becomes addresses.
 */
#include "target.h"

#include "base/json.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

enum {
	APPS_MAX = 4096, /* applications of one namespace */
};

static void
add_app(struct target *target, const char *app)
{
	for (size_t i = 0; i < target->count; i++)
		if (strcmp(target->apps[i], app) == 0)
			return;
	if (target->count < APPS_MAX)
		target->apps[target->count++] = app;
}

static int
find_namespace(struct client *client, const char *verb, const char *name,
	struct target *target)
{
	size_t index;
	json_t *worker;
	int code = client_call(
		client, "ls", NULL, CLIENT_ANSWER_MS, &target->listing);

	if (code != CLI_DONE)
		return code;
	json_array_foreach(
		json_object_get(target->listing, "workers"), index, worker)
	{
		const char *is = json_text(worker, "namespace");
		const char *app = json_text(worker, "app");
		if (is != NULL && app != NULL && strcmp(is, name) == 0)
			add_app(target, app);
	}
	if (target->count > 0)
		return CLI_DONE;
	fprintf(stderr,
		"muster: %s: no application is in the namespace '%s'; "
		"see 'muster ls'\n",
		verb, name);
	return CLI_NO_SUCH;
}

int
target_find(struct client *client, const char *verb, const char *word,
	struct target *target)
{
	*target = (struct target){.to = MUSTER_TO_ALL};
	target->apps = calloc(APPS_MAX, sizeof(*target->apps));
	if (target->apps == NULL) {
		fprintf(stderr, "muster: %s: no memory\n", verb);
		return CLI_FAILED;
	}
	if (strncmp(word, "ns:", 3) == 0)
		return find_namespace(client, verb, word + 3, target);
	target->apps[0] = NULL;
	target->count = 1;
	if (strcmp(word, "all") == 0)
		return CLI_DONE;
	if (word[0] != '\0' && word[strspn(word, "0123456789")] == '\0') {
		unsigned long id = strtoul(word, NULL, 10);
		if (id == 0 || id > MUSTER_LAST_ENDPOINT) {
			fprintf(stderr,
				"muster: %s: no worker has the id %s; "
				"see 'muster ls'\n",
				verb, word);
			return CLI_NO_SUCH;
		}
		target->to = (uint32_t)id;
		return CLI_DONE;
	}
	target->apps[0] = word;
	return CLI_DONE;
}

void
target_fini(struct target *target)
{
	free(target->apps);
	json_decref(target->listing);
	*target = (struct target){.to = 0};
}
