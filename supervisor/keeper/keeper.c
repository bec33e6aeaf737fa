/*
 * keeper.c: the start, the loop, the children and the end. It decides nothing:
 * what to start and whom to signal comes from the brain by link.c; which signal
 * was sent and which process has ended goes there. Whatever is kept, is kept in
 * the one struct below, so a brain may die at any time.
 */
#include "keeper/keeper.h"
#include "base/log.h"
#include "base/sys.h"
#include "keeper/given.h"
#include "keeper/spawn.h"
#include "keeper/state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	TURN_EVENTS = 32,
	TURN_REAPS = 256,
	FORCED_KILL_MS = 10000, /* between TERM and KILL when nobody decides */
	LAST_REAP_MS = 5000,	/* for a child that the kernel holds */
};

int
keeper_watch(struct keeper *keeper, int operation, int fd, uint32_t kind,
	uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u32 = kind};

	return sys_epoll_ctl(keeper->epoll, operation, fd, &event);
}

void
keeper_end(struct keeper *keeper, int exit_code, int ms)
{
	keeper->ending = true;
	keeper->exit_code = exit_code;
	keeper->end_at = clock_after_ms(clock_now(), ms);
}

void
keeper_signal_row(const struct row *row, int signal, bool whole_group)
{
	/* Before the exec was seen there may be no group yet. After the reap,
	 * which is never called here, the number might be another's. */
	if (whole_group && row->info.state == KEEPER_RUNNING)
		sys_kill(-row->info.pid, signal);
	else
		sys_pidfd_send_signal(row->pidfd, signal);
}

void
keeper_signal_all(struct keeper *keeper, int signal)
{
	for (uint32_t i = 1; i <= keeper->table.high; i++) {
		const struct row *row = &keeper->table.rows[i];

		if (row->process && row->info.state != KEEPER_ENDED)
			keeper_signal_row(row, signal, true);
	}
}

void
keeper_free_row(struct keeper *keeper, struct row *row)
{
	if (row->pidfd >= 0)
		sys_close(row->pidfd);
	if (row->cgroup >= 0)
		sys_close(row->cgroup);
	table_free(&keeper->table, row);
}

/* The pipe of a starting child: a failure, or its end when the program runs. */
static void
read_exec_pipe(struct keeper *keeper, struct row *row)
{
	struct spawn_failure failure;
	enum spawn_news news;

	if (!row->process || row->exec_pipe < 0)
		return;
	news = spawn_read(row->exec_pipe, &row->executes, &failure);
	if (news == SPAWN_NOTHING)
		return;
	keeper_watch(keeper, EPOLL_CTL_DEL, row->exec_pipe, 0, 0);
	sys_close(row->exec_pipe);
	row->exec_pipe = -1;
	if (news == SPAWN_FAILED) {
		/* It is told when the child is reaped. */
		row->failed_stage = failure.stage;
		row->failed_error = failure.error;
	} else if (news == SPAWN_EXECUTED) {
		row->info.state = KEEPER_RUNNING;
		link_news(keeper, row, NEWS_EXECED);
	}
}

static uint32_t
ms_of(struct timeval time)
{
	return (uint32_t)(time.tv_sec * 1000 + time.tv_usec / 1000);
}

static void
row_ended(struct keeper *keeper, struct row *row, const siginfo_t *how,
	const struct rusage *usage)
{
	/* The child's end of the pipe is closed, so this tells all. */
	read_exec_pipe(keeper, row);
	table_clear_pid(&keeper->table, row);
	row->info.never_ran = row->info.state == KEEPER_STARTING;
	row->info.state = KEEPER_ENDED;
	row->info.dumped = how->si_code == CLD_DUMPED;
	row->info.code = how->si_code;
	row->info.status = how->si_status;
	row->info.user_ms = ms_of(usage->ru_utime);
	row->info.system_ms = ms_of(usage->ru_stime);
	row->info.memory_kib = (uint32_t)usage->ru_maxrss;
	row->info.ended_ns = clock_now().ns;
	link_news(keeper, row, row->failed_stage ? NEWS_FAILED : NEWS_EXITED);
}

static void
kill_cgroup(int directory)
{
	int fd = sys_openat(directory, "cgroup.kill", O_WRONLY);

	if (fd < 0)
		return; /* an old kernel, or the folder is gone */
	sys_write(fd, "1", 1);
	sys_close(fd);
}

/* Reaps one child if one has ended. Returns its pid, 0 or -ECHILD. */
static int
reap_one(struct keeper *keeper)
{
	siginfo_t info = {0};
	struct rusage usage;
	struct row *row;
	int error = sys_waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT);
	pid_t pid = info.si_pid;

	if (error || pid == 0)
		return error;
	row = table_find_pid(&keeper->table, pid);
	/* What is left of its group goes first: as long as the leader is not
	 * reaped, nobody else can have the number. */
	if (row || pid == keeper->brain.pid)
		sys_kill(-pid, SIGKILL);
	if (row && row->cgroup >= 0)
		kill_cgroup(row->cgroup);
	error = sys_waitid_usage(P_PID, pid, &info, WEXITED, &usage);
	if (error)
		return error;
	if (row)
		row_ended(keeper, row, &info, &usage);
	else if (pid == keeper->brain.pid)
		life_ended(keeper, info.si_code, info.si_status);
	else
		keeper->unsent.orphans++;
	return pid;
}

static void
take_signals(struct keeper *keeper)
{
	struct signalfd_siginfo infos[8];
	ssize_t got;

	do {
		got = sys_read(keeper->signal_fd, infos, sizeof(infos));
		for (ssize_t i = 0; i < got / (ssize_t)sizeof(*infos); i++)
			if (infos[i].ssi_signo == SIGCHLD)
				keeper->must_reap = true;
			else
				signals_came(&keeper->signals,
					(int)infos[i].ssi_signo,
					keeper->brain.pid != 0, clock_now());
	} while (got == sizeof(infos));
}

/* A stop was asked for and no brain takes it on: our only decision. */
static void
force_stop(struct keeper *keeper)
{
	log_error("asked to stop, and nothing answers: stopping all processes");
	keeper->signals.force_at = INSTANT_NONE;
	if (keeper->brain.pid)
		sys_kill(keeper->brain.pid, SIGKILL);
	keeper_signal_all(keeper, SIGTERM);
	keeper_end(keeper, 1, FORCED_KILL_MS);
}

/* Does what is due. Returns the milliseconds to the next deadline, or -1. */
static int
meet_deadlines(struct keeper *keeper)
{
	const struct instant *all[] = {&keeper->end_at,
		&keeper->unsent.retry_at, &keeper->brain.start_at,
		&keeper->signals.force_at, &keeper->program.by};
	struct instant now = clock_now(), next = INSTANT_NONE;

	if (!keeper->ending && clock_is_past(keeper->signals.force_at, now))
		force_stop(keeper);
	if (keeper->ending)
		keeper->brain.start_at = keeper->signals.force_at =
			INSTANT_NONE;
	if (clock_is_past(keeper->program.by, now))
		life_end_trial(keeper);
	if (clock_is_past(keeper->brain.start_at, now))
		life_start(keeper);
	link_tell(keeper);
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		if (clock_is_set(*all[i]) &&
			(!clock_is_set(next) || all[i]->ns < next.ns))
			next = *all[i];
	if (keeper->must_reap)
		return 0;
	if (!clock_is_set(next))
		return -1;
	/* A part of a millisecond counts as one, or we would spin it away. */
	return next.ns <= now.ns ? 0 : (int)clock_ms_between(now, next) + 1;
}

static bool
has_ended(const struct keeper *keeper)
{
	return keeper->ending &&
	       (clock_is_past(keeper->end_at, clock_now()) ||
		       (keeper->brain.pid == 0 && keeper->table.alive == 0));
}

static void
run(struct keeper *keeper)
{
	struct epoll_event events[TURN_EVENTS];

	while (!has_ended(keeper)) {
		int count = sys_epoll_wait(keeper->epoll, events, TURN_EVENTS,
			meet_deadlines(keeper));

		for (int i = 0; i < count; i++) {
			uint32_t kind = events[i].data.u32;

			if (kind == EVENT_SIGNAL)
				take_signals(keeper);
			else if (kind == EVENT_PAIR)
				link_serve(keeper);
			else
				read_exec_pipe(keeper,
					&keeper->table.rows[kind - EVENT_ROW]);
		}
		/* Exits come last: what was said before is carried out. */
		for (int i = 0; keeper->must_reap && i < TURN_REAPS; i++)
			if (reap_one(keeper) <= 0)
				keeper->must_reap = false;
	}
}

/* Kills the children that we have now, as the kernel lists them. */
static void
kill_children(void)
{
	char text[4096];
	ssize_t got;
	pid_t pid = 0;
	int fd = sys_open("/proc/thread-self/children", O_RDONLY, 0);

	if (fd < 0)
		return;
	/* One piece a round will do, but a number that was cut won't. */
	got = sys_read(fd, text, sizeof(text));
	sys_close(fd);
	for (ssize_t i = 0; i < got; i++) {
		if (text[i] >= '0' && text[i] <= '9') {
			pid = pid * 10 + (text[i] - '0');
		} else if (pid) {
			sys_kill(pid, SIGKILL);
			pid = 0;
		}
	}
}

/* Leaves no child: groups and orphans are killed and reaped. */
static void
kill_rest(struct keeper *keeper)
{
	struct instant until = clock_after_ms(clock_now(), LAST_REAP_MS);
	struct pollfd signal = {.fd = keeper->signal_fd, .events = POLLIN};
	int left, got = 0;

	/* Nobody is told any more. */
	keeper->ending = true;
	keeper->brain.heeds = false;
	if (keeper->brain.pid)
		sys_kill(keeper->brain.pid, SIGKILL);
	keeper_signal_all(keeper, SIGKILL);
	while (got != -ECHILD) {
		/* Killing one may hand its children to us. */
		kill_children();
		while ((got = reap_one(keeper)) > 0)
			;
		left = (int)clock_ms_between(clock_now(), until);
		if (got < 0 || left <= 0)
			break;
		sys_poll(&signal, 1, left);
		take_signals(keeper);
	}
}

/* Descriptors and limits as the keeper wants them, whoever started it. */
static int
prepare_process(struct keeper *keeper)
{
	struct rlimit files;
	int error = sys_close_range(
		STDERR_FILENO + 1 + (unsigned)keeper->given, ~0u, 0);

	/* Where one of the three is missing, it is the lowest free number. */
	for (int fd = 0; fd <= STDERR_FILENO && !error; fd++)
		if (sys_fcntl(fd, F_GETFD, 0) < 0 &&
			(sys_open("/dev/null", O_RDWR, 0) != fd ||
				sys_fcntl(fd, F_SETFD, 0) < 0))
			error = -EBADF;
	if (!error)
		error = sys_getrlimit(RLIMIT_NOFILE, &keeper->files);
	files = keeper->files;
	files.rlim_cur = files.rlim_max;
	if (!error)
		error = sys_setrlimit(RLIMIT_NOFILE, &files);
	if (!error)
		error = sys_prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (!error)
		error = keeper->signal_fd = signals_take_over();
	if (error >= 0)
		error = keeper->epoll = sys_epoll_create();
	if (error >= 0)
		error = keeper_watch(keeper, EPOLL_CTL_ADD, keeper->signal_fd,
			EVENT_SIGNAL, EPOLLIN);
	if (error < 0)
		log_error("can't prepare the process: %s", strerror(-error));
	return error;
}

static int
put_memory(struct keeper *keeper, const char *name, off_t size)
{
	int fd = sys_memfd(name, 0);
	int error = fd < 0 ? fd : sys_ftruncate(fd, size);

	return error ? error : vault_put(&keeper->vault, name, fd);
}

/* What every brain finds. */
static int
fill_vault(struct keeper *keeper)
{
	struct vault *vault = &keeper->vault;
	int error = 0;

	if (keeper->place.lock >= 0)
		error = vault_put(vault, KEEPER_VAULT_LOCK, keeper->place.lock);
	if (!error)
		error = given_keep(vault, keeper->given);
	if (!error && keeper->place.control >= 0)
		error = vault_put(
			vault, KEEPER_VAULT_CONTROL, keeper->place.control);
	if (!error)
		error = put_memory(
			keeper, KEEPER_VAULT_LEDGER, KEEPER_LEDGER_SIZE);
	if (!error)
		error = put_memory(keeper, KEEPER_VAULT_EXCHANGE, 0);
	if (!error && setenv(KEEPER_RUNTIME, keeper->place.folder, 1) != 0)
		error = -errno;
	if (error)
		log_error("can't make the memory files: %s", strerror(-error));
	return error;
}

int
keeper_main(int argc, char **argv, const char *brain)
{
	/* Static, because most of its 1.3 MB is never touched. */
	static struct keeper keeper;
	bool runs = argc > 1 && strcmp(argv[1], "run") == 0;

	log_open("muster", LOG_INFO);
	if (!runs && (argc < 2 || strcmp(argv[1], "daemon") != 0)) {
		log_error("usage: musterd run ... | musterd daemon; people use "
			  "the command muster");
		return 2;
	}
	keeper.argv = argv;
	keeper.own = brain;
	keeper.program.fd = keeper.program.next = keeper.program.before = -1;
	keeper.brain.pair = -1;
	keeper.given = given_count();
	if (prepare_process(&keeper) < 0 ||
		place_take(&keeper.place, runs) != 0)
		return 1;
	if (fill_vault(&keeper) == 0) {
		keeper.brain.start_at = clock_now();
		run(&keeper);
	} else {
		keeper.exit_code = 1;
	}
	kill_rest(&keeper);
	place_leave(&keeper.place);
	return keeper.exit_code;
}
