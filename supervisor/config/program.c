/*
 * program: looks for the file to execute while the configuration is read, with
 * the caller's directory and PATH, since the supervisor has others. It opens
 * files only to see whether they say what they are.
 */
#include "config/program.h"

#include "base/sys.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *ending, *interpreter;
} interpreters[] = {
	{".js", "node"},
	{".mjs", "node"},
	{".cjs", "node"},
	{".py", "python3"},
	{".sh", "sh"},
	{".rb", "ruby"},
	{".pl", "perl"},
};

const char *
program_base(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static const char *
by_ending(const char *path)
{
	const char *ending = strrchr(program_base(path), '.');

	if (ending == NULL)
		return NULL;
	for (size_t i = 0; i < sizeof(interpreters) / sizeof(interpreters[0]);
		i++)
		if (strcmp(interpreters[i].ending, ending) == 0)
			return interpreters[i].interpreter;
	return NULL;
}

static bool
is_file(const char *path, mode_t mode)
{
	struct stat status;

	return sys_stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
	       (mode == 0 || (status.st_mode & mode) != 0);
}

char *
program_absolute(const char *path, const char *directory)
{
	size_t size = strlen(path) + strlen(directory) + 3;
	char *text = malloc(size);
	char *end = text;

	if (text == NULL)
		return NULL;
	if (path[0] == '/')
		directory = "";
	/* Copies part by part. ".." stays: a symbolic link may stand before. */
	for (int pass = 0; pass < 2; pass++) {
		const char *part = pass == 0 ? directory : path;

		while (*(part += strspn(part, "/")) != '\0') {
			size_t length = strcspn(part, "/");

			if (length != 1 || part[0] != '.') {
				*end++ = '/';
				end = mempcpy(end, part, length);
			}
			part += length;
		}
	}
	if (end == text)
		*end++ = '/';
	*end = '\0';
	return text;
}

static char *
search_folders(const char *name, const char *directory, const char *search)
{
	while (search != NULL) {
		int size = (int)strcspn(search, ":");
		char *relative, *path;

		/* An empty entry is the current folder, as in a shell. */
		if (asprintf(&relative, "%.*s%s%s", size, search,
			    size > 0 ? "/" : "", name) < 0)
			return NULL;
		path = program_absolute(relative, directory);
		free(relative);
		if (path == NULL || is_file(path, 0111))
			return path;
		free(path);
		search = search[size] == ':' ? search + size + 1 : NULL;
	}
	return NULL;
}

char *
program_find(const char *name, const char *directory, const char *search)
{
	char *path;

	if (strchr(name, '/') != NULL)
		return program_absolute(name, directory);
	path = search_folders(name, directory, search);
	if (path != NULL)
		return path;
	path = program_absolute(name, directory);
	if (path != NULL && !is_file(path, 0)) {
		free(path);
		return strdup(name);
	}
	return path;
}

/* True when the file begins as a script with #! or as an ELF program does. */
static bool
says_what_it_is(const char *path)
{
	char head[4] = {0};
	int fd = sys_open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0);

	/* Executable, yet not readable: only exec can tell. */
	if (fd < 0)
		return true;
	if (sys_read(fd, head, sizeof(head)) < 0)
		memset(head, 0, sizeof(head));
	sys_close(fd);
	return memcmp(head, "#!", 2) == 0 || memcmp(head, "\177ELF", 4) == 0;
}

const char *
program_interpreter(const char *path)
{
	const char *interpreter = by_ending(path);

	if (interpreter == NULL || !is_file(path, 0))
		return NULL;
	if (is_file(path, 0111) && says_what_it_is(path))
		return NULL;
	return interpreter;
}

bool
program_is_node(const char *program)
{
	const char *base = program_base(program);
	const char *interpreter = by_ending(program);

	return strcmp(base, "node") == 0 || strcmp(base, "nodejs") == 0 ||
	       (interpreter != NULL && strcmp(interpreter, "node") == 0);
}
