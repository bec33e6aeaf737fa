/*
 * config_file: a file's applications, all or none. It knows the three shapes
 * that a file may have and words errors with the file's name; what stands in an
 * application is config.c's.
 */
#include "config/config_file.h"

#include "base/log.h"
#include "base/sys.h"
#include "config/depends.h"
#include "config/relaxed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Puts "SOURCE: " in front of what an error says. */
static void
name_source(struct config_error *error, const char *source)
{
	struct config_error named;

	snprintf(named.text, sizeof(named.text), "%.300s: %.700s", source,
		error->text);
	*error = named;
}

static int
wrong(struct config_error *error, const char *text)
{
	snprintf(error->text, sizeof(error->text), "%s", text);
	return -EINVAL;
}

/* The list of applications in `value`, or the only one; borrowed. */
static int
find_apps(const json_t *value, const json_t **ret_apps,
	struct config_error *error)
{
	const char *name;
	json_t *member;

	*ret_apps = value;
	if (json_is_array(value))
		return 0;
	if (!json_is_object(value))
		return wrong(error,
			"write {\"apps\": […]}, an array, or one object");
	if (json_object_get(value, "apps") == NULL)
		return 0;
	json_object_foreach((json_t *)value, name, member)
	{
		/* PM2's remote deployment, which is other programs' business.
		 */
		if (strcmp(name, "deploy") == 0)
			log_warn("\"deploy\" means nothing here: it is left "
				 "out");
		else if (strcmp(name, "apps") != 0 &&
			 strcmp(name, "muster") != 0) {
			snprintf(error->text, sizeof(error->text),
				"%.100s is unknown beside \"apps\"", name);
			return -EINVAL;
		}
	}
	*ret_apps = json_object_get(value, "apps");
	if (json_is_array(*ret_apps) || json_is_object(*ret_apps))
		return 0;
	return wrong(error, "apps is a list of applications");
}

static int
check_name(const struct config_set *set, size_t i, struct config_error *error)
{
	for (size_t other = 0; other < i; other++)
		if (strcmp(set->apps[other]->name, set->apps[i]->name) == 0) {
			snprintf(error->text, sizeof(error->text),
				"apps[%zu].name: \"%s\" is the name of "
				"apps[%zu], too; give each its own",
				i, set->apps[i]->name, other);
			return -EINVAL;
		}
	return 0;
}

static int
build_all(const json_t *apps, const struct config_place *place,
	struct config_set *set, struct config_error *error)
{
	bool is_list = json_is_array(apps);
	size_t count = is_list ? json_array_size(apps) : 1;

	if (count == 0)
		return wrong(error, "there is no application in it");
	if (count > CONFIG_APPS_MAX)
		return wrong(error, "there are over 1024 applications in it");
	set->apps = calloc(count, sizeof(*set->apps));
	if (set->apps == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		char where[32] = "";
		int failed;

		if (is_list)
			snprintf(where, sizeof(where), "apps[%zu]", i);
		failed = config_from_json(
			is_list ? json_array_get(apps, i) : apps, place, where,
			&set->apps[i], error);
		if (failed < 0)
			return failed;
		set->count++;
		failed = check_name(set, i, error);
		if (failed < 0)
			return failed;
	}
	return 0;
}

int
config_file_build(const json_t *value, const char *source,
	const struct config_place *place, struct config_set *ret_set,
	struct config_error *ret_error)
{
	struct config_set set = {.apps = NULL};
	const json_t *apps;
	int error;

	ret_error->text[0] = '\0';
	error = find_apps(value, &apps, ret_error);
	if (error == 0)
		error = daemon_config_read(json_object_get(value, "muster"),
			place, &set.muster, ret_error);
	if (error == 0)
		error = build_all(apps, place, &set, ret_error);
	if (error == 0)
		error = depends_check(&set, place, ret_error);
	if (error < 0) {
		name_source(ret_error, source);
		config_set_fini(&set);
		return error;
	}
	*ret_set = set;
	return 0;
}

/*
 * Reads the whole file.
 * Returns its size, -EFBIG, -ENOMEM or what the system said.
 */
static ssize_t
read_all(const char *path, char **ret_text)
{
	/* Without blocking: a FIFO without a writer is read as empty. */
	int fd = sys_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	char *text = malloc(CONFIG_FILE_SIZE_MAX + 1);
	ssize_t size = 0, got = fd < 0 ? fd : 1;

	if (text == NULL && fd >= 0)
		got = -ENOMEM;
	while (got > 0 && size <= CONFIG_FILE_SIZE_MAX) {
		got = sys_read(fd, text + size,
			(size_t)(CONFIG_FILE_SIZE_MAX + 1 - size));
		size += got > 0 ? got : 0;
	}
	if (fd >= 0)
		sys_close(fd);
	if (got >= 0 && size > CONFIG_FILE_SIZE_MAX)
		got = -EFBIG;
	if (got < 0) {
		free(text);
		return got;
	}
	*ret_text = text;
	return size;
}

int
config_file_read(const char *path, const struct config_place *place,
	struct config_set *ret_set, struct config_error *ret_error)
{
	json_error_t syntax;
	json_t *value;
	char *text;
	ssize_t size = read_all(path, &text);
	const char *shown = place->shown != NULL ? place->shown : path;
	size_t mark;
	int error;

	if (size < 0) {
		snprintf(ret_error->text, sizeof(ret_error->text),
			"%.300s can't be read: %s", shown,
			strerror((int)-size));
		return (int)size;
	}
	/* Some editors put a byte order mark in front. */
	mark = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
	relaxed_strip(text + mark, (size_t)size - mark);
	value = json_loadb(text + mark, (size_t)size - mark,
		JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY,
		&syntax);
	free(text);
	if (value == NULL) {
		snprintf(ret_error->text, sizeof(ret_error->text),
			"%.300s:%d:%d: no right JSON: %s", shown, syntax.line,
			syntax.column, syntax.text);
		return -EINVAL;
	}
	error = config_file_build(value, shown, place, ret_set, ret_error);
	json_decref(value);
	return error;
}

void
config_set_fini(struct config_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		config_free(&set->apps[i]);
	free(set->apps);
	daemon_config_fini(&set->muster);
	*set = (struct config_set){.apps = NULL};
}
