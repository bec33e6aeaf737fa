/*
 * What the brain asks of the keeper, what the keeper tells, and what it handed
 * back at the start.
 *
 * How records travel is fleet/pair's business; what they mean for applications
 * and processes is that of who listens (fleet/keeper_events).
 *
 * Records that arrive while the start still waits for its answers (an exit, a
 * signal) are kept and told first when somebody listens.
 */
#include "fleet/keeper_client.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/sys.h"
#include "fleet/pair.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	START_MS = 10000,
	TURN_MAX = 256, /* records read in one turn of the loop */
	BATCH_MAX = 32, /* records sent by one call */
	EARLY_MAX = 2 * KEEPER_PROCESSES_MAX + 1024,
};

struct entry {
	char name[KEEPER_NAME_SIZE];
	int fd; /* -1: claimed */
};

struct keeper_client {
	struct ev_loop *loop;
	struct pair pair;
	bool is_lost;
	struct keeper_record hello;
	ev_io readable;
	const struct keeper_hooks *hooks;
	void *data;

	struct entry *vault;
	size_t vault_count;
	struct keeper_process *processes;
	size_t process_count;
	struct pair_arrival *early;
	size_t early_count;
};

/* In --------------------------------------------------------------------- */

static void
end_name(struct keeper_record *record)
{
	record->name[KEEPER_NAME_SIZE - 1] = '\0';
}

/* Tells what a record says; what nobody wants is closed. */
static void
tell(struct keeper_client *client, struct pair_arrival *arrival)
{
	const struct keeper_hooks *hooks = client->hooks;
	struct keeper_record *record = &arrival->record;

	switch (record->kind) {
	case KEEPER_SPAWNED:
		hooks->spawned(record->process, record->row.pid, arrival->fd,
			client->data);
		return; /* the descriptor is the hook's */
	case KEEPER_EXECED:
		hooks->execed(record->process, client->data);
		break;
	case KEEPER_FAILED:
		hooks->failed(record->process, record->failure.stage,
			record->failure.error, client->data);
		break;
	case KEEPER_EXITED:
		hooks->exited(record->process, &record->row, client->data);
		break;
	case KEEPER_SIGNALLED:
		hooks->signalled(record->signal, client->data);
		break;
	case KEEPER_PASS:
		end_name(record);
		hooks->passed(record->name, record->result, client->data);
		break;
	case KEEPER_PUT:
		end_name(record);
		hooks->put_failed(record->name, record->result, client->data);
		break;
	case KEEPER_RENEW:
		hooks->renewed(record->result, client->data);
		break;
	case KEEPER_ORPHANS:
		log_debug("the keeper reaped %d orphans", record->result);
		break;
	case KEEPER_UNSUPPORTED:
		if (record->result == KEEPER_RENEW) {
			hooks->renewed(-EOPNOTSUPP, client->data);
			break;
		}
		log_bug("the keeper doesn't know records of kind %d",
			record->result);
		break;
	default:
		log_debug("a record of kind %u from the keeper is not known",
			record->kind);
	}
	if (arrival->fd >= 0)
		sys_close(arrival->fd);
}

static void
lose(struct keeper_client *client)
{
	if (client->is_lost)
		return;
	client->is_lost = true;
	ev_io_stop(client->loop, &client->readable);
	pair_close(&client->pair);
	if (client->hooks)
		client->hooks->lost(client->data);
}

static void
on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
	struct keeper_client *client = watcher->data;
	struct pair_arrival arrival;

	(void)loop;
	(void)events;
	for (size_t i = 0; i < client->early_count; i++)
		tell(client, &client->early[i]);
	free(client->early);
	client->early = NULL;
	client->early_count = 0;
	for (int i = 0; i < TURN_MAX; i++) {
		int r = pair_receive(&client->pair, &arrival);

		if (r == -EAGAIN)
			return;
		if (r == -ECONNRESET) {
			lose(client);
			return;
		}
		if (r == 0)
			tell(client, &arrival);
	}
}

int
keeper_client_flush(struct keeper_client *client)
{
	return pair_flush(&client->pair);
}

static int
set_name(struct keeper_record *record, const char *name)
{
	size_t size = strlen(name);

	if (size >= KEEPER_NAME_SIZE)
		return -ENAMETOOLONG;
	memcpy(record->name, name, size + 1);
	return 0;
}

int
keeper_client_put(
	struct keeper_client *client, const char *name, int fd, bool give)
{
	struct keeper_record record = {.kind = KEEPER_PUT};
	int r = set_name(&record, name);

	if (r >= 0)
		r = pair_send(&client->pair, &record, fd, give, false);
	if (r < 0 && give)
		sys_close(fd);
	return r;
}

int
keeper_client_spawn(
	struct keeper_client *client, uint64_t process, int description)
{
	struct keeper_record record = {
		.kind = KEEPER_SPAWN, .process = process};
	int r = pair_send(&client->pair, &record, description, true, false);

	if (r < 0)
		sys_close(description);
	return r;
}

int
keeper_client_pass(struct keeper_client *client, const char *name, int fd)
{
	struct keeper_record record = {.kind = KEEPER_PASS};
	int r = set_name(&record, name);

	if (r >= 0)
		r = pair_send(&client->pair, &record, fd, true, false);
	if (r < 0)
		sys_close(fd);
	return r;
}

int
keeper_client_renew(struct keeper_client *client, int program)
{
	struct keeper_record record = {.kind = KEEPER_RENEW};
	int r = pair_send(&client->pair, &record, program, true, false);

	if (r < 0)
		sys_close(program);
	return r;
}

void
keeper_client_drop(struct keeper_client *client, const char *name)
{
	struct keeper_record record = {.kind = KEEPER_DROP};

	if (set_name(&record, name) == 0)
		pair_tidy(&client->pair, &record);
}

void
keeper_client_signal(struct keeper_client *client, uint64_t process, int signal,
	bool whole_group)
{
	struct keeper_record record = {
		.kind = KEEPER_SIGNAL, .process = process};

	record.signal = signal;
	record.whole_group = whole_group;
	(void)pair_send(&client->pair, &record, -1, false, true);
}

void
keeper_client_ack_exit(struct keeper_client *client, uint64_t process)
{
	struct keeper_record record = {
		.kind = KEEPER_ACK_EXIT, .process = process};

	pair_tidy(&client->pair, &record);
}

void
keeper_client_took(struct keeper_client *client, int signal)
{
	struct keeper_record record = {.kind = KEEPER_TOOK};

	record.signal = signal;
	(void)pair_send(&client->pair, &record, -1, false, true);
}

void
keeper_client_up(struct keeper_client *client)
{
	struct keeper_record record = {.kind = KEEPER_UP};

	(void)pair_send(&client->pair, &record, -1, false, true);
}

/* The start -------------------------------------------------------------- */

void
keeper_client_end(struct keeper_client *client, int code)
{
	struct keeper_record record = {.kind = KEEPER_END, .result = code};
	struct instant deadline = clock_after_ms(clock_now(), START_MS);

	(void)pair_send(&client->pair, &record, -1, false, true);
	while (keeper_client_flush(client) == -EAGAIN)
		if (pair_wait(&client->pair, POLLOUT, deadline) < 0)
			return;
}

static int
keep_given(struct keeper_client *client, struct pair_arrival *arrival)
{
	struct entry *vault =
		pair_grow(client->vault, client->vault_count, sizeof(*vault));

	if (!vault)
		return -ENOMEM;
	client->vault = vault;
	end_name(&arrival->record);
	memcpy(vault[client->vault_count].name, arrival->record.name,
		KEEPER_NAME_SIZE);
	vault[client->vault_count++].fd = arrival->fd;
	return 0;
}

static int
keep_process(struct keeper_client *client, struct pair_arrival *arrival)
{
	struct keeper_process *list = pair_grow(
		client->processes, client->process_count, sizeof(*list));

	if (!list)
		return -ENOMEM;
	client->processes = list;
	list[client->process_count++] = (struct keeper_process){
		arrival->record.process, arrival->record.row, arrival->fd};
	return 0;
}

static int
keep_early(struct keeper_client *client, struct pair_arrival *arrival)
{
	struct pair_arrival *early;

	if (client->early_count >= EARLY_MAX)
		return -EPROTO;
	early = pair_grow(client->early, client->early_count, sizeof(*early));
	if (!early)
		return -ENOMEM;
	client->early = early;
	early[client->early_count++] = *arrival;
	return 0;
}

/*
 * Takes in one record of the start. Returns 1 when it ends the answer to
 * `asked`, 0 when more follows.
 */
static int
take_in(struct keeper_client *client, uint32_t asked,
	struct pair_arrival *arrival)
{
	struct keeper_record *record = &arrival->record;
	int r;

	if (record->kind == KEEPER_HELLO) {
		if (record->hello.version != KEEPER_VERSION)
			return -EPROTO;
		client->hello = *record;
		return asked == KEEPER_HELLO;
	}
	if (asked == KEEPER_HELLO)
		return -EPROTO; /* it is the first record each way */
	if (record->kind == KEEPER_GIVEN && !record->name[0])
		return asked == KEEPER_TAKE;
	if (record->kind == KEEPER_PROCESS && !record->process)
		return asked == KEEPER_LIST;
	if (record->kind == KEEPER_GIVEN)
		r = arrival->fd < 0 ? 0 : keep_given(client, arrival);
	else if (record->kind == KEEPER_PROCESS)
		r = keep_process(client, arrival);
	else
		r = keep_early(client, arrival);
	if (r < 0 && arrival->fd >= 0)
		sys_close(arrival->fd);
	return r;
}

/* Asks one thing and takes in what comes, until it is answered. */
static int
ask(struct keeper_client *client, uint32_t kind, struct instant deadline)
{
	struct keeper_record record = {.kind = kind};
	struct pair_arrival arrival;
	int r;

	if (kind == KEEPER_HELLO) {
		record.hello.version = KEEPER_VERSION;
		record.hello.pid = getpid();
	}
	r = pair_send(&client->pair, &record, -1, false, true);
	while (r >= 0 && (r = keeper_client_flush(client)) == -EAGAIN)
		r = pair_wait(&client->pair, POLLOUT, deadline);
	while (r == 0) {
		r = pair_receive(&client->pair, &arrival);
		if (r == 0)
			r = take_in(client, kind, &arrival);
		else if (r == -EAGAIN)
			r = pair_wait(&client->pair, POLLIN, deadline);
		else if (r == -EBADMSG)
			r = 0;
	}
	return r < 0 ? r : 0;
}

static int
compare_entries(const void *a, const void *b)
{
	const struct entry *one = a, *other = b;

	return strcmp(one->name, other->name);
}

int
keeper_client_new(
	struct ev_loop *loop, int fd, struct keeper_client **ret_client)
{
	struct keeper_client *client = calloc(1, sizeof(*client));
	struct instant deadline = clock_after_ms(clock_now(), START_MS);
	int r;

	if (!client) {
		sys_close(fd);
		return -ENOMEM;
	}
	client->loop = loop;
	pair_init(&client->pair, loop, fd);
	ev_io_init(&client->readable, on_readable, fd, EV_READ);
	/* Exits are seen last in a turn: see the head of the header. */
	ev_set_priority(&client->readable, EV_MINPRI);
	client->readable.data = client;
	r = sys_fcntl(fd, F_SETFL, O_NONBLOCK);
	if (r >= 0)
		r = sys_fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (r >= 0)
		r = ask(client, KEEPER_HELLO, deadline);
	if (r >= 0)
		r = ask(client, KEEPER_TAKE, deadline);
	if (client->vault_count)
		qsort(client->vault, client->vault_count,
			sizeof(*client->vault), compare_entries);
	if (r >= 0)
		r = ask(client, KEEPER_LIST, deadline);
	if (r < 0) {
		keeper_client_free(&client);
		return r;
	}
	pair_start(&client->pair);
	*ret_client = client;
	return 0;
}

/* The table again, as it is by now; answered behind all that was asked. */
static int
list_again(struct keeper_client *client)
{
	for (size_t i = 0; i < client->process_count; i++)
		if (client->processes[i].pidfd >= 0)
			sys_close(client->processes[i].pidfd);
	client->process_count = 0;
	return ask(client, KEEPER_LIST, clock_after_ms(clock_now(), START_MS));
}

int
keeper_client_clear(struct keeper_client *client)
{
	static const char *const keepers[] = {KEEPER_VAULT_LEDGER,
		KEEPER_VAULT_EXCHANGE, KEEPER_VAULT_CONTROL, KEEPER_VAULT_LOCK};
	size_t kept = 0, before = client->vault_count;

	for (size_t i = 0; i < before; i++) {
		struct entry *entry = &client->vault[i];
		bool is_keepers = false;

		for (size_t k = 0; k < sizeof(keepers) / sizeof(*keepers); k++)
			is_keepers |= !strcmp(entry->name, keepers[k]);
		is_keepers |= !strncmp(entry->name, KEEPER_VAULT_GIVEN,
			sizeof(KEEPER_VAULT_GIVEN) - 1);
		if (is_keepers) {
			client->vault[kept++] = *entry;
			continue;
		}
		keeper_client_drop(client, entry->name);
		if (entry->fd >= 0)
			sys_close(entry->fd);
	}
	client->vault_count = kept;
	if (kept == before)
		return 0;
	/* What was asked goes in order, so the drops before the question. */
	(void)keeper_client_flush(client);
	return list_again(client);
}

void
keeper_client_free(struct keeper_client **client)
{
	struct keeper_client *at = *client;

	if (!at)
		return;
	ev_io_stop(at->loop, &at->readable);
	keeper_client_settle(at);
	for (size_t i = 0; i < at->early_count; i++)
		if (at->early[i].fd >= 0)
			sys_close(at->early[i].fd);
	pair_fini(&at->pair);
	free(at->early);
	free(at);
	*client = NULL;
}

void
keeper_client_listen(struct keeper_client *client,
	const struct keeper_hooks *hooks, void *data)
{
	client->hooks = hooks;
	client->data = data;
	ev_io_start(client->loop, &client->readable);
	if (client->early_count)
		ev_feed_event(client->loop, &client->readable, EV_READ);
}

const struct keeper_record *
keeper_client_hello(const struct keeper_client *client)
{
	return &client->hello;
}

int
keeper_client_claim(struct keeper_client *client, const char *name)
{
	struct entry wanted = {.fd = -1}, *found = NULL;
	int fd;

	if (strlen(name) >= KEEPER_NAME_SIZE)
		return -ENOENT;
	strcpy(wanted.name, name);
	if (client->vault_count)
		found = bsearch(&wanted, client->vault, client->vault_count,
			sizeof(wanted), compare_entries);
	if (!found || found->fd < 0)
		return -ENOENT;
	fd = found->fd;
	found->fd = -1;
	return fd;
}

int
keeper_client_keep(struct keeper_client *client, const char *name, int fd)
{
	struct entry *vault;
	size_t at = client->vault_count;
	int r = keeper_client_put(client, name, fd, false);

	if (r < 0) {
		sys_close(fd);
		return r;
	}
	/* What was put has to leave before its descriptor is closed. */
	(void)keeper_client_flush(client);
	vault = pair_grow(client->vault, client->vault_count, sizeof(*vault));
	if (!vault) {
		sys_close(fd);
		return -ENOMEM;
	}
	client->vault = vault;
	while (at && strcmp(vault[at - 1].name, name) > 0) {
		vault[at] = vault[at - 1];
		at--;
	}
	strcpy(vault[at].name, name);
	vault[at].fd = fd;
	client->vault_count++;
	return 0;
}

const char *
keeper_client_unclaimed(const struct keeper_client *client, size_t *at)
{
	while (*at < client->vault_count) {
		const struct entry *entry = &client->vault[(*at)++];

		if (entry->fd >= 0)
			return entry->name;
	}
	return NULL;
}

void
keeper_client_settle(struct keeper_client *client)
{
	for (size_t i = 0; i < client->vault_count; i++)
		if (client->vault[i].fd >= 0)
			sys_close(client->vault[i].fd);
	for (size_t i = 0; i < client->process_count; i++)
		if (client->processes[i].pidfd >= 0)
			sys_close(client->processes[i].pidfd);
	free(client->vault);
	free(client->processes);
	client->vault = NULL;
	client->processes = NULL;
	client->vault_count = client->process_count = 0;
}

struct keeper_process *
keeper_client_processes(struct keeper_client *client, size_t *ret_count)
{
	*ret_count = client->process_count;
	return client->processes;
}
