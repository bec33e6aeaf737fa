/*
 * run: the harness around one `muster run`.
 *
 * Two pipes are read whenever the test waits; states are asked by the command
 * itself (`muster ls --json`), again and again until they are as expected or
 * the deadline is over. The test process is the subreaper, so nothing that was
 * started can get away unseen. HTTP and /proc are in http and process.
 */
#include "run.h"

#include "process.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	PAUSE_MS = 20, /* between two looks at a state */
};

struct text {
	int fd; /* -1: at its end */
	char *bytes;
	size_t size, room;
	size_t looked; /* where the next wait begins */
};

struct run {
	char home[64];
	pid_t keeper;
	bool reaped;
	int status;
	struct text texts[2];
	char *said;
	char line[4096];
	int keeper_fds, brain_fds;
};

static struct run *current;
static const char *program = MUSTER_EXE;

void
run_use(const char *given)
{
	program = given != NULL ? given : MUSTER_EXE;
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Ends the test; run_clean() prints what was collected. */
static void __attribute__((noreturn, format(printf, 1, 2)))
give_up(const char *format, ...)
{
	char words[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(words, sizeof(words), format, arguments);
	va_end(arguments);
	cr_assert_fail("%s", words);
	abort();
}

static void
take_text(struct text *text)
{
	if (text->room - text->size < 4096) {
		text->room = text->room * 2 + 65536;
		text->bytes = realloc(text->bytes, text->room);
		if (text->bytes == NULL)
			abort();
	}
	ssize_t size = read(text->fd, text->bytes + text->size,
		text->room - text->size - 1);
	if (size > 0) {
		text->size += (size_t)size;
	} else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
		close(text->fd);
		text->fd = -1;
	}
	text->bytes[text->size] = '\0';
}

void
run_pump(struct run *run, int wait_ms)
{
	struct pollfd polls[2];

	for (;;) {
		for (int i = 0; i < 2; i++)
			polls[i] = (struct pollfd){
				.fd = run->texts[i].fd, .events = POLLIN};
		if (poll(polls, 2, wait_ms) <= 0)
			return;
		for (int i = 0; i < 2; i++)
			if (polls[i].revents != 0)
				take_text(&run->texts[i]);
		wait_ms = 0;
	}
}

/* Starts a program with the home in its environment; out and err as given. */
static pid_t
start(const char *home, const char *const *arguments, const char *verb,
	const int streams[2])
{
	char *words[64];
	size_t count = 0;
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	words[count++] = (char *)(verb != NULL ? program : MUSTER_EXE);
	if (verb != NULL)
		words[count++] = (char *)verb;
	for (; *arguments != NULL && count < 63; arguments++)
		words[count++] = (char *)*arguments;
	words[count] = NULL;
	setenv("MUSTER_HOME", home, 1);
	int null = open("/dev/null", O_RDONLY);
	if (dup2(null, 0) < 0 || dup2(streams[0], 1) < 0 ||
		dup2(streams[1], 2) < 0)
		_exit(126);
	/* Criterion's own descriptors aren't the supervisor's. */
	close_range(3, ~0U, 0);
	execv(words[0], words);
	_exit(127);
}

struct run *
run_start(const char *const *arguments)
{
	int out[2];
	int err[2];
	struct run *run = calloc(1, sizeof(*run));

	cr_assert_not_null(run);
	cr_assert_null(current, "one run at a time");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	snprintf(run->home, sizeof(run->home), "/tmp/muster-test-XXXXXX");
	cr_assert_not_null(mkdtemp(run->home));
	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(err, O_CLOEXEC), 0);
	run->keeper = start(
		run->home, arguments, "run", (const int[]){out[1], err[1]});
	cr_assert_gt(run->keeper, 0);
	close(out[1]);
	close(err[1]);
	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	run->texts[RUN_OUT].fd = out[0];
	run->texts[RUN_ERR].fd = err[0];
	current = run;
	return run;
}

const char *
run_home(const struct run *run)
{
	return run->home;
}

const char *
run_command_path(void)
{
	return MUSTER_EXE;
}

pid_t
run_keeper(const struct run *run)
{
	return run->keeper;
}

static pid_t
find_brain(const struct run *run)
{
	pid_t children[PROCESS_CHILDREN_MAX];
	size_t count = process_children(run->keeper, children);

	for (size_t i = 0; i < count; i++)
		if (process_is(children[i], "musterd: brain"))
			return children[i];
	return 0;
}

pid_t
run_brain(struct run *run)
{
	pid_t brain;
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;

	while ((brain = find_brain(run)) == 0) {
		if (now_ms() > deadline)
			give_up("no brain runs");
		run_pump(run, PAUSE_MS);
	}
	return brain;
}

pid_t
run_wait_new_brain(struct run *run, pid_t old)
{
	pid_t brain;
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;

	while ((brain = find_brain(run)) == 0 || brain == old) {
		if (now_ms() > deadline)
			give_up("no brain followed brain %d", (int)old);
		run_pump(run, PAUSE_MS);
	}
	while (COMMAND(run, "ping") != 0) {
		if (now_ms() > deadline)
			give_up("the new brain %d doesn't answer: %s",
				(int)brain, run->said);
		run_pump(run, PAUSE_MS);
	}
	return brain;
}

void
run_signal(struct run *run, int signal)
{
	cr_assert_eq(kill(run->keeper, signal), 0);
}

/* Copies the whole line at `at` to run->line and returns its end. */
static const char *
copy_line(struct run *run, const char *begin, const char *at)
{
	while (at > begin && at[-1] != '\n')
		at--;
	size_t size = strcspn(at, "\n");
	snprintf(run->line, sizeof(run->line), "%.*s", (int)size, at);
	return at + size;
}

const char *
run_wait(struct run *run, enum run_stream stream, const char *text)
{
	struct text *from = &run->texts[stream];
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;

	for (;;) {
		const char *found =
			from->bytes == NULL
				? NULL
				: strstr(from->bytes + from->looked, text);
		if (found != NULL && strchr(found, '\n') != NULL) {
			const char *end = copy_line(
				run, from->bytes + from->looked, found);
			from->looked = (size_t)(end + 1 - from->bytes);
			return run->line;
		}
		if (from->fd < 0 || now_ms() > deadline)
			give_up("no line with '%s' on std%s", text,
				stream == RUN_OUT ? "out" : "err");
		run_pump(run, PAUSE_MS);
	}
}

const char *
run_text(struct run *run, enum run_stream stream)
{
	run_pump(run, 0);
	return run->texts[stream].bytes != NULL ? run->texts[stream].bytes : "";
}

void
run_forget_text(struct run *run, enum run_stream stream, const char *end)
{
	struct text *text = &run->texts[stream];
	size_t gone = text->bytes != NULL ? (size_t)(end - text->bytes) : 0;

	if (gone == 0 || gone > text->size)
		return;
	text->size -= gone;
	memmove(text->bytes, end, text->size + 1);
	text->looked = text->looked > gone ? text->looked - gone : 0;
}

size_t
run_count(struct run *run, enum run_stream stream, const char *text)
{
	size_t count = 0;
	const char *at = run_text(run, stream);

	while ((at = strstr(at, text)) != NULL) {
		count++;
		at += strcspn(at, "\n");
	}
	return count;
}

void
run_wait_count(
	struct run *run, enum run_stream stream, const char *text, size_t count)
{
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;

	while (run_count(run, stream, text) < count) {
		if (now_ms() > deadline || run->texts[stream].fd < 0)
			give_up("%zu lines with '%s' instead of %zu",
				run_count(run, stream, text), text, count);
		run_pump(run, PAUSE_MS);
	}
}

/*
 * Reads a command's output to its end, this run's own output meanwhile. One
 * that hangs is ended; its exit code then tells.
 */
static char *
collect(struct run *run, int fd, pid_t pid)
{
	struct text text = {.fd = fd};
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (text.fd >= 0) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		if (poll(&wait, 1, PAUSE_MS) > 0)
			take_text(&text);
		run_pump(run, 0);
		if (now_ms() > deadline)
			kill(pid, SIGKILL);
	}
	return text.bytes;
}

int
run_command(struct run *run, const char *const *arguments)
{
	int out[2];
	int status;

	cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
	pid_t pid = start(
		run->home, arguments, NULL, (const int[]){out[1], out[1]});
	cr_assert_gt(pid, 0);
	close(out[1]);
	free(run->said);
	run->said = collect(run, out[0], pid);
	if (waitpid(pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

const char *
run_said(const struct run *run)
{
	return run->said != NULL ? run->said : "";
}

json_t *
run_ls(struct run *run)
{
	if (COMMAND(run, "ls", "--json") != 0)
		return NULL;
	return json_loads(run->said, 0, NULL);
}

static bool
all_have(json_t *listing, size_t count, const char *status)
{
	size_t index;
	json_t *worker;

	if (json_array_size(listing) != count)
		return false;
	json_array_foreach(listing, index, worker)
	{
		const char *is =
			json_string_value(json_object_get(worker, "status"));
		if (is == NULL || strcmp(is, status) != 0)
			return false;
	}
	return true;
}

json_t *
run_wait_status(struct run *run, size_t count, const char *status)
{
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;

	for (;;) {
		json_t *listing = run_ls(run);
		if (all_have(listing, count, status))
			return listing;
		json_decref(listing);
		if (now_ms() > deadline)
			give_up("not %zu workers that are %s: %s", count,
				status, run_said(run));
		run_pump(run, PAUSE_MS);
	}
}

long
run_field(json_t *listing, size_t index, const char *key)
{
	return (long)json_integer_value(
		json_object_get(json_array_get(listing, index), key));
}

/*
 * A client that has just gone is still open in the brain for a moment: counts
 * until nothing has changed for five looks.
 */
void
run_mark(struct run *run)
{
	for (int same = 0; same < 5; same++) {
		int keeper = process_descriptors(run->keeper);
		int brain = process_descriptors(run_brain(run));
		if (keeper != run->keeper_fds || brain != run->brain_fds)
			same = 0;
		run->keeper_fds = keeper;
		run->brain_fds = brain;
		run_pump(run, PAUSE_MS);
	}
}

static bool
has_zombie(pid_t pid)
{
	pid_t children[PROCESS_CHILDREN_MAX];
	size_t count = process_children(pid, children);

	for (size_t i = 0; i < count; i++)
		if (process_state(children[i]) == 'Z')
			return true;
	return false;
}

void
run_check_mark(struct run *run)
{
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;

	for (;;) {
		int keeper = process_descriptors(run->keeper);
		int brain = process_descriptors(run_brain(run));
		bool zombie = has_zombie(run->keeper);
		if (keeper == run->keeper_fds && brain == run->brain_fds &&
			!zombie)
			return;
		if (now_ms() > deadline)
			give_up("descriptors: keeper %d, was %d; brain %d, "
				"was %d; zombie: %s",
				keeper, run->keeper_fds, brain, run->brain_fds,
				zombie ? "yes" : "no");
		run_pump(run, PAUSE_MS);
	}
}

int
run_wait_exit(struct run *run)
{
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;

	while (!run->reaped) {
		pid_t pid = waitpid(run->keeper, &run->status, WNOHANG);
		if (pid == run->keeper) {
			run->reaped = true;
			break;
		}
		if (now_ms() > deadline)
			give_up("muster doesn't end");
		run_pump(run, PAUSE_MS);
	}
	/* What it wrote before it ended still stands in the pipes. */
	run_pump(run, 0);
	return WIFEXITED(run->status) ? WEXITSTATUS(run->status)
				      : 128 + WTERMSIG(run->status);
}

/* Whatever was started and lost its parent is our child by now. */
static void
check_processes(void)
{
	pid_t children[PROCESS_CHILDREN_MAX];
	size_t count = process_children(getpid(), children);

	if (count > 0)
		give_up("left behind: process %d (state %c) and %zu more",
			(int)children[0], process_state(children[0]),
			count - 1);
}

/* Both pipes end: nobody holds them any more. */
static void
check_pipes(struct run *run)
{
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;

	while (run->texts[0].fd >= 0 || run->texts[1].fd >= 0) {
		if (now_ms() > deadline)
			give_up("somebody still holds muster's stdout");
		run_pump(run, PAUSE_MS);
	}
}

/* Of the home only the lock file may be left; it is removed here. */
static void
check_home(struct run *run)
{
	char path[128];
	struct dirent *entry;
	DIR *folder = opendir(run->home);

	cr_assert_not_null(folder);
	while ((entry = readdir(folder)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
			strcmp(entry->d_name, "..") == 0 ||
			strcmp(entry->d_name, "lock") == 0)
			continue;
		give_up("left in the home: %s", entry->d_name);
	}
	closedir(folder);
	snprintf(path, sizeof(path), "%s/lock", run->home);
	unlink(path);
	cr_assert_eq(rmdir(run->home), 0);
}

static void
free_run(struct run *run)
{
	current = NULL;
	free(run->texts[0].bytes);
	free(run->texts[1].bytes);
	free(run->said);
	free(run);
}

void
run_finish(struct run *run, int code)
{
	int got = run_wait_exit(run);

	cr_assert_eq(
		got, code, "muster ended with %d instead of %d", got, code);
	check_pipes(run);
	check_processes();
	check_home(run);
	free_run(run);
}

int
run_wait_orphan(struct run *run, pid_t pid)
{
	int status = 0;
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now_ms() > deadline)
			give_up("process %d doesn't end", (int)pid);
		run_pump(run, PAUSE_MS);
	}
	cr_assert_eq(process_state(pid), 'X');
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void
remove_home(const struct run *run)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", run->home);
	cr_assert_eq(system(command), 0);
}

void
run_forget(struct run *run)
{
	check_pipes(run);
	check_processes();
	remove_home(run);
	free_run(run);
}

void
run_stop(struct run *run)
{
	run_signal(run, SIGTERM);
	run_finish(run, 0);
}

static void
kill_all(void)
{
	pid_t children[PROCESS_CHILDREN_MAX];

	do {
		size_t count = process_children(getpid(), children);
		for (size_t i = 0; i < count; i++)
			kill(children[i], SIGKILL);
	} while (waitpid(-1, NULL, 0) > 0 || errno == EINTR);
}

void
run_clean(void)
{
	if (current == NULL)
		return;
	run_pump(current, 0);
	fprintf(stderr,
		"--- stdout\n%s\n--- stderr\n%s\n--- last command\n%s\n",
		current->texts[RUN_OUT].bytes != NULL
			? current->texts[RUN_OUT].bytes
			: "",
		current->texts[RUN_ERR].bytes != NULL
			? current->texts[RUN_ERR].bytes
			: "",
		run_said(current));
	kill_all();
	remove_home(current);
	current = NULL;
}

int
run_hold_port(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(fd, 1), 0);
	return fd;
}

int
run_free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(bind(fd, (struct sockaddr *)&address, size), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	close(fd);
	return ntohs(address.sin_port);
}
