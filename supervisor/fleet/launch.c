/*
 * Makes what a worker gets: descriptors, environment, description; and, after
 * the death of a brain, the brain's ends of it anew.
 *
 * When to launch is fleet/process's business. Nothing here is decided; it is
 * the one place that knows which descriptor has which number in a worker:
 *
 *	0 /dev/null   1 stdout   2 stderr   3 … the listeners, as configured
 *	then the channel, then the worker's end of the resume pair
 *	notify_fd where it is wanted; the others make room
 */
#include "fleet/launch.h"

#include "base/log.h"
#include "base/sys.h"
#include "exchange/exchange.h"
#include "fleet/app.h"
#include "fleet/channel.h"
#include "fleet/core.h"
#include "fleet/description.h"
#include "fleet/formats.h"
#include "fleet/handover.h"
#include "fleet/keeper_client.h"
#include "fleet/notify.h"
#include "fleet/process.h"
#include "fleet/remains.h"
#include "fleet/reuseport.h"
#include "fleet/slot.h"
#include "fleet/version.h"
#include "fleet/worker_environment.h"
#include "mechanism/logfile.h"
#include "mechanism/output.h"
#include "protocol/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The description ---------------------------------------------------------- */

static void
map(struct child_plan *plan, struct child_fd *fds, const char *start,
	uint64_t number)
{
	struct child_fd *fd = &fds[plan->fd_count];

	memset(fd, 0, sizeof(*fd));
	fd->number = (int32_t)plan->fd_count++;
	state_name(fd->name, start, number);
}

/* The same for one that has a number of its own. */
static void
map_to(struct child_plan *plan, struct child_fd *fds, const char *start,
	uint64_t number, int as)
{
	map(plan, fds, start, number);
	fds[plan->fd_count - 1].number = as;
}

/* The socket that the process gets for an address. */
static const struct app_listener *
find_listener(const struct process *process, const struct listen_config *entry,
	int *ret_error)
{
	*ret_error = -ENOTCONN;
	return reuseport_is_for(entry)
		       ? reuseport_claim(process->slot, entry, ret_error)
		       : app_find_listener(process->slot->app, entry->address);
}

static int
map_descriptors(const struct process *process, struct child_plan *plan,
	struct child_fd *fds)
{
	const struct app_config *config = process->version->config;
	const struct listen_list *listen = &config->listen;
	uint64_t number = process->state.number;
	int channel;

	if (listen->count > CHILD_FDS_MAX - WORKER_FIRST_LISTENER - 3)
		return -E2BIG;
	map(plan, fds, STATE_NULL, 0);
	strcpy(fds[0].name, STATE_NULL);
	map(plan, fds, STATE_OUT_WORKER, number);
	map(plan, fds, STATE_ERR_WORKER, number);
	for (size_t i = 0; i < listen->count; i++) {
		const struct app_listener *listener;
		int r;

		if (handover_is_for(&listen->entries[i]))
			continue;
		listener = find_listener(process, &listen->entries[i], &r);
		if (!listener)
			return r;
		map(plan, fds, STATE_LISTENER, listener->state.number);
	}
	channel = worker_channel_number(config);
	map_to(plan, fds, STATE_CHANNEL_WORKER, number, channel);
	map_to(plan, fds, STATE_RESUME_WORKER, number,
		worker_resume_number(config));
	if (config->notify_fd != CONFIG_UNSET)
		map_to(plan, fds, STATE_NOTIFY_WORKER, number,
			(int)config->notify_fd);
	plan->fds = fds;
	return 0;
}

static void
set_rights(struct child_plan *plan, const struct app_config *config,
	struct child_limit *limits, uint32_t *groups)
{
	if (config->user != CONFIG_UNSET) {
		plan->flags |= CHILD_HAS_USER;
		plan->uid = (uint32_t)config->user;
		plan->gid = (uint32_t)config->group;
		for (size_t i = 0; i < config->groups.count; i++)
			groups[i] = (uint32_t)config->groups.numbers[i];
		plan->groups = groups;
		plan->group_count = config->groups.count;
	}
	if (config->no_new_privs > 0)
		plan->flags |= CHILD_NO_NEW_PRIVS;
	if (config->umask != CONFIG_UNSET) {
		plan->flags |= CHILD_HAS_UMASK;
		plan->umask = (uint32_t)config->umask;
	}
	if (config->nice != CONFIG_UNSET) {
		plan->flags |= CHILD_HAS_NICE;
		plan->nice = (int32_t)config->nice;
	}
	for (size_t i = 0; i < config->limits.count; i++) {
		limits[i].resource = config->limits.entries[i].resource;
		limits[i].reserved = 0;
		limits[i].soft = config->limits.entries[i].soft;
		limits[i].hard = config->limits.entries[i].hard;
	}
	plan->limits = limits;
	plan->limit_count = config->limits.count;
}

/* Returns the description's descriptor or an error. */
static int
describe(const struct process *process)
{
	const struct app_config *config = process->version->config;
	struct child_fd fds[CHILD_FDS_MAX];
	struct child_limit limits[CHILD_LIMITS_MAX];
	uint32_t groups[CHILD_GROUPS_MAX];
	struct child_plan plan = {
		.program = config->program,
		.directory = config->cwd,
		.argv = config->argv,
	};
	char **environment;
	int r;

	if (config->limits.count > CHILD_LIMITS_MAX ||
		config->groups.count > CHILD_GROUPS_MAX)
		return -E2BIG;
	r = map_descriptors(process, &plan, fds);
	if (r < 0)
		return r;
	set_rights(&plan, config, limits, groups);
	environment = worker_environment(process);
	if (!environment)
		return -ENOMEM;
	plan.env = environment;
	r = description_make(&plan);
	config_free_strings(&environment);
	return r;
}

/* Descriptors -------------------------------------------------------------- */

static int
put(struct process *process, const char *start, int fd, bool give)
{
	char name[KEEPER_NAME_SIZE];

	state_name(name, start, process->state.number);
	return keeper_client_put(process->fleet->setup.keeper, name, fd, give);
}

/* Where a stream goes: to a file as it is, or a way of its own. */
static int
find_logfile(struct process *process, enum line_stream stream,
	struct output **ret_output, struct logfile **ret_file)
{
	const struct app_config *config =
		process->version ? process->version->config : NULL;
	struct archive_rules rules;
	char path[CONFIG_PATH_SIZE + 16];
	struct logfile *file;
	int r;

	*ret_output = process->fleet->output;
	*ret_file = NULL;
	if (!config || !config_log_path(config, stream == LINE_STDERR,
			       process->state.instance, path, sizeof(path)))
		return 0;
	r = logfile_get(process->fleet->logfiles, path, &file);
	if (r < 0)
		return r;
	rules = (struct archive_rules){
		.size = (uint64_t)config->log_rotate.size,
		.keep = (uint32_t)config->log_rotate.keep,
		.compress = config->log_rotate.compress};
	logfile_rotate_at(file, &rules);
	if (formats_is_for(config))
		return formats_get(
			process->fleet, config, path, file, ret_output);
	*ret_file = file;
	return 0;
}

/* Reads an output pipe from now on. Takes `fd` over. */
static int
read_pipe(struct process *process, int fd, enum line_stream stream, bool is_new,
	struct output_pipe **ret_pipe)
{
	struct output_source source = {
		.origin =
			{
				.app = process->version
					       ? process->version->config->name
					       : "(gone)",
				.instance = process->state.instance,
				.pid = process->state.pid,
				.stream = stream,
			},
		.slot = 2 * process->row + (stream == LINE_STDERR),
		.is_new = is_new,
	};
	struct output *output;
	int r = find_logfile(process, stream, &output, &source.file);

	if (r < 0) {
		sys_close(fd);
		return r;
	}
	return output_pipe_new(
		output, fd, &source, remains_pipe_ended, process, ret_pipe);
}

static int
make_pipe(struct process *process, const char *name, const char *worker_name,
	enum line_stream stream, struct output_pipe **ret_pipe)
{
	int fds[2];
	int r = sys_pipe(fds, 0);

	if (r < 0)
		return r;
	r = put(process, name, fds[0], false);
	if (r < 0) {
		sys_close(fds[1]);
		sys_close(fds[0]);
		return r;
	}
	r = put(process, worker_name, fds[1], true);
	if (r < 0) {
		sys_close(fds[0]);
		return r;
	}
	/* The record with fds[0] has not left yet: it must stay open, which it
	 * does for as long as the output reads it. */
	return read_pipe(process, fds[0], stream, true, ret_pipe);
}

/* A pair whose first end is ours or the keeper's; both don't block. */
static int
make_pair(int type, int ret_fds[2])
{
	int size = MUSTER_SOCKET_BUFFER;
	int r = sys_socketpair(type | SOCK_NONBLOCK, ret_fds);

	/* The exchange asks the same for our end. What is granted is enough;
	 * what isn't, costs speed only. */
	if (r >= 0 && type == SOCK_STREAM)
		(void)sys_setsockopt(
			ret_fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return r;
}

static json_t *
make_welcome(const struct process *process)
{
	const struct app_config *config = process->version->config;
	json_t *listeners = json_array();
	int fd = WORKER_FIRST_LISTENER;

	for (size_t i = 0; i < config->listen.count; i++) {
		const struct listen_config *entry = &config->listen.entries[i];
		const struct app_listener *listener =
			app_find_listener(process->slot->app, entry->address);

		if (handover_is_for(entry))
			continue;
		json_array_append_new(
			listeners, json_pack("{s:i,s:s,s:s}", "fd", fd++,
					   "name", entry->name, "address",
					   listener ? listener->text : ""));
	}
	return json_pack("{s:s,s:i,s:I,s:s,s:I,s:I,s:I,s:o}", "event",
		"welcome", "protocol", MUSTER_PROTOCOL_VERSION, "id",
		(json_int_t)process->slot->state.id, "app", config->name,
		"instance", (json_int_t)process->slot->state.instance,
		"generation", (json_int_t)process->state.generation,
		"max_message", (json_int_t)config->max_message, "listeners",
		listeners);
}

/* Serves the channel whose end `fd` is, from its first frame on. */
static int
serve_channel(struct process *process, int fd)
{
	json_t *welcome = make_welcome(process);
	int r;

	if (!welcome) {
		sys_close(fd);
		return -ENOMEM;
	}
	r = peer_new_worker(process->slot->endpoint, process->state.number,
		process->state.generation, welcome, fd, &channel_hooks, process,
		&process->peer);
	json_decref(welcome);
	return r;
}

/* The pipe of `notify_fd`. */
static int
make_notify_pipe(struct process *process)
{
	int fds[2];
	int r;

	if (process->version->config->notify_fd == CONFIG_UNSET)
		return 0;
	r = sys_pipe(fds, O_NONBLOCK);
	if (r < 0)
		return r;
	(void)sys_fcntl(fds[1], F_SETFL, 0);
	r = put(process, STATE_NOTIFY_WORKER, fds[1], true);
	if (r >= 0)
		r = put(process, STATE_NOTIFY_PIPE, fds[0], false);
	if (r < 0) {
		sys_close(fds[0]);
		return r;
	}
	notify_pipe_open(process, fds[0]);
	return 0;
}

static int
make_channel(struct process *process)
{
	int fds[2];
	int r = make_pair(SOCK_STREAM, fds);

	if (r < 0)
		return r;
	r = put(process, STATE_CHANNEL_WORKER, fds[1], true);
	if (r < 0) {
		sys_close(fds[0]);
		return r;
	}
	/* Nobody speaks on it before there is a normal brain. */
	if (process->fleet->setup.is_safe)
		return put(process, STATE_PARKED, fds[0], true);
	return serve_channel(process, fds[0]);
}

static int
make_resume_pair(struct process *process)
{
	int fds[2];
	int r = make_pair(SOCK_SEQPACKET, fds);

	if (r < 0)
		return r;
	r = put(process, STATE_RESUME, fds[0], true);
	if (r < 0) {
		sys_close(fds[1]);
		return r;
	}
	return put(process, STATE_RESUME_WORKER, fds[1], true);
}

static void
drop(struct process *process, const char *start)
{
	char name[KEEPER_NAME_SIZE];

	state_name(name, start, process->state.number);
	keeper_client_drop(process->fleet->setup.keeper, name);
}

void
launch_drop_worker_ends(struct process *process)
{
	drop(process, STATE_OUT_WORKER);
	drop(process, STATE_ERR_WORKER);
	drop(process, STATE_CHANNEL_WORKER);
	drop(process, STATE_RESUME_WORKER);
	if (process->version &&
		process->version->config->notify_fd != CONFIG_UNSET)
		drop(process, STATE_NOTIFY_WORKER);
}

void
launch_drop_resume(struct process *process)
{
	drop(process, STATE_RESUME);
	drop(process, STATE_PARKED);
}

int
launch_process(struct process *process)
{
	struct keeper_client *keeper = process->fleet->setup.keeper;
	int description = describe(process);
	int r = description;

	if (r < 0)
		return r;
	r = make_pipe(process, STATE_OUT, STATE_OUT_WORKER, LINE_STDOUT,
		&process->out);
	if (r >= 0)
		r = make_pipe(process, STATE_ERR, STATE_ERR_WORKER, LINE_STDERR,
			&process->err);
	if (r >= 0)
		r = make_resume_pair(process);
	if (r >= 0)
		r = make_notify_pipe(process);
	if (r >= 0)
		r = make_channel(process);
	if (r >= 0) {
		r = keeper_client_spawn(
			keeper, process->state.number, description);
		description = -1;
	}
	if (r >= 0)
		return 0;
	/* What waits to be sent must leave before its descriptors close. */
	(void)keeper_client_flush(keeper);
	if (description >= 0)
		sys_close(description);
	launch_drop_worker_ends(process);
	launch_drop_resume(process);
	notify_pipe_close(process);
	drop(process, STATE_OUT);
	drop(process, STATE_ERR);
	output_pipe_discard(&process->out);
	output_pipe_discard(&process->err);
	peer_retire(&process->peer);
	return r;
}

/* After the death of a brain ----------------------------------------------- */

static int
claim(struct process *process, const char *start)
{
	char name[KEEPER_NAME_SIZE];

	state_name(name, start, process->state.number);
	return keeper_client_claim(process->fleet->setup.keeper, name);
}

/*
 * A new channel, whose other end goes to the worker by its resume socket. Our
 * end, or -ENOENT: it has none; or why there is none.
 */
static int
renew_channel(struct process *process)
{
	char name[KEEPER_NAME_SIZE];
	int fds[2];
	int r;

	if (!exchange_wants_channel(
		    process->fleet->setup.exchange, process->state.number))
		return -ENOENT;
	r = make_pair(SOCK_STREAM, fds);
	if (r < 0) {
		log_error("%s.%u: no new channel: %s",
			app_name(process->slot->app),
			process->slot->state.instance, strerror(-r));
		return r;
	}
	state_name(name, STATE_RESUME, process->state.number);
	r = keeper_client_pass(process->fleet->setup.keeper, name, fds[1]);
	if (r < 0) {
		sys_close(fds[0]);
		return r;
	}
	return fds[0];
}

static int
take_channel_over(struct process *process)
{
	json_t *welcome = make_welcome(process);
	int fd, r;

	if (!welcome)
		return -ENOMEM;
	fd = renew_channel(process);
	if (fd == -ENOMEM || fd == -EMFILE || fd == -ENFILE) {
		json_decref(welcome);
		return fd;
	}
	r = peer_resume(process->slot->endpoint, process->state.number, welcome,
		fd < 0 ? -1 : fd, &channel_hooks, process, &process->peer);
	json_decref(welcome);
	if (r < 0)
		log_warn("%s.%u (pid %d) goes on without a channel: %s",
			app_name(process->slot->app),
			process->slot->state.instance, process->state.pid,
			strerror(-r));
	return r == -ENOMEM ? r : 0;
}

int
launch_take_over(struct process *process, bool is_alive)
{
	int out = claim(process, STATE_OUT);
	int err = claim(process, STATE_ERR);
	int notify = claim(process, STATE_NOTIFY_PIPE);
	int parked;

	if (out >= 0)
		(void)read_pipe(
			process, out, LINE_STDOUT, false, &process->out);
	if (err >= 0)
		(void)read_pipe(
			process, err, LINE_STDERR, false, &process->err);
	if (notify >= 0)
		notify_pipe_open(process, notify);
	if (!is_alive || process->fleet->setup.is_safe)
		return 0;
	parked = claim(process, STATE_PARKED);
	if (parked < 0)
		return take_channel_over(process);
	/* It was started in safe mode, and waits for its welcome. */
	drop(process, STATE_PARKED);
	if (serve_channel(process, parked) < 0)
		log_warn("%s.%u (pid %d) goes on without a channel",
			app_name(process->slot->app),
			process->slot->state.instance, process->state.pid);
	return 0;
}
