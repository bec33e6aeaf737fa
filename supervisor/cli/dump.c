/*
 * dump: a temporary file, synced, renamed, and the folder synced: rename(2) is
 * the one step that counts. The file before it is kept by a link made first.
 */
#include "dump.h"

#include "base/home.h"
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	DUMP_MAX = 64 << 20, /* bytes of a file that is believed */
};

struct paths {
	struct home home;
	char file[HOME_PATH_SIZE], old[HOME_PATH_SIZE], new[HOME_PATH_SIZE];
};

static int
find_paths(const char *verb, struct paths *ret_paths)
{
	struct paths *paths = ret_paths;
	int error = home_resolve(&paths->home);

	if (error == 0)
		error = home_path(
			paths->file, paths->home.state, "dump.json", 0);
	if (error == 0)
		error = home_path(
			paths->old, paths->home.state, "dump.json.old", 0);
	if (error == 0)
		error = home_path(
			paths->new, paths->home.state, "dump.json.new", 0);
	if (error == 0)
		return CLI_DONE;
	fprintf(stderr, "muster: %s: where dump.json is can't be told: %s\n",
		verb, strerror(-error));
	return CLI_FAILED;
}

static int
write_all(int fd, const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			size -= (size_t)n;
		}
	}
	return fsync(fd) < 0 ? -errno : 0;
}

static int
sync_folder(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int error = fd < 0 || fsync(fd) < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	return error;
}

/* In order; returns 0 or the errno of the step that failed. */
static int
put_in_place(const struct paths *paths, const char *text, size_t size)
{
	int error = home_make_folder(paths->home.state);
	int fd;

	if (error < 0)
		return error;
	if (unlink(paths->new) < 0 && errno != ENOENT)
		return -errno;
	fd = open(paths->new,
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	error = write_all(fd, text, size);
	close(fd);
	if (error < 0)
		return error;
	(void)unlink(paths->old);
	if (link(paths->file, paths->old) < 0 && errno != ENOENT)
		return -errno;
	if (rename(paths->new, paths->file) < 0)
		return -errno;
	return sync_folder(paths->home.state);
}

int
dump_write(const char *verb, const json_t *dump)
{
	struct paths *paths = malloc(sizeof(*paths));
	char *text = json_dumps(dump, JSON_INDENT(1));
	int code = CLI_FAILED, error = -ENOMEM;

	if (paths != NULL && text != NULL) {
		code = find_paths(verb, paths);
		if (code == CLI_DONE)
			error = put_in_place(paths, text, strlen(text));
	}
	if (error < 0) {
		fprintf(stderr,
			"muster: %s: %s: %s; the file before it is "
			"untouched\n",
			verb, paths != NULL ? paths->file : "dump.json",
			strerror(-error));
		code = CLI_FAILED;
	}
	free(text);
	free(paths);
	return code;
}

/* NULL: it isn't there, or isn't whole; said when it is there. */
static json_t *
read_file(const char *verb, const char *path)
{
	json_error_t error;
	FILE *file = fopen(path, "re");
	json_t *dump;
	long size;

	if (file == NULL)
		return NULL;
	if (fseek(file, 0, SEEK_END) < 0 || (size = ftell(file)) < 0 ||
		size > DUMP_MAX) {
		fclose(file);
		fprintf(stderr, "muster: %s: %s is no dump\n", verb, path);
		return NULL;
	}
	rewind(file);
	dump = json_loadf(file, JSON_REJECT_DUPLICATES, &error);
	fclose(file);
	if (dump != NULL && json_is_array(json_object_get(dump, "apps")))
		return dump;
	fprintf(stderr, "muster: %s: %s is damaged%s%s\n", verb, path,
		dump == NULL ? ": " : "", dump == NULL ? error.text : "");
	json_decref(dump);
	return NULL;
}

int
dump_read(const char *verb, json_t **ret_dump)
{
	struct paths *paths = malloc(sizeof(*paths));
	json_t *dump = NULL;
	int code = CLI_FAILED;

	if (paths != NULL)
		code = find_paths(verb, paths);
	if (code == CLI_DONE) {
		dump = read_file(verb, paths->file);
		if (dump == NULL) {
			dump = read_file(verb, paths->old);
			if (dump != NULL)
				fprintf(stderr,
					"muster: %s: %s is taken instead\n",
					verb, paths->old);
		}
		if (dump == NULL) {
			fprintf(stderr,
				"muster: %s: there is no %s that can be read; "
				"'muster save' writes one\n",
				verb, paths->file);
			code = CLI_FAILED;
		}
	}
	free(paths);
	*ret_dump = dump;
	return code;
}
