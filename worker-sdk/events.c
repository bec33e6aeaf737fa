/*
 * events.c: what the supervisor tells about itself, and what follows when it
 * goes away and comes back.
 *
 * The end of a channel is a pause as long as the keeper holds the other end of
 * the resume socket: the next brain's channel comes there. Which frames are
 * sent again is the channel's knowledge; when to read is loop.c's.
 */
#include "handle.h"

#include <sys/socket.h>
#include <unistd.h>

enum {
	ORPHAN_DEADLINE_MS = 10000, /* to leave when musterd has died */
};

/* What most workers hear most often, without a parser: exactly our own form.
 * Other spellings of it go the long way. */
static bool
read_ack(const struct channel_frame *frame, uint32_t *ret_sequence)
{
	static const char head[] = "{\"event\":\"ack\",\"sequence\":";
	const size_t head_size = sizeof head - 1;
	uint64_t number = 0;

	if (frame->size < head_size + 2 || frame->size > head_size + 11 ||
		memcmp(frame->body, head, head_size) != 0 ||
		frame->body[frame->size - 1] != '}')
		return false;
	for (size_t i = head_size; i < frame->size - 1; i++) {
		unsigned digit = (unsigned char)frame->body[i] - '0';

		if (digit > 9)
			return false;
		number = number * 10 + digit;
	}
	if (number > UINT32_MAX)
		return false;
	*ret_sequence = (uint32_t)number;
	return true;
}

static void
take_ack(struct muster *muster, json_int_t sequence)
{
	if (sequence < 0 || sequence > UINT32_MAX ||
		channel_settle(&muster->channel, (uint32_t)sequence) < 0)
		receive_end(muster, MUSTER_END_PROTOCOL,
			"the supervisor acknowledged what was never sent");
}

static void
take_welcome(struct muster *muster, const json_t *body)
{
	json_int_t max =
		json_integer_value(json_object_get(body, "max_message"));

	if (max > 0 && max <= UINT32_MAX - MUSTER_HEADER_SIZE) {
		muster->max_message = (uint32_t)max;
		muster->channel.max_message = (uint32_t)max;
	}
	listeners_update(muster, json_object_get(body, "listeners"));
}

void
events_shutdown(struct muster *muster, const char *reason, uint32_t deadline_ms)
{
	size_t limit = muster->queue_limit;

	if (muster->shutdown_told)
		return;
	muster->shutdown_told = true;
	muster->shutdown_by = loop_now() + deadline_ms;
	/* Said even when the program's own queue is full: it is what keeps
	 * the signal away. */
	muster->queue_limit = SIZE_MAX;
	(void)muster_stopping(muster);
	muster->queue_limit = limit;
	accept_stop(muster);
	if (muster->on_shutdown)
		muster->on_shutdown(
			muster, reason, deadline_ms, muster->on_shutdown_data);
	else
		muster->broke = true;
}

static void
take_shutdown(struct muster *muster, const json_t *body)
{
	const char *reason = json_string_value(json_object_get(body, "reason"));
	json_int_t deadline =
		json_integer_value(json_object_get(body, "deadline_ms"));

	if (deadline < 0 || deadline > INT32_MAX)
		deadline = INT32_MAX;
	events_shutdown(muster, reason ? reason : "stop", (uint32_t)deadline);
}

static void
take_peer(struct muster *muster, const json_t *body)
{
	json_int_t id = json_integer_value(json_object_get(body, "id"));
	const char *app = json_string_value(json_object_get(body, "app"));
	const char *state = json_string_value(json_object_get(body, "state"));

	if (!muster->on_peer || !state || id < 1 || id > MUSTER_LAST_ENDPOINT)
		return;
	muster->on_peer(muster, (uint32_t)id, app ? app : "",
		strcmp(state, "ready") == 0, muster->on_peer_data);
}

static bool
take_event(struct muster *muster, const char *event, const json_t *body)
{
	if (strcmp(event, "ack") == 0)
		take_ack(muster,
			json_integer_value(json_object_get(body, "sequence")));
	else if (strcmp(event, "welcome") == 0)
		take_welcome(muster, body);
	else if (strcmp(event, "shutdown") == 0)
		take_shutdown(muster, body);
	else if (strcmp(event, "peer") == 0)
		take_peer(muster, body);
	else
		return false;
	return true;
}

void
events_take_connection(struct muster *muster, const struct channel_frame *frame)
{
	json_t *body =
		json_loadb(frame->body, frame->size, HANDLE_JSON_FLAGS, NULL);
	const char *listener =
		json_string_value(json_object_get(body, "listener"));

	accept_handed(muster, listener ? listener : "", frame->fd);
	json_decref(body);
}

bool
events_take(struct muster *muster, const struct channel_frame *frame)
{
	uint32_t sequence;
	json_t *body;
	const char *event;
	bool taken;

	if (read_ack(frame, &sequence)) {
		take_ack(muster, sequence);
		return true;
	}
	/* The operator's messages come from 0 as well; most are no objects
	 * with an event, and needn't be parsed to know. */
	if (frame->size > HANDLE_EVENT_MAX ||
		!memmem(frame->body, frame->size, "\"event\"", 7))
		return false;
	body = json_loadb(frame->body, frame->size, HANDLE_JSON_FLAGS, NULL);
	event = json_string_value(json_object_get(body, "event"));
	taken = event && take_event(muster, event, body);
	json_decref(body);
	return taken;
}

/* Resuming ----------------------------------------------------------------- */

static void
add_waiting(struct muster *muster, int fd)
{
	if (muster->waiting_count == HANDLE_CHANNELS_WAITING) {
		/* Each brain is dead when the next one passes a channel, so
		 * the oldest is the one to lose. */
		close(muster->waiting[0]);
		muster->waiting_count--;
		memmove(muster->waiting, muster->waiting + 1,
			muster->waiting_count * sizeof muster->waiting[0]);
	}
	muster->waiting[muster->waiting_count++] = fd;
}

static int
take_waiting(struct muster *muster)
{
	int fd = muster->waiting[0];

	muster->waiting_count--;
	memmove(muster->waiting, muster->waiting + 1,
		muster->waiting_count * sizeof muster->waiting[0]);
	return fd;
}

/* The keeper is gone, and nobody will restart anything. */
static void
keeper_gone(struct muster *muster)
{
	loop_resume_closing(muster);
	close(muster->resume_fd);
	muster->resume_fd = -1;
	events_shutdown(muster, "supervisor-gone", ORPHAN_DEADLINE_MS);
}

/*
 * One record of the resume socket: `R` and a descriptor.
 * Returns 1: something was read; 0: nothing is there; -EPIPE: end of file.
 */
static int
read_resume(struct muster *muster)
{
	union {
		char bytes[CMSG_SPACE(4 * sizeof(int))];
		struct cmsghdr align;
	} control;
	char letter = 0;
	struct iovec piece = {.iov_base = &letter, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &piece,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control.bytes,
	};
	struct cmsghdr *item;
	bool used = false;
	ssize_t got;

	do
		got = recvmsg(muster->resume_fd, &message,
			MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got <= 0)
		return -EPIPE;
	for (item = CMSG_FIRSTHDR(&message); item;
		item = CMSG_NXTHDR(&message, item)) {
		size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (item->cmsg_level != SOL_SOCKET ||
			item->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(item) + i * sizeof fd, sizeof fd);
			if (letter == 'R' && !used) {
				add_waiting(muster, fd);
				used = true;
				continue;
			}
			close(fd);
			muster->counters.descriptors_closed++;
		}
	}
	return 1;
}

/* Goes on over the next channel that waits. */
static void
adopt(struct muster *muster)
{
	uint64_t id = requests_open_resume(muster);

	if (id == 0) {
		receive_end(muster, MUSTER_END_SYSTEM,
			"no memory for the request to resume");
		return;
	}
	channel_resume(&muster->channel, take_waiting(muster), id);
	loop_channel_opened(muster);
}

void
events_read_resume(struct muster *muster)
{
	int result = 0;

	while (muster->resume_fd >= 0 && !muster->ended &&
		(result = read_resume(muster)) > 0)
		;
	if (result < 0)
		keeper_gone(muster);
	if (muster->detached || muster->ended || muster->channel.fd >= 0)
		return;
	if (muster->waiting_count > 0)
		adopt(muster);
	else if (muster->resume_fd < 0)
		receive_end(muster, MUSTER_END_GONE,
			muster->had_resume_fd
				? "musterd has ended"
				: "the supervisor closed the channel");
}

void
events_channel_ended(struct muster *muster)
{
	loop_channel_closing(muster);
	channel_suspend(&muster->channel);
	requests_forget_resume(muster);
	if (muster->refused) {
		receive_end(muster, MUSTER_END_PROTOCOL, muster->refusal);
		return;
	}
	events_read_resume(muster);
}

void
events_resumed(struct muster *muster, const json_t *body, const char *code,
	const char *message)
{
	json_int_t received;

	if (code) {
		receive_end(
			muster, MUSTER_END_DENIED, *message ? message : code);
		return;
	}
	take_welcome(muster, body);
	received = json_integer_value(json_object_get(body, "received"));
	if (received < 0 || received > UINT32_MAX ||
		channel_resumed(&muster->channel, (uint32_t)received) < 0) {
		receive_end(muster, MUSTER_END_PROTOCOL,
			"the supervisor wants frames again that are gone");
		return;
	}
	/* The brain that knew it may be gone. */
	muster->accepting.load_told = 0;
	muster->counters.resumes++;
}
