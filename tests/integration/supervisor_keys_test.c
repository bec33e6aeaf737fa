/*
 * Promise: what a file says of the supervisor itself is so, also after the
 * death of a brain.
 */
#include "support/process.h"
#include "support/run.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static void
clean(void)
{
	run_clean();
	(void)unlink(path);
}

TestSuite(supervisor_keys, .fini = clean, .timeout = 60);

static struct run *
run_file(const char *muster, const char *instances)
{
	FILE *file;

	snprintf(path, sizeof(path), "/tmp/muster-keys-%d.json", (int)getpid());
	file = fopen(path, "we");
	cr_assert_not_null(file);
	fprintf(file,
		"{\"muster\": {%s}, \"apps\": [{\"name\": \"web\","
		" \"script\": \"sleep\", \"args\": \"1000\","
		" \"instances\": %s}]}",
		muster, instances);
	fclose(file);
	return RUN(path);
}

Test(supervisor_keys, max_processes)
{
	struct run *run = run_file("\"max_processes\": 2", "3");

	run_wait(run, RUN_ERR, "3 workers are wanted, and max_processes is 2");
	run_finish(run, 1);
	run = run_file("\"max_processes\": 2", "2");
	json_decref(run_wait_status(run, 2, "ready"));
	pid_t brain = run_brain(run);
	kill(brain, SIGKILL);
	(void)run_wait_new_brain(run, brain);
	cr_expect_eq(COMMAND(run, "scale", "web", "3"), 1);
	cr_expect(strstr(run_said(run), "max_processes"), "%s", run_said(run));
	cr_expect_eq(COMMAND(run, "scale", "web", "1"), 0);
	run_stop(run);
}

/* Of a new brain info is said otherwise. */
Test(supervisor_keys, log_level)
{
	struct run *run = run_file("\"log_level\": \"warn\"", "1");

	json_decref(run_wait_status(run, 1, "ready"));
	pid_t brain = run_brain(run);
	kill(brain, SIGKILL);
	brain = run_wait_new_brain(run, brain);
	cr_expect_eq(COMMAND(run, "reload", "web"), 0, "%s", run_said(run));
	cr_expect_eq(run_count(run, RUN_ERR, "reloaded"), 0);
	run_stop(run);
}

/* How large the exchange memory is that a brain has mapped, MiB. */
static unsigned long
mapped(pid_t brain)
{
	char name[64], line[512];
	unsigned long sum = 0;
	FILE *maps;

	snprintf(name, sizeof(name), "/proc/%d/maps", (int)brain);
	maps = fopen(name, "re");
	cr_assert_not_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long from, to;

		if (strstr(line, "memfd:exchange") &&
			sscanf(line, "%lx-%lx", &from, &to) == 2)
			sum += to - from;
	}
	fclose(maps);
	return sum >> 20;
}

/* The same with this limit, of the first brain and the second. */
static unsigned long
mapped_with(const char *limit)
{
	char muster[64];
	unsigned long before;
	struct run *run;
	pid_t brain;

	snprintf(muster, sizeof(muster), "\"memory_limit\": \"%s\"", limit);
	run = run_file(muster, "1");
	json_decref(run_wait_status(run, 1, "ready"));
	brain = run_brain(run);
	before = mapped(brain);
	kill(brain, SIGKILL);
	brain = run_wait_new_brain(run, brain);
	json_decref(run_wait_status(run, 1, "ready"));
	cr_expect_eq(mapped(brain), before);
	run_stop(run);
	return before;
}

/* Beside what is bounded there is room for the records of all workers. */
Test(supervisor_keys, memory_limit)
{
	unsigned long few = mapped_with("32M");
	unsigned long more = mapped_with("96M");

	cr_expect_gt(few, 32);
	cr_expect_geq(more, few + 60);
	cr_expect_leq(more, few + 68);
}
