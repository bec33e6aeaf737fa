/*
 * walk: sets crash points one after the other and checks what is left of the
 * supervisor's promises after each. Which actions go on meanwhile is in
 * crash_test.c, how a point fires in base/sys_crash.c.
 *
 * Where a call is made to fail, a worker may be given up and replaced: then
 * what it had is excused, and everything else holds as before.
 */
#include "walk.h"

#include "support/http.h"
#include "support/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum {
	SAMPLE = 6,	  /* points of a walk, where nothing else is asked */
	POINTS_MAX = 400, /* of a walk over all */
	SETTLE_MS = 5000,
};

static struct walk walk;

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
walk_fail(struct walk *failed, const char *format, ...)
{
	char words[400];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(words, sizeof(words), format, arguments);
	va_end(arguments);
	cr_assert_fail("%s, point %u (%s): %s", failed->phase, failed->nth,
		failed->plan->name, words);
	abort();
}

static bool
is_killing(enum sys_crash_mode mode)
{
	return mode == SYS_CRASH_BEFORE || mode == SYS_CRASH_AFTER;
}

/* In half of the walks the talkers' lines go to a file, as they are. */
static bool
has_file(enum sys_crash_mode mode)
{
	return mode == SYS_CRASH_AFTER || mode == SYS_CRASH_FAIL_SOON;
}

static unsigned long
setting(const char *name, unsigned long other)
{
	const char *text = getenv(name);

	return text != NULL ? strtoul(text, NULL, 10) : other;
}

/* Points ------------------------------------------------------------------ */

static void
make_plan(void)
{
	snprintf(walk.plan_path, sizeof(walk.plan_path),
		"/dev/shm/muster-crash-XXXXXX");
	int fd = mkstemp(walk.plan_path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(ftruncate(fd, sizeof(*walk.plan)), 0);
	walk.plan = mmap(NULL, sizeof(*walk.plan), PROT_READ | PROT_WRITE,
		MAP_SHARED, fd, 0);
	cr_assert_neq(walk.plan, MAP_FAILED);
	close(fd);
	setenv(SYS_CRASH_VARIABLE, walk.plan_path, 1);
}

void
walk_arm(struct walk *armed)
{
	armed->plan->now.mode = SYS_CRASH_OFF;
	armed->plan->count = 0;
	armed->plan->now.nth = armed->nth;
	armed->plan->now.mode = armed->mode;
}

void
walk_arm_next(struct walk *armed)
{
	armed->plan->now.mode = SYS_CRASH_OFF;
	armed->plan->count = 0;
	armed->plan->ahead[0].nth = armed->nth;
	armed->plan->ahead[0].mode = armed->mode;
}

static void
disarm(void)
{
	walk.plan->now.mode = SYS_CRASH_OFF;
	walk.plan->ahead[0].mode = SYS_CRASH_OFF;
}

static bool
has_fired(void)
{
	return walk.plan->fired != walk.fired;
}

bool
walk_await(struct walk *waiting, int wait_ms)
{
	int64_t deadline = now_ms() + wait_ms;

	while (waiting->plan->fired == waiting->fired && now_ms() < deadline)
		run_pump(waiting->run, 1);
	return waiting->plan->fired != waiting->fired;
}

/* The run ----------------------------------------------------------------- */

static void
write_config(void)
{
	snprintf(walk.config_path, sizeof(walk.config_path),
		"/tmp/muster-crash-XXXXXX.json");
	int fd = mkstemps(walk.config_path, 5);
	FILE *file = fdopen(fd, "w");
	cr_assert_not_null(file);
	fprintf(file,
		"[{\"name\":\"talk\",\"script\":\"%s\",\"args\":[\"%s\"],"
		"\"interpreter\":\"none\",\"instances\":%d,"
		"\"wait_ready\":true,\"min_uptime\":0,\"reload_soak\":5,"
		"\"reload_batch\":2,\"kill_timeout\":5000%s%s%s},"
		"{\"name\":\"web\",\"script\":\"%s\",\"interpreter\":\"none\","
		"\"instances\":%d,\"listen\":[\"127.0.0.1:%d\"]}]\n",
		TALKER, walk.talk->path, WALK_TALKERS,
		has_file(walk.mode) ? ",\"out_file\":\"" : "", walk.log_path,
		has_file(walk.mode) ? "\"" : "", SERVE, WALK_SERVERS,
		walk.port);
	fclose(file);
}

static void
make(const char *phase, enum sys_crash_mode mode)
{
	walk = (struct walk){.phase = phase, .mode = mode, .connection = -1};
	make_plan();
	walk.talk = talk_new(WALK_TALKERS, 1, 2000);
	walk.port = run_free_port();
	if (has_file(mode))
		snprintf(walk.log_path, sizeof(walk.log_path), "%s.log",
			walk.talk->path);
	write_config();
	run_use(MUSTERD_CRASH);
}

void
walk_clean(void)
{
	if (walk.plan == NULL)
		return;
	munmap(walk.plan, sizeof(*walk.plan));
	walk.plan = NULL;
	unlink(walk.plan_path);
	unlink(walk.config_path);
	unlink(walk.log_path);
	talk_free(&walk.talk);
	json_decref(walk.before);
	if (walk.connection >= 0)
		close(walk.connection);
	run_use(NULL);
}

static void
start_run(void)
{
	memset((void *)walk.talk->book->lines, 0,
		sizeof(walk.talk->book->lines));
	memset(walk.talk->lines, 0, sizeof(walk.talk->lines));
	unlink(walk.log_path);
	walk.talk->file_offset = 0;
	walk.run = RUN(walk.config_path);
}

/* The server answers on the connection that has been there all the time. */
static void
ask_server(void)
{
	char body[32];
	bool open = false;

	if (walk.connection < 0)
		walk.connection = http_connect(walk.port);
	if (walk.connection < 0 ||
		http_get(walk.connection, "/", body, sizeof(body), &open) !=
			200 ||
		!open)
		walk_fail(&walk, "the server doesn't answer");
}

/* Checks ------------------------------------------------------------------ */

/* The number of the socket that listens on the port; 0: none, or several. */
static unsigned long
listening_inode(void)
{
	char line[256];
	unsigned long found = 0;
	int count = 0;
	FILE *file = fopen("/proc/net/tcp", "re");

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		unsigned int port, state;
		unsigned long inode;
		if (sscanf(line,
			    " %*d: %*x:%x %*x:%*x %x %*x:%*x %*x:%*x %*x %*u "
			    "%*d %lu",
			    &port, &state, &inode) == 3 &&
			port == (unsigned int)walk.port && state == 10) {
			found = inode;
			count++;
		}
	}
	if (file != NULL)
		fclose(file);
	return count == 1 ? found : 0;
}

static bool
holds_socket(pid_t pid, unsigned long inode)
{
	char path[64], target[64], wanted[64];
	struct dirent *entry;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
	DIR *folder = opendir(path);
	while (folder != NULL && !found && (entry = readdir(folder)) != NULL) {
		ssize_t size = readlinkat(dirfd(folder), entry->d_name, target,
			sizeof(target) - 1);
		target[size > 0 ? size : 0] = '\0';
		found = strcmp(target, wanted) == 0;
	}
	if (folder != NULL)
		closedir(folder);
	return found;
}

static void
check_socket(json_t *now)
{
	unsigned long inode = listening_inode();

	if (inode == 0)
		walk_fail(&walk, "not one socket listens");
	if (!holds_socket(run_keeper(walk.run), inode))
		walk_fail(&walk, "the keeper doesn't hold the socket");
	for (size_t i = 0; i < WALK_WORKERS; i++) {
		pid_t pid = (pid_t)run_field(now, i, "pid");
		if (holds_socket(pid, inode) != (i >= WALK_TALKERS))
			walk_fail(&walk, "worker %zu %s the socket", i + 1,
				i < WALK_TALKERS ? "holds" : "doesn't hold");
	}
}

/* The brain and one process a slot, and all of them are its children. */
static bool
is_whole(json_t *now)
{
	pid_t children[PROCESS_CHILDREN_MAX];
	pid_t keeper = run_keeper(walk.run);
	size_t count = process_children(keeper, children);

	for (size_t i = 0; i < WALK_WORKERS; i++)
		if (process_parent((pid_t)run_field(now, i, "pid")) != keeper)
			return false;
	return count == WALK_WORKERS + 1;
}

static bool
all_ready(json_t *now)
{
	size_t ready = 0, index;
	json_t *worker;

	json_array_foreach(now, index, worker)
	{
		const char *status =
			json_string_value(json_object_get(worker, "status"));
		ready += status != NULL && strcmp(status, "ready") == 0;
	}
	return ready == WALK_WORKERS && index == WALK_WORKERS;
}

/*
 * Waits until every slot is ready and has one process. NULL: the supervisor
 * ended.
 */
static json_t *
await_whole(void)
{
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;
	pid_t children[PROCESS_CHILDREN_MAX];

	for (;;) {
		char state = process_state(run_keeper(walk.run));
		if (state == 'Z' || state == 'X')
			return NULL;
		json_t *now = run_ls(walk.run);
		if (all_ready(now) && is_whole(now))
			return now;
		json_decref(now);
		if (now_ms() > deadline)
			walk_fail(&walk, "%zu processes, and: %s",
				process_children(
					run_keeper(walk.run), children),
				run_said(walk.run));
		run_pump(walk.run, 5);
	}
}

/* Nobody is replaced because a brain dies. */
static void
check_same(json_t *now)
{
	bool reloading = strncmp(walk.phase, "reload", 6) == 0;
	bool spawning = strncmp(walk.phase, "spawn", 5) == 0;

	for (size_t i = 0; i < WALK_WORKERS; i++) {
		long was = run_field(walk.before, i, "generation");
		long is = run_field(now, i, "generation");
		long expected = was + ((spawning && i == 0) ||
					      (reloading && i < WALK_TALKERS));
		if (reloading && is > expected)
			continue; /* it was asked for once more */
		if (is != expected && is_killing(walk.mode))
			walk_fail(&walk,
				"worker %zu is generation %ld, not %ld", i + 1,
				is, expected);
		if (is != expected && i < WALK_TALKERS)
			talk_excuse(walk.talk, (uint32_t)i);
	}
}

static void
check_messages(void)
{
	struct talk_counts counts;
	bool replaced = strncmp(walk.phase, "reload", 6) == 0 ||
			strncmp(walk.phase, "spawn", 5) == 0 ||
			!is_killing(walk.mode);

	talk_settle(walk.talk, walk.run, SETTLE_MS, &counts);
	if (counts.lost + counts.doubled + counts.reordered + counts.late +
			counts.bad >
		0)
		walk_fail(&walk,
			"%lu lost, %lu doubled, %lu out of order, %lu late, "
			"%lu bad, %lu returned, %lu good; %s",
			counts.lost, counts.doubled, counts.reordered,
			counts.late, counts.bad, counts.returned, counts.good,
			walk.talk->first_wrong);
	if (!replaced && counts.returned + counts.refused > 0)
		walk_fail(&walk, "%lu came back, %lu were refused",
			counts.returned, counts.refused);
	if (is_killing(walk.mode) && walk.talk->book->ends != walk.ends)
		walk_fail(&walk, "a channel ended for good");
}

static void
check_lines(void)
{
	if (walk.log_path[0] != '\0')
		talk_read_file(walk.talk, walk.log_path);
	else
		talk_read_lines(walk.talk, walk.run);
	/* Where lines are changed on their way, the batch that was written
	 * when the brain died is written again. */
	if (is_killing(walk.mode) && !has_file(walk.mode))
		walk.talk->lines_doubled = 0;
	if (walk.talk->lines_lost > 0 || walk.talk->lines_doubled > 0)
		walk_fail(&walk, "output: %lu lines lost, %lu doubled: %s",
			walk.talk->lines_lost, walk.talk->lines_doubled,
			walk.talk->first_line);
}

/* A new round of talk after `before`, and the point of this walk is next. */
static void
begin_point(void)
{
	walk.fired = walk.plan->fired;
	walk.ends = walk.talk->book->ends;
	walk.talk->may_come_back =
		is_killing(walk.mode) && strncmp(walk.phase, "reload", 6) == 0;
	if (strncmp(walk.phase, "spawn", 5) == 0)
		talk_rest(walk.run);
	talk_go(walk.talk);
}

/*
 * As many as at first. A brain may have fewer: after some hundred channels that
 * a server never took it gets no more, and files open when they are written to.
 */
static void
check_descriptors(void)
{
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;

	for (;;) {
		int keeper = process_descriptors(run_keeper(walk.run));
		int brain = process_descriptors(run_brain(walk.run));
		if (walk.nth == 0 &&
			now_ms() > deadline - RUN_DEADLINE_MS + 100) {
			walk.keeper_fds = keeper;
			walk.brain_fds = brain;
			return;
		}
		if (walk.nth > 0 && keeper == walk.keeper_fds &&
			brain <= walk.brain_fds)
			return;
		if (now_ms() > deadline)
			walk_fail(&walk,
				"descriptors: keeper %d, was %d; brain %d, "
				"was %d",
				keeper, walk.keeper_fds, brain, walk.brain_fds);
		run_pump(walk.run, 5);
	}
}

/* Everybody talks once more: the last brain serves, whatever its start was. */
static void
talk_again(void)
{
	int64_t deadline = now_ms() + RUN_DEADLINE_MS;

	talk_go(walk.talk);
	for (int i = 0; i < WALK_TALKERS; i++)
		while (walk.talk->book->asked[i] < 2) {
			if (now_ms() > deadline)
				walk_fail(&walk, "talker %d is silent", i);
			run_pump(walk.run, 1);
		}
	check_messages();
}

static void
check_point(void)
{
	json_t *now;

	disarm();
	now = await_whole();
	if (now == NULL)
		walk_fail(&walk, "the supervisor ended");
	check_same(now);
	check_messages();
	talk_again();
	check_socket(now);
	ask_server();
	check_lines();
	check_descriptors();
	json_decref(walk.before);
	walk.before = now;
}

/* Walks ------------------------------------------------------------------- */

/* Calls `one` for the points of 1 to `all` that are asked for. */
static void
for_each_point(uint32_t all, void (*one)(void *data), void *data)
{
	uint32_t from = (uint32_t)setting("CRASH_FROM", 1);
	uint32_t to = (uint32_t)setting("CRASH_TO", all);
	uint32_t tried = (uint32_t)setting("CRASH_POINTS", SAMPLE);
	uint32_t fired = 0;

	if (to > POINTS_MAX)
		to = POINTS_MAX;
	if (tried == 0 || tried > to)
		tried = to;
	uint32_t step = tried == 0 ? 1 : (to + tried - 1) / tried;
	for (walk.nth = from; walk.nth <= to; walk.nth += step) {
		walk.fired = walk.plan->fired;
		one(data);
		fired += has_fired();
	}
	fprintf(stderr, "# %s: %u points reached, the last %u of %u\n",
		walk.phase, fired, to, all);
}

struct through {
	walk_action_fn *action;
};

static void
pass_point(void *data)
{
	const struct through *through = data;

	begin_point();
	through->action(&walk);
	check_point();
}

void
walk_through(
	const char *phase, enum sys_crash_mode mode, walk_action_fn *action)
{
	struct through through = {action};

	make(phase, mode);
	start_run();
	walk.before = await_whole();
	cr_assert_not_null(walk.before);
	ask_server();
	/* Once with nothing but counting. */
	walk.nth = 0;
	pass_point(&through);
	for_each_point(walk.plan->count, pass_point, &through);
	close(walk.connection);
	walk.connection = -1;
	run_stop(walk.run);
	walk_clean();
}

/* Ended before it had started: it may, when it says why. */
static void
finish_refused(void)
{
	if (is_killing(walk.mode))
		walk_fail(&walk, "the supervisor ended");
	if (strchr(run_text(walk.run, RUN_ERR), '\n') == NULL)
		walk_fail(&walk, "the supervisor ended without a word");
	run_finish(walk.run, 1);
}

static void
start_once(void *data)
{
	json_t *now;

	(void)data;
	walk_arm_next(&walk);
	walk.ends = walk.talk->book->ends;
	talk_go(walk.talk);
	start_run();
	now = await_whole();
	disarm();
	if (now == NULL) {
		finish_refused();
		return;
	}
	for (size_t i = 0; i < WALK_WORKERS; i++)
		if (run_field(now, i, "generation") != 1 &&
			is_killing(walk.mode))
			walk_fail(&walk, "worker %zu is generation %ld", i + 1,
				run_field(now, i, "generation"));
	for (uint32_t i = 0; i < WALK_TALKERS; i++)
		if (run_field(now, i, "generation") != 1)
			talk_excuse(walk.talk, i);
	check_messages();
	check_socket(now);
	check_lines();
	json_decref(now);
	run_stop(walk.run);
}

void
walk_starts(const char *phase, enum sys_crash_mode mode)
{
	make(phase, mode);
	walk.nth = 0;
	start_once(NULL);
	for_each_point(walk.plan->count, start_once, NULL);
	walk_clean();
}

static void
stop_once(void *data)
{
	(void)data;
	start_run();
	json_decref(await_whole());
	talk_go(walk.talk);
	while (walk.talk->book->asked[0] < 3)
		run_pump(walk.run, 1);
	walk_arm(&walk);
	run_signal(walk.run, SIGTERM);
	int code = run_wait_exit(walk.run);
	disarm();
	if (walk.talk->book->say % 2 == 1)
		walk.talk->book->say++;
	if (code != 0)
		walk_fail(&walk, "ended with %d instead of 0", code);
	run_pump(walk.run, 0);
	check_lines();
	if (is_killing(walk.mode) && talk_missing_lines(walk.talk) > 0)
		walk_fail(&walk, "%lu last lines of the output are missing",
			talk_missing_lines(walk.talk));
	if (listening_inode() != 0)
		walk_fail(&walk, "the address is still taken");
	run_finish(walk.run, 0);
}

void
walk_stops(const char *phase, enum sys_crash_mode mode)
{
	make(phase, mode);
	walk.nth = 0;
	stop_once(NULL);
	for_each_point(walk.plan->count, stop_once, NULL);
	walk_clean();
}
