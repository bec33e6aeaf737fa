/*
 * brain.c: puts the brain together, and nothing else. Every brain starts the
 * same way, the first of a keeper's life or one that takes over from a dead
 * one: meet the keeper, take what it holds, read what was remembered, go on.
 * Only when nothing is remembered are the arguments read.
 */
#include "brain.h"

#include "base/home.h"
#include "base/log.h"
#include "base/sys.h"
#include "config/options.h"
#include "control/control.h"
#include "exchange/exchange.h"
#include "fleet/fleet.h"
#include "fleet/keeper_client.h"
#include "fleet/safe.h"
#include "keeper/keeper_protocol.h"
#include "mechanism/pulse.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	BRAIN_EXIT_FAILED = 1,
	BRAIN_EXIT_USAGE = 2,
	/* Where fleet/upgrade puts the memory files of a question. */
	BRAIN_CHECK_LEDGER = 3,
	BRAIN_CHECK_EXCHANGE = 4,
};

#define BRAIN_MEMORY_LIMIT (UINT64_C(256) << 20) /* bytes */
#define BRAIN_FAR_AWAY 1e9			 /* seconds */

struct brain {
	struct ev_loop *loop;
	struct keeper_client *keeper;
	struct exchange *exchange;
	int memory; /* its memory file, until what runs is planned; or -1 */
	struct fleet *fleet;
	struct control *control;
	ev_periodic far_away;
	int code; /* what the process exits with */
};

/*
 * libev wakes up once a minute to look for jumps of the wall clock, unless it
 * watches for them with a timerfd; that it does as soon as a periodic watcher
 * runs. An idle supervisor never wakes up, so there is one, far in the future.
 */
static void
brain_on_far_away(struct ev_loop *loop, ev_periodic *watcher, int events)
{
	(void)events;
	ev_periodic_set(watcher, ev_time() + BRAIN_FAR_AWAY, 0, NULL);
	ev_periodic_again(loop, watcher);
}

static int
brain_make_loop(struct brain *brain)
{
	brain->loop = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	if (brain->loop == NULL)
		return -ENOMEM;
	ev_periodic_init(&brain->far_away, brain_on_far_away,
		ev_time() + BRAIN_FAR_AWAY, 0, NULL);
	ev_periodic_start(brain->loop, &brain->far_away);
	return 0;
}

/* Signals are the keeper's: what reaches the group must not end the brain. */
static void
brain_ignore_signals(void)
{
	/* XFSZ: a file that may grow no more is an error, no end. */
	static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1,
		SIGUSR2, SIGTTIN, SIGTTOU, SIGTSTP, SIGPIPE, SIGXFSZ};

	for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
		(void)signal(ignored[i], SIG_IGN);
}

static void
brain_on_ended(int code, void *data)
{
	struct brain *brain = data;

	brain->code = code;
	exchange_flush(brain->exchange);
	keeper_client_end(brain->keeper, code);
	(void)keeper_client_flush(brain->keeper);
	ev_break(brain->loop, EVBREAK_ALL);
}

static void
brain_on_handed_over(void *data)
{
	struct brain *brain = data;

	exchange_flush(brain->exchange);
	(void)keeper_client_flush(brain->keeper);
	/* Like one that is killed: what would be tidied up here, channels
	 * above all, is the next one's to go on with. */
	_exit(0);
}

static void
brain_on_bus_changed(void *data)
{
	struct brain *brain = data;

	if (brain->control != NULL)
		control_use_bus(brain->control);
}

/* Where the executable lies, also when another was put in its place; false: it
 * can't be told. */
static bool
brain_find_program(char ret_path[PATH_MAX])
{
	static const char gone[] = " (deleted)";
	ssize_t size = sys_readlink("/proc/self/exe", ret_path, PATH_MAX - 1);
	size_t end = sizeof gone - 1;

	if (size <= 0)
		return false;
	ret_path[size] = '\0';
	if ((size_t)size > end && strcmp(ret_path + size - end, gone) == 0)
		ret_path[(size_t)size - end] = '\0';
	return true;
}

/* The start failed before anything ran: the keeper is to end as well. */
static int
brain_give_up(struct brain *brain, int code)
{
	keeper_client_end(brain->keeper, code);
	(void)keeper_client_flush(brain->keeper);
	return code;
}

/*
 * A file says how much may wait in messages, and the memory was laid out before
 * it was read. Nothing is in it yet, so it is laid out anew; a brain that is
 * killed between leaves an empty one to the next, which comes by here again.
 */
static int
brain_limit_memory(struct brain *brain, int64_t limit)
{
	int r, fd = sys_dup(brain->memory, 0);

	if (fd < 0)
		return fd;
	r = sys_ftruncate(fd, 0);
	if (r < 0) {
		(void)sys_close(fd);
		return r;
	}
	exchange_free(&brain->exchange);
	r = exchange_new(brain->loop, fd, (uint64_t)limit, &brain->exchange);
	fleet_use_exchange(brain->fleet, brain->exchange);
	return r;
}

/* The first brain's part: from the arguments to a plan in the ledger. */
static int
brain_plan(struct brain *brain, int argc, char **argv)
{
	struct fleet_settings settings = {.style = LINE_PREFIXED};
	struct config_place place;
	struct config_error error = {.text = ""};
	struct options options = {.file = NULL};
	char words[FLEET_WORDS_SIZE] = "";
	char program[PATH_MAX];
	int r = config_place_init(&place);

	if (r < 0) {
		log_error("the working directory can't be told: %s",
			strerror(-r));
		return BRAIN_EXIT_FAILED;
	}
	r = options_parse(argc, argv, &place, &options, &error);
	if (r < 0) {
		log_error("%s",
			error.text[0] != '\0' ? error.text : strerror(-r));
		return r == -EINVAL ? BRAIN_EXIT_USAGE : BRAIN_EXIT_FAILED;
	}
	if (options.raw)
		settings.style = LINE_RAW;
	if (options.json)
		settings.style = LINE_JSON;
	settings.file = options.file;
	settings.pid_file = options.pid_file;
	if (brain_find_program(program))
		settings.program = program;
	if (options.set.muster.memory_limit > 0)
		r = brain_limit_memory(brain, options.set.muster.memory_limit);
	if (r < 0)
		snprintf(words, sizeof words, "memory_limit: %s", strerror(-r));
	else
		r = fleet_plan(brain->fleet, &settings, &options.set, words);
	if (r < 0)
		log_error("%s", words[0] != '\0' ? words : strerror(-r));
	options_fini(&options);
	return r < 0 ? BRAIN_EXIT_FAILED : 0;
}

/* A daemon's: it has no applications yet. */
static int
brain_plan_daemon(struct brain *brain)
{
	struct fleet_settings settings = {.style = LINE_RAW};
	struct config_set none = {.apps = NULL};
	char words[FLEET_WORDS_SIZE] = "";
	char program[PATH_MAX];
	struct home home;
	int r = home_resolve(&home);

	if (r < 0) {
		log_error("where the log files are can't be told: %s",
			strerror(-r));
		return BRAIN_EXIT_FAILED;
	}
	settings.logs = home.logs;
	if (brain_find_program(program))
		settings.program = program;
	r = fleet_plan(brain->fleet, &settings, &none, words);
	if (r < 0)
		log_error("%s", words[0] != '\0' ? words : strerror(-r));
	return r < 0 ? BRAIN_EXIT_FAILED : 0;
}

static int
brain_open(struct brain *brain)
{
	struct fleet_setup setup = {
		.loop = brain->loop,
		.environment = environ,
		.ended = brain_on_ended,
		.handed_over = brain_on_handed_over,
		.bus_changed = brain_on_bus_changed,
		.data = brain,
	};
	int fd = keeper_client_claim(brain->keeper, KEEPER_VAULT_EXCHANGE);
	int r;

	setup.is_safe = keeper_client_hello(brain->keeper)->hello.crashes >=
			SAFE_CRASHES;
	if (setup.is_safe && fd >= 0) {
		/* What others may have crashed of isn't even looked at. */
		(void)sys_close(fd);
		fd = sys_memfd("exchange", 0);
	}
	if (fd < 0)
		return fd;
	brain->memory = sys_dup(fd, 0);
	r = exchange_new(brain->loop, fd, BRAIN_MEMORY_LIMIT, &brain->exchange);
	if (r < 0)
		return r;
	setup.keeper = brain->keeper;
	setup.exchange = brain->exchange;
	return fleet_open(&setup, &brain->fleet);
}

static int
brain_serve(struct brain *brain)
{
	int fd = keeper_client_claim(brain->keeper, KEEPER_VAULT_CONTROL);
	int r;

	/* Without a place for it, the keeper has said so: only the bus is
	 * served then. */
	if (fd < 0 && fd != -ENOENT)
		return fd;
	r = control_new(brain->loop, brain->exchange, brain->fleet,
		fd < 0 ? -1 : fd, &brain->control);
	if (r == 0)
		control_use_bus(brain->control);
	return r;
}

static int
brain_run(struct brain *brain, int argc, char **argv)
{
	int r = brain_open(brain);

	if (r < 0) {
		/* Nothing is changed and nothing ended: the workers go on,
		 * and signals reach them by the keeper. */
		log_error("what an earlier brain left can't be read: %s",
			strerror(-r));
		return BRAIN_EXIT_FAILED;
	}
	if (fleet_is_new(brain->fleet)) {
		r = argc > 1 && strcmp(argv[1], "daemon") == 0
			    ? brain_plan_daemon(brain)
			    : brain_plan(brain, argc - 2, argv + 2);
		if (r != 0)
			return brain_give_up(brain, r);
	} else {
		log_info("a new brain takes over; the workers run on");
	}
	if (brain->memory >= 0)
		(void)sys_close(brain->memory);
	r = fleet_rebuild(brain->fleet);
	if (r == 0)
		r = brain_serve(brain);
	if (r < 0) {
		log_error("the brain can't start: %s", strerror(-r));
		/* As if killed: closing what is half built would take channels
		 * out of the exchange memory that the next brain resumes. */
		_exit(BRAIN_EXIT_FAILED);
	}
	keeper_client_settle(brain->keeper);
	keeper_client_up(brain->keeper);
	ev_run(brain->loop, 0);
	return brain->code;
}

int
brain_check(void)
{
	int r = fleet_check(BRAIN_CHECK_LEDGER, BRAIN_CHECK_EXCHANGE);

	if (r == 0)
		printf("musterd %s\n", fleet_version());
	else if (r == -EPROTO)
		printf("%s can't read what a musterd of another version has "
		       "written; stop it and start the new one\n",
			fleet_version());
	else
		printf("the memory files: %s\n", strerror(-r));
	return r == 0 && fflush(stdout) == 0 ? 0 : BRAIN_EXIT_FAILED;
}

int
brain_check_words(int argc, char **argv)
{
	struct config_place place;
	struct config_error error = {.text = ""};
	struct options options = {.file = NULL};
	int r = config_place_init(&place);

	log_open("muster", LOG_INFO);
	if (r == 0)
		r = options_parse(argc, argv, &place, &options, &error);
	if (r < 0) {
		log_error("check: %s",
			error.text[0] != '\0' ? error.text : strerror(-r));
		return r == -EINVAL ? BRAIN_EXIT_USAGE : BRAIN_EXIT_FAILED;
	}
	for (size_t i = 0; i < options.set.count; i++)
		printf("%s: %" PRId64 " of %s\n", options.set.apps[i]->name,
			options.set.apps[i]->instances,
			options.set.apps[i]->program);
	options_fini(&options);
	return fflush(stdout) == 0 ? 0 : BRAIN_EXIT_FAILED;
}

int
brain_main(int argc, char **argv)
{
	struct brain brain = {.code = BRAIN_EXIT_FAILED};
	int code = BRAIN_EXIT_FAILED;
	int r;

	brain_ignore_signals();
	log_open("muster", LOG_INFO);
	r = brain_make_loop(&brain);
	if (r == 0)
		r = pulse_start(brain.loop, PULSE_MS);
	if (r == 0)
		r = keeper_client_new(
			brain.loop, KEEPER_PAIR_FD, &brain.keeper);
	if (r < 0)
		log_error("the brain can't meet its keeper: %s", strerror(-r));
	else
		code = brain_run(&brain, argc, argv);

	control_free(&brain.control);
	fleet_close(&brain.fleet);
	exchange_free(&brain.exchange);
	keeper_client_free(&brain.keeper);
	if (brain.loop != NULL)
		ev_loop_destroy(brain.loop);
	return code;
}
