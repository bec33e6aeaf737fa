/*
 * An upgrade: the question to the new program, and the hand-over.
 *
 * What the new program answers when it is asked is brain.c's business (the name
 * "musterd: check"), who is executed when and falls back to whom the keeper's
 * (keeper/link.c). The process that is asked has a number, but no row in the
 * ledger: a brain that finds it kills it, as all that nobody knows.
 */
#include "fleet/upgrade.h"

#include "base/log.h"
#include "base/sys.h"
#include "fleet/core.h"
#include "fleet/description.h"
#include "fleet/events.h"
#include "fleet/exits.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CHECK_MS = 10000, /* for the answer */
	ANSWER_SIZE = 512,
};

#define NAME_PROGRAM "upgrade"
#define NAME_OUT "upgrade.out"

struct upgrade {
	struct fleet *fleet;
	char path[PATH_MAX];
	int program;	  /* the file, -1 once it is given on */
	int out;	  /* what it says is read here */
	uint64_t process; /* 0: not asked any more */
	ev_timer patience;
	bool is_late;
	fleet_done *done;
	void *data;
};

const char *
fleet_version(void)
{
	return MUSTER_VERSION;
}

void
upgrade_free(struct upgrade **upgrade)
{
	struct upgrade *at = *upgrade;

	if (!at)
		return;
	*upgrade = NULL;
	ev_timer_stop(at->fleet->setup.loop, &at->patience);
	if (at->program >= 0)
		sys_close(at->program);
	if (at->out >= 0)
		sys_close(at->out);
	free(at);
}

static void
say_failed(struct fleet *fleet, const char *words)
{
	struct events_subject nobody = {0};

	log_error("no upgrade: %s", words);
	events_raise(fleet->events, "upgrade_failed", &nobody,
		json_pack("{s:s}", "reason", words));
}

static void
fail(struct fleet *fleet, const char *words)
{
	struct upgrade *upgrade = fleet->upgrade;

	fleet->upgrade = NULL;
	say_failed(fleet, words);
	if (upgrade->done)
		upgrade->done(words, upgrade->data);
	upgrade_free(&upgrade);
}

/* Asking ------------------------------------------------------------------- */

static int
put_pipe(struct upgrade *upgrade)
{
	int fds[2];
	int r = sys_pipe(fds, O_NONBLOCK);

	if (r < 0)
		return r;
	upgrade->out = fds[0];
	return keeper_client_put(
		upgrade->fleet->setup.keeper, NAME_OUT, fds[1], true);
}

static int
describe(const struct upgrade *upgrade)
{
	struct child_fd fds[] = {{STATE_NULL, 0, 0}, {NAME_OUT, 1, 0},
		{NAME_OUT, 2, 0}, {KEEPER_VAULT_LEDGER, 3, 0},
		{KEEPER_VAULT_EXCHANGE, 4, 0}, {NAME_PROGRAM, 5, 0}};
	char *argv[] = {(char[]){"musterd: check"}, NULL};
	struct child_plan plan = {
		/* The very file that would take over, by whatever name. */
		.program = "/proc/self/fd/5",
		.argv = argv,
		.env = upgrade->fleet->setup.environment,
		.fds = fds,
		.fd_count = sizeof(fds) / sizeof(*fds),
	};

	return description_make(&plan);
}

static void
on_late(struct ev_loop *loop, ev_timer *timer, int events)
{
	struct upgrade *upgrade = timer->data;

	(void)loop;
	(void)events;
	upgrade->is_late = true;
	keeper_client_signal(
		upgrade->fleet->setup.keeper, upgrade->process, SIGKILL, true);
}

static int
ask(struct upgrade *upgrade)
{
	struct fleet *fleet = upgrade->fleet;
	struct keeper_client *keeper = fleet->setup.keeper;
	int description;
	int r = keeper_client_put(
		keeper, NAME_PROGRAM, upgrade->program, false);

	if (r >= 0)
		r = put_pipe(upgrade);
	/* The borrowed file has left before it could be closed. */
	(void)keeper_client_flush(keeper);
	if (r < 0)
		return r;
	r = description = describe(upgrade);
	if (r < 0)
		return r;
	upgrade->process = fleet->general.next_process++;
	core_save(fleet);
	r = keeper_client_spawn(keeper, upgrade->process, description);
	if (r < 0)
		return r;
	ev_timer_init(&upgrade->patience, on_late, CHECK_MS / 1e3, 0.);
	ev_now_update(fleet->setup.loop);
	ev_timer_start(fleet->setup.loop, &upgrade->patience);
	return 0;
}

int
fleet_upgrade(struct fleet *fleet, const char *path, fleet_done *done,
	void *data, char *ret_words)
{
	struct upgrade *upgrade;
	int r;

	if (!path)
		path = fleet->program;
	if (fleet->general.is_stopping) {
		snprintf(ret_words, FLEET_WORDS_SIZE,
			"everything is being stopped");
		return -ESHUTDOWN;
	}
	if (fleet->upgrade) {
		snprintf(ret_words, FLEET_WORDS_SIZE, "an upgrade runs");
		return -EBUSY;
	}
	if (!path || path[0] != '/' || strlen(path) >= PATH_MAX) {
		snprintf(ret_words, FLEET_WORDS_SIZE,
			"the program's path can't be told; name it");
		return -ENOENT;
	}
	upgrade = calloc(1, sizeof(*upgrade));
	if (!upgrade)
		return -ENOMEM;
	upgrade->fleet = fleet;
	upgrade->done = done;
	upgrade->data = data;
	upgrade->out = -1;
	upgrade->patience.data = upgrade;
	strcpy(upgrade->path, path);
	/* Never waits for a FIFO's other end. */
	r = upgrade->program = sys_open(path, O_RDONLY | O_NONBLOCK, 0);
	if (r >= 0)
		r = ask(upgrade);
	if (r < 0) {
		snprintf(ret_words, FLEET_WORDS_SIZE, "%s: %s", path,
			strerror(-r));
		upgrade_free(&upgrade);
		return r;
	}
	fleet->upgrade = upgrade;
	return 0;
}

/* The answer --------------------------------------------------------------- */

/* What it has said, in one line. */
static void
read_answer(struct upgrade *upgrade, char *ret_text)
{
	ssize_t n = sys_read(upgrade->out, ret_text, ANSWER_SIZE - 1);

	ret_text[n > 0 ? n : 0] = '\0';
	ret_text[strcspn(ret_text, "\n")] = '\0';
}

static void
forget_process(struct fleet *fleet)
{
	struct upgrade *upgrade = fleet->upgrade;

	ev_timer_stop(fleet->setup.loop, &upgrade->patience);
	upgrade->process = 0;
	keeper_client_drop(fleet->setup.keeper, NAME_PROGRAM);
	keeper_client_drop(fleet->setup.keeper, NAME_OUT);
}

static bool
is_asked(const struct fleet *fleet, uint64_t process)
{
	return fleet->upgrade && fleet->upgrade->process == process;
}

bool
upgrade_took_exit(
	struct fleet *fleet, uint64_t process, const struct keeper_row *row)
{
	struct upgrade *upgrade = fleet->upgrade;
	struct state_exit exit = {.code = row->code, .status = row->status};
	char answer[ANSWER_SIZE], how[128];
	char words[FLEET_WORDS_SIZE];
	int r, program;

	if (!is_asked(fleet, process))
		return false;
	forget_process(fleet);
	keeper_client_ack_exit(fleet->setup.keeper, process);
	read_answer(upgrade, answer);
	exits_describe(&exit, how, sizeof(how));
	if (row->code == CLD_EXITED && row->status == 0 &&
		!strncmp(answer, "musterd ", 8)) {
		log_info("upgrade: %s takes over", answer);
		program = upgrade->program;
		upgrade->program = -1;
		r = keeper_client_renew(fleet->setup.keeper, program);
		if (r < 0)
			fail(fleet, strerror(-r));
		return true;
	}
	if (upgrade->is_late)
		snprintf(words, sizeof(words),
			"%.300s: it didn't answer within %d s", upgrade->path,
			CHECK_MS / 1000);
	else if (row->code == CLD_EXITED && row->status == 0)
		snprintf(words, sizeof(words), "%.300s is no musterd",
			upgrade->path);
	else
		snprintf(words, sizeof(words), "%.300s: it %s%s%s",
			upgrade->path, how, answer[0] ? ": " : "", answer);
	fail(fleet, words);
	return true;
}

bool
upgrade_took_failure(struct fleet *fleet, uint64_t process,
	enum keeper_stage stage, int error)
{
	char words[FLEET_WORDS_SIZE];

	if (!is_asked(fleet, process))
		return false;
	forget_process(fleet);
	snprintf(words, sizeof(words), "%.300s can't be started: %s: %s",
		fleet->upgrade->path, exits_stage_name(stage), strerror(error));
	fail(fleet, words);
	return true;
}

void
upgrade_renewed(struct fleet *fleet, int result)
{
	struct upgrade *upgrade = fleet->upgrade;

	if (!upgrade)
		return;
	if (result < 0) {
		fail(fleet, result == -EOPNOTSUPP
				    ? "the keeper is too old for that: stop "
				      "and start musterd instead"
				    : strerror(-result));
		return;
	}
	fleet->upgrade = NULL;
	if (upgrade->done)
		upgrade->done(NULL, upgrade->data);
	upgrade_free(&upgrade);
	fleet->setup.handed_over(fleet->setup.data);
}

/* Afterwards --------------------------------------------------------------- */

/* How the new program's brain ended, which was the one before this. */
static void
describe_end(const struct keeper_brain_end *end, char *ret_words, size_t size)
{
	struct state_exit exit = {.code = end->code, .status = end->status};
	char how[128];

	exits_describe(&exit, how, sizeof(how));
	if (end->lived == KEEPER_NEVER_UP)
		snprintf(ret_words, size,
			"the new program %s before it was up; the old one goes "
			"on",
			how);
	else
		snprintf(ret_words, size,
			"the new program %s %u.%u s after it was up; the old "
			"one goes on again",
			how, end->lived / 10u, end->lived % 10u);
}

void
upgrade_report(struct fleet *fleet)
{
	const struct keeper_record *hello =
		keeper_client_hello(fleet->setup.keeper);
	struct events_subject nobody = {0};

	fleet->upgrade_outcome = "none";
	switch (hello->hello.trial) {
	case KEEPER_TRIAL_RUNS:
		fleet->upgrade_outcome = "done";
		log_info("upgraded to %s", MUSTER_VERSION);
		events_raise(fleet->events, "upgraded", &nobody,
			json_pack("{s:s}", "version", MUSTER_VERSION));
		break;
	case KEEPER_TRIAL_FAILED:
		fleet->upgrade_outcome = "failed";
		describe_end(&hello->hello.ends[0], fleet->upgrade_words,
			sizeof(fleet->upgrade_words));
		break;
	case KEEPER_TRIAL_LATE:
		fleet->upgrade_outcome = "failed";
		snprintf(fleet->upgrade_words, sizeof(fleet->upgrade_words),
			"the new program was not up within %d s; the old one "
			"goes on",
			KEEPER_TRIAL_MS / 1000);
		break;
	}
	if (fleet->upgrade_words[0])
		say_failed(fleet, fleet->upgrade_words);
}

json_t *
fleet_describe_brain(const struct fleet *fleet)
{
	const struct keeper_record *hello =
		keeper_client_hello(fleet->setup.keeper);

	return json_pack("{s:s, s:I, s:I, s:s?, s:b, s:s, s:s?}", "version",
		MUSTER_VERSION, "brains", (json_int_t)hello->hello.brains,
		"crashes", (json_int_t)hello->hello.crashes, "program",
		fleet->program, "safe_mode", (int)fleet->setup.is_safe,
		"upgrade", fleet->upgrade_outcome, "reason",
		fleet->upgrade_words[0] ? fleet->upgrade_words : NULL);
}
