/*
 * faults: what each fault of a schedule does. Never waits for the brain, which
 * may be stopped: commands run beside, and processes are found in /proc.
 *
 * Whatever a killed worker had is excused at once (support/talk.h, client.h);
 * nothing else ever is.
 */
#include "faults.h"

#include "support/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
faults_write_config(struct faults *faults, enum faults_config kind)
{
	FILE *file = fopen(faults->config_path, "we");

	cr_assert_not_null(file);
	fprintf(file,
		"[{\"name\":\"talk\",\"script\":\"%s\",\"args\":[\"%s\"],"
		"\"interpreter\":\"none\",\"instances\":%d,"
		"\"wait_ready\":true,\"min_uptime\":0,\"reload_soak\":50,"
		"\"reload_batch\":2,\"out_file\":\"%s\"%s},\n",
		TALKER, faults->talk->path, FAULTS_TALKERS, faults->log_path,
		kind == FAULTS_BAD ? ",\"env\":{\"TALKER_BAD\":\"1\"}" : "");
	fprintf(file,
		"{\"name\":\"web\",\"script\":\"%s\",\"interpreter\":\"none\","
		"\"instances\":%d,\"listen\":[\"127.0.0.1:%d\"],"
		"\"min_uptime\":0,\"reload_soak\":50},\n",
		SERVE, FAULTS_SERVERS, faults->port);
	/* One breaks the rules, one floods, one takes nothing. */
	fprintf(file,
		"{\"name\":\"rogue\",\"script\":\"%s\","
		"\"interpreter\":\"none\",\"instances\":%d,"
		"\"min_uptime\":0,\"restart_delay\":300,"
		"\"stall_timeout\":1000,\"queue_limit\":\"1M\","
		"\"args\":[\"join\",\"0/garbage\","
		"\"1/flood=all@talk:100:2000\",\"1/flood=all:1000:4000\","
		"\"1/gap\",\"2/pause\"]}%s\n",
		ROGUE, FAULTS_ROGUES, kind == FAULTS_BROKEN ? "" : "]");
	fclose(file);
}

void
faults_command(struct faults *faults, const char *verb, const char *argument,
	const char *option)
{
	int at = 0;

	while (at < FAULTS_LATER - 1 && faults->commands[at] != 0)
		at++;
	if (faults->commands[at] != 0)
		return;
	pid_t pid = fork();
	cr_assert_geq(pid, 0);
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(null, 1);
		dup2(null, 2);
		close_range(3, ~0U, 0);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("MUSTER_HOME", run_home(faults->run), 1);
		execl(run_command_path(), "muster", verb, argument, option,
			(char *)NULL);
		_exit(127);
	}
	faults->commands[at] = pid;
}

bool
faults_busy(struct faults *faults)
{
	bool busy = false;

	for (int i = 0; i < FAULTS_LATER; i++) {
		if (faults->commands[i] != 0 &&
			waitpid(faults->commands[i], NULL, WNOHANG) ==
				faults->commands[i])
			faults->commands[i] = 0;
		busy = busy || faults->commands[i] != 0;
	}
	return busy;
}

/* The value of a variable in the environment that `pid` was started with. */
static bool
read_variable(pid_t pid, const char *name, char *ret_value, size_t size)
{
	static char text[1 << 16];
	char path[64];
	size_t length = strlen(name);
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%d/environ", (int)pid);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	size_t got = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[got] = '\0';
	for (char *at = text; at < text + got && !found; at += strlen(at) + 1)
		if (strncmp(at, name, length) == 0 && at[length] == '=') {
			snprintf(ret_value, size, "%s", at + length + 1);
			found = true;
		}
	return found;
}

pid_t
faults_worker(struct faults *faults, const char *app, uint32_t instance)
{
	pid_t children[PROCESS_CHILDREN_MAX];
	size_t count = process_children(run_keeper(faults->run), children);
	long newest = -1;
	pid_t found = 0;

	for (size_t i = 0; i < count; i++) {
		char name[32], place[32], life[32];
		if (!read_variable(children[i], "MUSTER_APP", name, 32) ||
			!read_variable(
				children[i], "MUSTER_INSTANCE", place, 32) ||
			!read_variable(
				children[i], "MUSTER_GENERATION", life, 32) ||
			strcmp(name, app) != 0 ||
			strtoul(place, NULL, 10) != instance ||
			atol(life) <= newest)
			continue;
		newest = atol(life);
		found = children[i];
	}
	return found;
}

static void
await_end(struct faults *faults, pid_t pid)
{
	while (process_state(pid) != 'X' && process_state(pid) != 'Z')
		run_pump(faults->run, 1);
}

static void
kill_worker(struct faults *faults, const char *app, uint32_t instance)
{
	pid_t pid = faults_worker(faults, app, instance);

	if (pid == 0)
		return;
	if (strcmp(app, "web") == 0)
		client_killed(faults->client);
	kill(pid, SIGKILL);
	await_end(faults, pid);
	if (strcmp(app, "talk") == 0)
		talk_excuse(faults->talk, instance);
}

static void
kill_brain(struct faults *faults)
{
	pid_t brain = run_brain(faults->run);

	faults->brain_kills++;
	kill(brain, SIGKILL);
	await_end(faults, brain);
}

static struct faults_later *
later(struct faults *faults, int ms)
{
	for (int i = 0; i < FAULTS_LATER; i++)
		if (faults->later[i].at_ms == 0) {
			faults->later[i] =
				(struct faults_later){.at_ms = now_ms() + ms};
			return &faults->later[i];
		}
	cr_assert_fail("too many faults at once");
	abort();
}

static void
stop_process(struct faults *faults, pid_t pid, int ms)
{
	if (pid == 0 || kill(pid, SIGSTOP) != 0)
		return;
	later(faults, ms)->stopped = pid;
}

/* Leaves the brain room for one descriptor more. */
static void
starve(struct faults *faults, int ms)
{
	pid_t brain = run_brain(faults->run);
	struct faults_later *undo = later(faults, ms);
	struct rlimit few;

	if (prlimit(brain, RLIMIT_NOFILE, NULL, &undo->limit) != 0)
		return;
	few = undo->limit;
	few.rlim_cur = (rlim_t)process_descriptors(brain) + 1;
	if (prlimit(brain, RLIMIT_NOFILE, &few, NULL) == 0)
		undo->starved = brain;
}

static void
hang_up(struct faults *faults, enum faults_config kind)
{
	faults_write_config(faults, kind);
	faults->config_changed = true;
	faults->hung_up = faults->hung_up || kind == FAULTS_BAD;
	run_signal(faults->run, SIGHUP);
}

void
faults_do(struct faults *faults, const struct fault *fault)
{
	struct run *run = faults->run;
	uint32_t talker = fault->target % FAULTS_TALKERS;
	uint32_t server = fault->target % FAULTS_SERVERS;

	faults->done[fault->kind]++;
	switch (fault->kind) {
	case FAULT_KILL_TALKER:
		kill_worker(faults, "talk", talker);
		break;
	case FAULT_KILL_SERVER:
		kill_worker(faults, "web", server);
		break;
	case FAULT_KILL_ROGUE:
		kill_worker(faults, "rogue", fault->target % FAULTS_ROGUES);
		break;
	case FAULT_KILL_BRAIN_TWICE:
		kill_brain(faults);
		kill_brain(faults);
		break;
	case FAULT_KILL_BRAIN:
		kill_brain(faults);
		break;
	case FAULT_KILL_BRAIN_AND_TALKER:
		kill(run_brain(run), SIGKILL);
		faults->brain_kills++;
		kill_worker(faults, "talk", talker);
		break;
	case FAULT_STOP_TALKER:
		stop_process(faults, faults_worker(faults, "talk", talker),
			fault->ms);
		break;
	case FAULT_STOP_SERVER:
		stop_process(faults, faults_worker(faults, "web", server),
			fault->ms);
		break;
	case FAULT_STOP_BRAIN:
		stop_process(faults, run_brain(run), fault->ms);
		break;
	case FAULT_RELOAD_TALKERS:
		faults_command(faults, "reload", "talk", "--no-wait");
		break;
	case FAULT_RELOAD_SERVERS:
		faults_command(faults, "reload", "web", "--no-wait");
		break;
	case FAULT_RELOAD_BAD:
		hang_up(faults, FAULTS_BAD);
		break;
	case FAULT_RELOAD_BROKEN:
		hang_up(faults, FAULTS_BROKEN);
		break;
	case FAULT_FEW_DESCRIPTORS:
		starve(faults, fault->ms);
		break;
	case FAULT_FLOOD:
		faults->talk->book->burst = 40;
		faults->talk->book->pace_us = 1000;
		later(faults, fault->ms)->flood = true;
		break;
	case FAULT_KINDS:
		break;
	}
}

void
faults_tidy(struct faults *faults, bool all)
{
	for (int i = 0; i < FAULTS_LATER; i++) {
		struct faults_later *undo = &faults->later[i];
		if (undo->at_ms == 0 || (!all && undo->at_ms > now_ms()))
			continue;
		if (undo->stopped != 0)
			kill(undo->stopped, SIGCONT);
		if (undo->starved != 0)
			prlimit(undo->starved, RLIMIT_NOFILE, &undo->limit,
				NULL);
		if (undo->flood) {
			faults->talk->book->burst = faults->burst;
			faults->talk->book->pace_us = faults->pace_us;
		}
		undo->at_ms = 0;
	}
	if (all && faults->config_changed) {
		faults_write_config(faults, FAULTS_GOOD);
		faults->config_changed = false;
	}
	if (all && faults->hung_up) {
		run_signal(faults->run, SIGHUP);
		faults->hung_up = false;
	}
	faults_busy(faults);
}
