/*
 * depends: follows depends_on from each application, depth first. An
 * application of the set hides one of the same name that exists already.
 */
#include "config/depends.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	DEPTH_MAX = 64, /* of a chain; nobody can follow a longer one */
};

struct walk {
	const struct config_set *set;
	const struct config_place *place;
	struct config_error *error;
	const char *chain[DEPTH_MAX + 1];
};

static const struct app_config *
find(const struct walk *walk, const char *name)
{
	for (size_t i = 0; i < walk->set->count; i++)
		if (strcmp(walk->set->apps[i]->name, name) == 0)
			return walk->set->apps[i];
	return walk->place != NULL && walk->place->find != NULL
		       ? walk->place->find(name, walk->place->find_data)
		       : NULL;
}

/* "api → db → api". */
static int
tell_cycle(const struct walk *walk, size_t from, size_t depth)
{
	char *text = walk->error->text;
	size_t size = sizeof(walk->error->text);
	int used = snprintf(text, size, "depends_on goes in a circle: ");

	for (size_t i = from; i <= depth && used > 0 && (size_t)used < size;
		i++)
		used += snprintf(text + used, size - (size_t)used, "%s%s",
			i > from ? " → " : "", walk->chain[i]);
	return -EINVAL;
}

static int
visit(struct walk *walk, const struct app_config *config, size_t depth)
{
	walk->chain[depth] = config->name;
	for (size_t i = 0; i < depth; i++)
		if (strcmp(walk->chain[i], config->name) == 0)
			return tell_cycle(walk, i, depth);
	for (char *const *name = config->depends_on; *name != NULL; name++) {
		const struct app_config *next = find(walk, *name);
		int r;

		if (next == NULL) {
			snprintf(walk->error->text, sizeof(walk->error->text),
				"%.100s.depends_on: no application is called "
				"\"%.100s\"",
				config->name, *name);
			return -EINVAL;
		}
		if (depth == DEPTH_MAX) {
			snprintf(walk->error->text, sizeof(walk->error->text),
				"%.100s: the chain of depends_on is longer "
				"than %d",
				walk->chain[0], DEPTH_MAX);
			return -EINVAL;
		}
		r = visit(walk, next, depth + 1);
		if (r < 0)
			return r;
	}
	return 0;
}

int
depends_check(const struct config_set *set, const struct config_place *place,
	struct config_error *ret_error)
{
	struct walk walk = {.set = set, .place = place, .error = ret_error};

	for (size_t i = 0; i < set->count; i++) {
		int r = visit(&walk, set->apps[i], 0);

		if (r < 0)
			return r;
	}
	return 0;
}
