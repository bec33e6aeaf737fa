/*
 * home.c: see home.h. The daemon becomes a child of the test's reaper when its
 * starter has ended, so what is left of it would be found there.
 */
#include "home.h"

#include "process.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[64];
static char said[65536];

static long
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
home_make(void)
{
	strcpy(folder, "/tmp/muster-home-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	setenv("MUSTER_HOME", folder, 1);
}

const char *
home_folder(void)
{
	return folder;
}

static pid_t
begin(const char *const *arguments, int output)
{
	const char *argv[64] = {"muster"};
	size_t count = 1;
	pid_t pid;

	while (arguments[count - 1] && count < 63) {
		argv[count] = arguments[count - 1];
		count++;
	}
	argv[count] = NULL;
	fflush(NULL);
	pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(output < 0 ? null : output, 1);
		dup2(output < 0 ? null : output, 2);
		close_range(3, ~0u, 0);
		execv(MUSTER_EXE, (char *const *)argv);
		_exit(127);
	}
	return pid;
}

pid_t
home_begin(const char *const *arguments)
{
	return begin(arguments, -1);
}

int
home_wait(pid_t pid)
{
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int
home_run(const char *const *arguments)
{
	FILE *output = tmpfile();
	size_t size;
	int code;

	cr_assert_not_null(output);
	code = home_wait(begin(arguments, fileno(output)));
	rewind(output);
	size = fread(said, 1, sizeof(said) - 1, output);
	said[size] = '\0';
	fclose(output);
	return code;
}

const char *
home_said(void)
{
	return said;
}

json_t *
home_ls(void)
{
	json_t *listing;

	cr_assert_eq(MUSTER("ls", "--json"), 0, "%s", said);
	listing = json_loads(said, 0, NULL);
	cr_assert(json_is_array(listing), "%s", said);
	return listing;
}

const char *
home_text(json_t *listing, size_t index, const char *key)
{
	const char *text = json_string_value(
		json_object_get(json_array_get(listing, index), key));

	return text ? text : "(none)";
}

long
home_number(json_t *listing, size_t index, const char *key)
{
	return (long)json_integer_value(
		json_object_get(json_array_get(listing, index), key));
}

json_t *
home_wait_status(size_t count, const char *status)
{
	long until = now_ms() + HOME_DEADLINE_MS;

	for (;;) {
		json_t *listing = home_ls();
		size_t same = 0;

		for (size_t i = 0; i < json_array_size(listing); i++)
			same += strcmp(home_text(listing, i, "status"),
					status) == 0;
		if (json_array_size(listing) == count && same == count)
			return listing;
		json_decref(listing);
		cr_assert_lt(now_ms(), until, "not %zu that are %s: %s", count,
			status, said);
		poll(NULL, 0, 10);
	}
}

/* Whether a process is a musterd of this home, as the kind says. */
static bool
is_musterd(pid_t pid, const char *name)
{
	char path[64], text[4096];
	size_t size;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	file = fopen(path, "re");
	size = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
	if (file)
		fclose(file);
	text[size] = '\0';
	if (strcmp(text, name) != 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	file = fopen(path, "re");
	size = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
	if (file)
		fclose(file);
	return memmem(text, size, folder, strlen(folder)) != NULL;
}

static pid_t
find_musterd(const char *name, pid_t except)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	pid_t found = 0;

	while (proc && !found && (entry = readdir(proc)) != NULL) {
		pid_t pid = (pid_t)atoi(entry->d_name);

		if (pid > 0 && pid != except && is_musterd(pid, name))
			found = pid;
	}
	if (proc)
		closedir(proc);
	return found;
}

size_t
home_count_keepers(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	size_t count = 0;

	while (proc && (entry = readdir(proc)) != NULL)
		count += atoi(entry->d_name) > 0 &&
			 is_musterd((pid_t)atoi(entry->d_name), "musterd");
	if (proc)
		closedir(proc);
	return count;
}

pid_t
home_brain(pid_t except)
{
	long until = now_ms() + HOME_DEADLINE_MS;
	pid_t pid;

	while ((pid = find_musterd("musterd: brain", except)) == 0) {
		cr_assert_lt(now_ms(), until, "there is no brain");
		poll(NULL, 0, 5);
	}
	return pid;
}

void
home_wait_file(const char *name, const char *text)
{
	long until = now_ms() + HOME_DEADLINE_MS;
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	for (;;) {
		FILE *file = fopen(path, "re");
		size_t size = file ? fread(said, 1, sizeof(said) - 1, file) : 0;

		if (file)
			fclose(file);
		said[size] = '\0';
		if (strstr(said, text))
			return;
		cr_assert_lt(
			now_ms(), until, "no '%s' in %s: %s", text, path, said);
		poll(NULL, 0, 10);
	}
}

void
home_clean(void)
{
	char command[128];
	pid_t keeper;

	if (!*folder)
		return;
	if (MUSTER("kill") != 0 && (keeper = find_musterd("musterd", 0)) != 0) {
		kill(keeper, SIGKILL);
		while (process_state(keeper) != 'X' &&
			process_state(keeper) != 'Z')
			poll(NULL, 0, 5);
	}
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	(void)!system(command);
	*folder = '\0';
}
