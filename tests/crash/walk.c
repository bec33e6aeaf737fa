/*
 * walk: sets crash points one after the other. What must hold after each is in
 * walk_check.c, which actions go on meanwhile in crash_test.c, how a point
 * fires in base/sys_crash.c.
 *
 * Where a call is made to fail, a worker may be given up and replaced: then
 * what it had is excused, and everything else holds as before.
 */
#include "walk.h"

#include "support/process.h"

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

bool
walk_is_killing(enum sys_crash_mode mode)
{
	return mode == SYS_CRASH_BEFORE || mode == SYS_CRASH_AFTER;
}

/* In half of the walks the talkers' lines go to a file, as they are. */
bool
walk_has_file(enum sys_crash_mode mode)
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
		walk_has_file(walk.mode) ? ",\"out_file\":\"" : "",
		walk.log_path, walk_has_file(walk.mode) ? "\"" : "", SERVE,
		WALK_SERVERS, walk.port);
	fclose(file);
}

static void
make(const char *phase, enum sys_crash_mode mode)
{
	walk = (struct walk){.phase = phase, .mode = mode, .connection = -1};
	make_plan();
	walk.talk = talk_new(WALK_TALKERS, 1, 2000);
	walk.port = run_free_port();
	if (walk_has_file(mode))
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

/* A new round of talk after `before`, and the point of this walk is next. */
static void
begin_point(void)
{
	walk.fired = walk.plan->fired;
	walk.ends = walk.talk->book->ends;
	walk.talk->may_come_back = walk_is_killing(walk.mode) &&
				   strncmp(walk.phase, "reload", 6) == 0;
	if (strncmp(walk.phase, "spawn", 5) == 0)
		talk_rest(walk.run);
	talk_go(walk.talk);
}

static void
check_point(void)
{
	json_t *now;

	disarm();
	now = walk_await_whole(&walk);
	if (now == NULL)
		walk_fail(&walk, "the supervisor ended");
	walk_check_same(&walk, now);
	walk_check_messages(&walk);
	walk_talk_again(&walk);
	walk_check_socket(&walk, now);
	walk_ask_server(&walk);
	walk_check_lines(&walk);
	walk_check_descriptors(&walk);
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
	walk.before = walk_await_whole(&walk);
	cr_assert_not_null(walk.before);
	walk_ask_server(&walk);
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
	if (walk_is_killing(walk.mode))
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
	now = walk_await_whole(&walk);
	disarm();
	if (now == NULL) {
		finish_refused();
		return;
	}
	for (size_t i = 0; i < WALK_WORKERS; i++)
		if (run_field(now, i, "generation") != 1 &&
			walk_is_killing(walk.mode))
			walk_fail(&walk, "worker %zu is generation %ld", i + 1,
				run_field(now, i, "generation"));
	for (uint32_t i = 0; i < WALK_TALKERS; i++)
		if (run_field(now, i, "generation") != 1)
			talk_excuse(walk.talk, i);
	walk_check_messages(&walk);
	walk_check_socket(&walk, now);
	walk_check_lines(&walk);
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
	json_decref(walk_await_whole(&walk));
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
	walk_check_lines(&walk);
	if (walk_is_killing(walk.mode) && talk_missing_lines(walk.talk) > 0)
		walk_fail(&walk, "%lu last lines of the output are missing",
			talk_missing_lines(walk.talk));
	if (walk_listening_inode(&walk) != 0)
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
