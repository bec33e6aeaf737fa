/*
 * crash_walk.c: keeper, fleet and workers of the crash walk. A worker does what
 * the protocol's page asks of one that takes part in resuming, as simply as can
 * be: it keeps what isn't acknowledged, reads a dead channel to its end, says
 * on the next what it has, and sends again what the other side lacks.
 */
#include "crash_walk.h"

#include "base/clock.h"
#include "protocol/frame.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void walk_recover(struct walk *walk);

static void
walk_blame(struct walk *walk, const char *text, uint32_t a, uint32_t b)
{
	if (walk->fault[0] == '\0')
		(void)snprintf(walk->fault, sizeof walk->fault, "%s (%u, %u)",
			text, a, b);
}

/* Writing ----------------------------------------------------------------- */

static struct walk_frame *
worker_add(
	struct walk_worker *worker, const uint8_t *bytes, size_t size, int fd)
{
	struct walk_frame *frame = &worker->unacked[worker->unacked_count++];

	cr_assert_leq(worker->unacked_count, WALK_FRAMES);
	*frame = (struct walk_frame){.sequence = ++worker->sent,
		.bytes = malloc(size),
		.size = size,
		.fd = fd};
	memcpy(frame->bytes, bytes, size);
	frame_stamp_sequence(frame->bytes, frame->sequence);
	return frame;
}

static ssize_t
worker_write(
	struct walk_worker *worker, const uint8_t *bytes, size_t size, int fd)
{
	struct iovec iov = {(void *)(uintptr_t)bytes, size};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	_Alignas(struct cmsghdr) char room[CMSG_SPACE(sizeof(int))];
	struct cmsghdr *c;

	if (fd >= 0) {
		message.msg_control = room;
		message.msg_controllen = sizeof room;
		c = CMSG_FIRSTHDR(&message);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	return sendmsg(worker->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Writes what the socket takes. Returns whether anything was. */
static bool
worker_push(struct walk_worker *worker)
{
	bool pushed = false;

	while (worker->fd >= 0) {
		struct walk_frame *frame = &worker->unacked[worker->out];
		ssize_t n;

		if (worker->out_done == 0 && worker->numberless != NULL) {
			n = worker_write(worker, worker->numberless,
				worker->numberless_size, -1);
			if (n < 0)
				break;
			free(worker->numberless);
			worker->numberless = NULL;
			pushed = true;
			continue;
		}
		if (!worker->is_attached ||
			worker->out == worker->unacked_count)
			break;
		n = worker_write(worker, frame->bytes + worker->out_done,
			frame->size - worker->out_done,
			worker->out_done == 0 ? frame->fd : -1);
		if (n < 0)
			break;
		pushed = true;
		worker->out_done += (size_t)n;
		if (worker->out_done == frame->size) {
			worker->out++;
			worker->out_done = 0;
		}
	}
	return pushed;
}

/* What has no number overtakes its like: only the newest is said. */
static void
worker_say_numberless(
	struct walk_worker *worker, int kind, uint64_t id, const char *body)
{
	struct frame_header header = {.kind = (uint8_t)kind,
		.id = id,
		.size = (uint32_t)strlen(body)};

	free(worker->numberless);
	worker->numberless_size = MUSTER_HEADER_SIZE + header.size;
	worker->numberless = malloc(worker->numberless_size);
	frame_store(worker->numberless, &header);
	memcpy(worker->numberless + MUSTER_HEADER_SIZE, body, header.size);
}

/* The supervisor has taken in everything up to `sequence`. */
static void
worker_drop(struct walk *walk, struct walk_worker *worker, uint32_t sequence)
{
	uint32_t first = worker->sent - worker->unacked_count;
	uint32_t count = sequence - first;

	if (sequence < first || sequence > worker->sent) {
		walk_blame(walk, "a frame that was acknowledged is not there",
			sequence, first);
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		free(worker->unacked[i].bytes);
		if (worker->unacked[i].fd >= 0)
			(void)close(worker->unacked[i].fd);
	}
	worker->unacked_count -= count;
	memmove(worker->unacked, worker->unacked + count,
		worker->unacked_count * sizeof *worker->unacked);
	worker->out = worker->out > count ? worker->out - count : 0;
}

/* Reading ----------------------------------------------------------------- */

static uint32_t
number_after(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at == NULL ? 0 : (uint32_t)strtoul(at + strlen(key), NULL, 10);
}

static void
worker_resumed(struct walk *walk, struct walk_worker *worker,
	const struct frame_header *header, const char *body)
{
	if (header->kind != MUSTER_REPLY) {
		walk_blame(walk, "a resume was denied", worker->slot,
			worker->received);
		return;
	}
	worker_drop(walk, worker, number_after(body, "\"received\":"));
	worker->out = 0;
	worker->out_done = 0;
	worker->is_attached = true;
}

static void
worker_from_zero(struct walk *walk, struct walk_worker *worker,
	const struct frame_header *header, const char *body)
{
	struct walk_fate *fate;

	if (header->id == WALK_RESUME_ID) {
		worker_resumed(walk, worker, header, body);
		return;
	}
	if (header->kind == MUSTER_MESSAGE) {
		if (strstr(body, "\"ack\"") != NULL)
			worker_drop(walk, worker,
				number_after(body, "\"sequence\":"));
		else if (strstr(body, "\"welcome\"") != NULL)
			worker->is_attached = true;
		else if (strstr(body, "\"ready\"") != NULL)
			worker->ready_events++;
		else if (strstr(body, "\"gone\"") != NULL)
			worker->gone_events++;
		return;
	}
	if (header->id >= WALK_FRAMES) {
		walk_blame(walk, "an answer to nothing", worker->slot,
			(uint32_t)header->id);
		return;
	}
	fate = &walk->fates[header->id];
	if (header->kind == MUSTER_REPLY) {
		fate->answered++;
		return;
	}
	fate->failed++;
	(void)sscanf(body, "{\"code\":\"%23[^\"]", fate->code);
}

static void
worker_answer(struct walk_worker *worker, const struct frame_header *asked)
{
	struct frame_header header = {.kind = MUSTER_REPLY,
		.to = asked->from,
		.id = asked->id,
		.size = 1};
	uint8_t bytes[MUSTER_HEADER_SIZE + 1];

	frame_store(bytes, &header);
	bytes[MUSTER_HEADER_SIZE] = '1';
	(void)worker_add(worker, bytes, sizeof bytes, -1);
}

static void
worker_take_in(struct walk *walk, struct walk_worker *worker,
	const struct frame_header *header, const char *body)
{
	uint32_t number, process, *newest;
	struct walk_fate *fate;

	if (header->from == 0) {
		worker_from_zero(walk, worker, header, body);
		return;
	}
	if (header->kind == MUSTER_REPLY) {
		walk->fates[header->id % WALK_FRAMES].answered++;
		return;
	}
	if (sscanf(body, "\"%u %u", &number, &process) != 2 ||
		number >= WALK_FRAMES || process >= 32) {
		walk_blame(walk, "a body that nobody sent", worker->slot, 0);
		return;
	}
	fate = &walk->fates[number];
	if (++fate->delivered[worker->slot] > 1)
		walk_blame(walk, "a frame came twice", number, worker->slot);
	newest = &walk->newest[process][worker->slot];
	if (strstr(body, "any") == NULL) {
		if (number < *newest)
			walk_blame(walk, "a frame came after its successor",
				number, *newest);
		*newest = number;
	}
	if (header->flags & MUSTER_FLAG_FD) {
		if (worker->fd_count == 0)
			walk_blame(walk, "a descriptor is missing", number, 0);
		else
			(void)close(worker->fds[--worker->fd_count]);
	}
	if (header->kind == MUSTER_REQUEST && worker->answers)
		worker_answer(worker, header);
}

static bool
worker_fill(struct walk_worker *worker)
{
	struct iovec iov = {
		worker->in + worker->in_size, WALK_ROOM - worker->in_size};
	_Alignas(struct cmsghdr) char room[CMSG_SPACE(16 * sizeof(int))];
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = room,
		.msg_controllen = sizeof room};
	ssize_t n = worker->fd < 0 ? -1
				   : recvmsg(worker->fd, &message,
					     MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n <= 0)
		return false;
	worker->in_size += (size_t)n;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL;
		c = CMSG_NXTHDR(&message, c))
		memcpy(&worker->fds[worker->fd_count++], CMSG_DATA(c),
			sizeof(int));
	return true;
}

/* Takes the whole frames that are there. */
static void
worker_take(struct walk *walk, struct walk_worker *worker)
{
	static char body[128];
	size_t at = 0;
	uint32_t before = worker->received;

	while (worker->in_size - at >= MUSTER_HEADER_SIZE) {
		struct frame_header header;
		size_t size, some;

		frame_load(worker->in + at, &header);
		size = MUSTER_HEADER_SIZE + (size_t)header.size;
		if (size > worker->in_size - at)
			break;
		some = header.size - header.name_size;
		if (some > sizeof body - 1)
			some = sizeof body - 1;
		memcpy(body,
			worker->in + at + MUSTER_HEADER_SIZE + header.name_size,
			some);
		body[some] = '\0';
		at += size;
		if (header.sequence != 0 &&
			header.sequence != ++worker->received)
			walk_blame(walk, "a gap in the numbers",
				header.sequence, worker->received);
		worker_take_in(walk, worker, &header, body);
	}
	memmove(worker->in, worker->in + at, worker->in_size - at);
	worker->in_size -= at;
	if (worker->received != before && worker->acknowledges &&
		worker->is_attached) {
		(void)snprintf(body, sizeof body,
			"{\"event\":\"ack\",\"sequence\":%u}",
			worker->received);
		worker_say_numberless(worker, MUSTER_MESSAGE, 0, body);
	}
}

static bool
worker_pull(struct walk *walk, struct walk_worker *worker)
{
	bool pulled = false;

	if (!worker->reads)
		return false;
	while (worker_fill(worker)) {
		worker_take(walk, worker);
		pulled = true;
	}
	return pulled;
}

/* Its process is gone: of its frames only the ledger knows. */
static void
worker_end(struct walk_worker *worker)
{
	for (uint32_t i = 0; i < worker->unacked_count; i++) {
		free(worker->unacked[i].bytes);
		if (worker->unacked[i].fd >= 0)
			(void)close(worker->unacked[i].fd);
	}
	free(worker->numberless);
	while (worker->fd_count > 0)
		(void)close(worker->fds[--worker->fd_count]);
	worker->numberless = NULL;
	worker->unacked_count = worker->out = 0;
	worker->out_done = worker->in_size = 0;
	worker->sent = worker->received = 0;
	worker->is_attached = false;
	if (worker->fd >= 0)
		(void)close(worker->fd);
	worker->fd = -1;
	worker->process = 0;
}

static void
worker_new_socket(struct walk_worker *worker)
{
	int pair[2];

	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0, pair),
		0);
	worker->fd = pair[0];
	worker->brain_fd = pair[1];
}

/* The brain --------------------------------------------------------------- */

/* Asks the brain. Returns false: it died. */
static bool
walk_ask(struct walk *walk, char what, uint32_t value, uint32_t *ret_answer)
{
	uint32_t words[2] = {(uint32_t)what, value};

	if (send(walk->control, words, sizeof words, MSG_NOSIGNAL) < 0)
		return false;
	if (what == 'S') {
		struct walk_worker stand_in = {.fd = walk->control};

		(void)worker_write(&stand_in, (const uint8_t *)"", 1,
			walk->workers[value].brain_fd);
	}
	return recv(walk->control, ret_answer, sizeof *ret_answer, 0) ==
	       (ssize_t)sizeof *ret_answer;
}

static void
walk_reap(struct walk *walk)
{
	int status = 0;

	cr_assert_eq(waitpid(walk->brain, &status, 0), walk->brain);
	(void)close(walk->control);
	walk->control = -1;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 9)
		walk_blame(walk, "the brain ended otherwise", (uint32_t)status,
			walk->deaths);
	walk->deaths++;
}

/* Starts a brain over what is there. Returns false: it died of that. */
static bool
walk_fork(struct walk *walk, uint32_t *ret_news)
{
	int pair[2];

	cr_assert_eq(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	for (int slot = 1; slot <= WALK_WORKERS; slot++)
		if (walk->workers[slot].process != 0)
			worker_new_socket(&walk->workers[slot]);
	walk->brain = fork();
	cr_assert_geq(walk->brain, 0);
	if (walk->brain == 0) {
		for (int slot = 1; slot <= WALK_WORKERS; slot++)
			if (walk->workers[slot].fd >= 0)
				(void)close(walk->workers[slot].fd);
		(void)close(pair[0]);
		walk_brain(walk, pair[1], walk->kills[walk->deaths]);
	}
	for (int slot = 1; slot <= WALK_WORKERS; slot++)
		if (walk->workers[slot].process != 0)
			(void)close(walk->workers[slot].brain_fd);
	(void)close(pair[1]);
	walk->control = pair[0];
	return recv(walk->control, ret_news, sizeof *ret_news, 0) ==
	       (ssize_t)sizeof *ret_news;
}

/* The workers' side of a brain's death: each reads to the end. */
static void
walk_detach(struct walk *walk)
{
	for (int slot = 1; slot <= WALK_WORKERS; slot++) {
		struct walk_worker *worker = &walk->workers[slot];
		bool reads = worker->reads;

		if (worker->fd < 0)
			continue;
		worker->reads = true;
		(void)worker_pull(walk, worker);
		worker->reads = reads;
		(void)close(worker->fd);
		worker->fd = -1;
		worker->in_size = 0;
		worker->is_attached = false;
		free(worker->numberless);
		worker->numberless = NULL;
		worker->out = 0;
		worker->out_done = 0;
		while (worker->fd_count > 0)
			(void)close(worker->fds[--worker->fd_count]);
	}
}

static void
walk_recover(struct walk *walk)
{
	char body[96];
	uint32_t news;

	for (;;) {
		walk_reap(walk);
		walk_detach(walk);
		if (walk->deaths >= 4) {
			walk_blame(walk, "too many deaths", walk->deaths, 0);
			cr_assert_fail("%s", walk->fault);
		}
		if (walk_fork(walk, &news))
			break;
	}
	for (uint32_t slot = 1; slot <= WALK_WORKERS; slot++) {
		struct walk_worker *worker = &walk->workers[slot];

		if (worker->process == 0 || (news >> slot & 1))
			continue;
		(void)snprintf(body, sizeof body,
			"{\"method\":\"resume\",\"params\":"
			"{\"received\":%u}}",
			worker->received);
		worker_say_numberless(
			worker, MUSTER_REQUEST, WALK_RESUME_ID, body);
	}
}

uint32_t
walk_tell(struct walk *walk, char what, uint32_t value)
{
	uint32_t answer = 0;

	if (!walk_ask(walk, what, value, &answer))
		walk_recover(walk);
	return answer;
}

void
walk_pump(struct walk *walk)
{
	for (int quiet = 0; quiet < 2; quiet++) {
		uint32_t deaths = walk->deaths;
		bool happened = false;

		for (int slot = 1; slot <= WALK_WORKERS; slot++)
			happened |= worker_push(&walk->workers[slot]);
		(void)walk_tell(walk, 'T', 0);
		for (int slot = 1; slot <= WALK_WORKERS; slot++)
			happened |= worker_pull(walk, &walk->workers[slot]);
		if (happened || walk->deaths != deaths)
			quiet = -1;
	}
}

void
walk_await(struct walk *walk, uint32_t frame)
{
	struct instant until = clock_after_ms(clock_now(), 5000);
	const struct walk_fate *fate = &walk->fates[frame];

	for (;;) {
		walk_pump(walk);
		if (fate->answered + fate->failed > 0)
			return;
		if (clock_is_past(until, clock_now())) {
			walk_blame(walk, "no answer came", frame, 0);
			return;
		}
		(void)walk_tell(walk, 'W', 0);
	}
}

/* The script's words ------------------------------------------------------ */

static uint32_t
walk_add(struct walk *walk, struct walk_worker *worker,
	struct frame_header header, const char *name, size_t size, int fd)
{
	uint32_t number = ++walk->frames;
	size_t name_size = strlen(name);
	uint8_t *bytes;
	int used;

	cr_assert_lt(number, WALK_FRAMES);
	header.name_size = (uint16_t)name_size;
	header.size = (uint32_t)(name_size + size);
	if (header.id != 0)
		header.id = number;
	bytes = malloc(MUSTER_HEADER_SIZE + header.size + 64);
	frame_store(bytes, &header);
	memcpy(bytes + MUSTER_HEADER_SIZE, name, name_size);
	memset(bytes + MUSTER_HEADER_SIZE + name_size, ' ', size);
	used = snprintf((char *)bytes + MUSTER_HEADER_SIZE + name_size, 64,
		"\"%u %u %s", number, (uint32_t)worker->process,
		header.to == MUSTER_TO_ANY ? "any" : "");
	bytes[MUSTER_HEADER_SIZE + name_size + (size_t)used] = ' ';
	bytes[MUSTER_HEADER_SIZE + header.size - 1] = '"';
	(void)worker_add(worker, bytes, MUSTER_HEADER_SIZE + header.size, fd);
	free(bytes);
	return number;
}

uint32_t
walk_say(struct walk *walk, uint32_t slot, int kind, uint32_t to,
	const char *name, size_t size, uint32_t timeout_ms)
{
	return walk_add(walk, &walk->workers[slot],
		(struct frame_header){.kind = (uint8_t)kind,
			.to = to,
			.id = 1,
			.timeout_ms = timeout_ms},
		name, size, -1);
}

uint32_t
walk_call(struct walk *walk, uint32_t slot, const char *method,
	const char *pattern)
{
	uint32_t number = ++walk->frames;
	struct frame_header header = {.kind = MUSTER_REQUEST, .id = number};
	uint8_t bytes[256];

	cr_assert_lt(number, WALK_FRAMES);
	header.size = (uint32_t)snprintf((char *)bytes + MUSTER_HEADER_SIZE,
		sizeof bytes - MUSTER_HEADER_SIZE,
		"{\"method\":\"%s\",\"params\":{\"topic\":\"%s\"}}", method,
		pattern);
	frame_store(bytes, &header);
	(void)worker_add(&walk->workers[slot], bytes,
		MUSTER_HEADER_SIZE + header.size, -1);
	return number;
}

uint32_t
walk_murmur(struct walk *walk, uint32_t slot, uint32_t to)
{
	return walk_add(walk, &walk->workers[slot],
		(struct frame_header){.kind = MUSTER_MESSAGE, .to = to}, "", 40,
		-1);
}

uint32_t
walk_hand(struct walk *walk, uint32_t slot, uint32_t to)
{
	return walk_add(walk, &walk->workers[slot],
		(struct frame_header){.kind = MUSTER_MESSAGE,
			.flags = MUSTER_FLAG_FD,
			.to = to,
			.id = 1},
		"", 40, dup(walk->memory_fd));
}

void
walk_die(struct walk *walk, uint32_t slot)
{
	struct walk_worker *worker = &walk->workers[slot];

	for (uint32_t i = 1; i <= walk->frames; i++)
		walk->fates[i].delivered_to_dead +=
			walk->fates[i].delivered[slot];
	worker_end(worker);
	(void)walk_tell(walk, 'D', slot);
}

void
walk_spawn(struct walk *walk, uint32_t slot)
{
	struct walk_worker *worker = &walk->workers[slot];
	uint32_t answer;
	bool lives;

	worker_new_socket(worker);
	worker->reads = worker->answers = worker->acknowledges = true;
	lives = walk_ask(walk, 'S', slot, &answer);
	worker->process = ++walk->processes;
	(void)close(worker->brain_fd);
	if (!lives)
		walk_recover(walk);
}

void
walk_ready(struct walk *walk, uint32_t slot)
{
	walk->workers[slot].is_ready = true;
	(void)walk_tell(walk, 'Y', slot);
}

void
walk_not_ready(struct walk *walk, uint32_t slot)
{
	walk->workers[slot].is_ready = false;
	(void)walk_tell(walk, 'N', slot);
}

void
walk_start(struct walk *walk, const uint32_t kills[4])
{
	uint32_t news;

	memset(walk, 0, sizeof *walk);
	walk->memory_fd = memfd_create("exchange", MFD_CLOEXEC);
	cr_assert_geq(walk->memory_fd, 0);
	memcpy(walk->kills, kills, sizeof walk->kills);
	for (uint32_t slot = 1; slot <= WALK_WORKERS; slot++) {
		struct walk_worker *worker = &walk->workers[slot];

		worker->slot = slot;
		worker->process = ++walk->processes;
		worker->is_ready = slot < WALK_WORKERS;
		worker->reads = worker->answers = worker->acknowledges = true;
		worker->fd = -1;
		worker->in = malloc(WALK_ROOM);
	}
	walk->kills[0] = 0;
	cr_assert(walk_fork(walk, &news));
	walk_pump(walk);
	for (uint32_t slot = 1; slot <= WALK_WORKERS; slot++)
		(void)walk_say(walk, slot, MUSTER_REQUEST, 0, "", 40, 0);
	walk_pump(walk);
	walk->kills[0] = kills[0];
	(void)walk_tell(walk, 'A', kills[0]);
}

void
walk_stop(struct walk *walk)
{
	(void)close(walk->control);
	(void)waitpid(walk->brain, NULL, 0);
	(void)close(walk->memory_fd);
	for (int slot = 1; slot <= WALK_WORKERS; slot++) {
		worker_end(&walk->workers[slot]);
		free(walk->workers[slot].in);
	}
}
