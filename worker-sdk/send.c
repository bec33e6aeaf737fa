/*
 * send.c: messages and answers on their way out.
 *
 * A body is built straight into the channel's output block. Nothing is written
 * here but by a block that is full; the turn's end (loop.c) writes. Requests,
 * which expect an answer, are requests.c's.
 */
#include "handle.h"

#include <fcntl.h>

static int
refuse_full(struct muster *muster)
{
	muster->was_full = true;
	return -ENOBUFS;
}

/*
 * Whether a frame may be queued; sets the header's name_size. All that can be
 * told before the size of the body is known.
 */
static inline int
check(struct muster *muster, struct frame_header *header, const char *app)
{
	header->name_size = 0;
	if (*muster->alive != 1)
		return attach_refusal(muster);
	if (muster->channel.pending >= muster->queue_limit)
		return refuse_full(muster);
	if (header->to > MUSTER_LAST_ENDPOINT && header->to < MUSTER_TO_ANY)
		return -EINVAL;
	if (app) {
		size_t size = strlen(app);

		if ((header->to < MUSTER_TO_ANY &&
			    header->kind != MUSTER_PUBLISH) ||
			size == 0 || size > MUSTER_NAME_MAX)
			return -EINVAL;
		header->name_size = (uint16_t)size;
	}
	return 0;
}

static inline int
check_size(
	const struct muster *muster, struct frame_header *header, size_t size)
{
	if (size == 0)
		return -EINVAL;
	if (size > muster->max_message ||
		size + header->name_size > muster->max_message)
		return -EMSGSIZE;
	if (header->to == MUSTER_TO_SUPERVISOR &&
		header->kind != MUSTER_PUBLISH &&
		size > MUSTER_MAX_TO_SUPERVISOR)
		return -EMSGSIZE;
	header->size = (uint32_t)size + header->name_size;
	return 0;
}

static inline void
queued(struct muster *muster)
{
	muster->counters.frames_out++;
	if (muster->epoll >= 0 && muster->wake && !muster->inside)
		loop_wake(muster);
}

int
send_text(struct muster *muster, struct frame_header *header, const char *app,
	const char *text, size_t size)
{
	int result = check(muster, header, app);

	if (result < 0)
		return result;
	result = check_size(muster, header, size);
	if (result < 0)
		return result;
	result = channel_put(&muster->channel, header, app, text);
	if (result < 0)
		return result;
	queued(muster);
	return 0;
}

int
muster_send_fd(struct muster *muster, uint32_t to, const char *app,
	const char *text, size_t size, int fd)
{
	struct frame_header header = {
		.kind = MUSTER_MESSAGE,
		.flags = MUSTER_FLAG_FD,
		.to = to,
	};
	int result = check(muster, &header, app);

	if (result == 0 && (to == MUSTER_TO_SUPERVISOR || to == MUSTER_TO_ALL))
		result = -EINVAL;
	if (result == 0 && fcntl(fd, F_GETFD) < 0)
		result = -EBADF;
	if (result == 0)
		result = check_size(muster, &header, size);
	if (result == 0)
		result = channel_put_fd(
			&muster->channel, &header, app, text, fd);
	if (result == 0)
		queued(muster);
	return result;
}

int
send_json(struct muster *muster, struct frame_header *header, const char *app,
	json_t *body)
{
	const size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;
	int result = check(muster, header, app);
	size_t head;
	size_t size = 0;
	size_t room = 1024; /* bytes; enough for nearly all at once */
	uint8_t *at;

	if (result < 0)
		return result;
	head = MUSTER_HEADER_SIZE + (size_t)header->name_size;
	/* Dumped in place; where it doesn't fit, once more in a place that was
	 * made as large as the first attempt found out. */
	for (int attempt = 0;; attempt++) {
		at = channel_room(&muster->channel, head + room);
		if (!at)
			return -ENOMEM;
		room = channel_room_size(&muster->channel) - head;
		size = json_dumpb(body, (char *)at + head, room, flags);
		result = check_size(muster, header, size);
		if (result < 0)
			return result;
		if (size <= room)
			break;
		if (attempt > 0)
			return -EINVAL; /* it changes while it is written */
		room = size;
	}
	if (app)
		memcpy(at + MUSTER_HEADER_SIZE, app, header->name_size);
	channel_commit(&muster->channel, header);
	queued(muster);
	return 0;
}

int
muster_send_text(struct muster *muster, uint32_t to, const char *app,
	const char *text, size_t size)
{
	struct frame_header header = {.kind = MUSTER_MESSAGE, .to = to};

	return send_text(muster, &header, app, text, size);
}

int
muster_send(struct muster *muster, uint32_t to, const char *app, json_t *body)
{
	struct frame_header header = {.kind = MUSTER_MESSAGE, .to = to};

	return send_json(muster, &header, app, body);
}

/* Ids of messages are even, those of requests odd: an error that comes back
 * tells by its id what it is about. */
int
muster_send_tracked_text(struct muster *muster, uint32_t to, const char *app,
	const char *text, size_t size, uint64_t *ret_id)
{
	struct frame_header header = {
		.kind = MUSTER_MESSAGE,
		.to = to,
		.id = muster->last_tracked + 2,
	};
	int result = send_text(muster, &header, app, text, size);

	if (result == 0)
		*ret_id = muster->last_tracked = header.id;
	return result;
}

int
muster_send_tracked(struct muster *muster, uint32_t to, const char *app,
	json_t *body, uint64_t *ret_id)
{
	struct frame_header header = {
		.kind = MUSTER_MESSAGE,
		.to = to,
		.id = muster->last_tracked + 2,
	};
	int result = send_json(muster, &header, app, body);

	if (result == 0)
		*ret_id = muster->last_tracked = header.id;
	return result;
}

static struct frame_header
answer_header(struct muster_ticket ticket, enum muster_kind kind)
{
	return (struct frame_header){
		.kind = (uint8_t)kind,
		.to = ticket.from,
		.id = ticket.id,
	};
}

int
muster_reply_text(struct muster *muster, struct muster_ticket ticket,
	const char *text, size_t size)
{
	struct frame_header header = answer_header(ticket, MUSTER_REPLY);

	return send_text(muster, &header, NULL, text, size);
}

int
muster_reply(struct muster *muster, struct muster_ticket ticket, json_t *body)
{
	struct frame_header header = answer_header(ticket, MUSTER_REPLY);

	return send_json(muster, &header, NULL, body);
}

int
muster_reply_error(struct muster *muster, struct muster_ticket ticket,
	const char *code, const char *message)
{
	struct frame_header header = answer_header(ticket, MUSTER_ERROR);
	json_t *body;
	int result;

	if (strncmp(code, "app-", 4) != 0)
		return -EINVAL;
	body = json_pack("{s:s, s:s}", "code", code, "message", message);
	if (!body)
		return -EINVAL;
	result = send_json(muster, &header, NULL, body);
	json_decref(body);
	return result;
}

size_t
muster_pending(const struct muster *muster)
{
	return muster->channel.pending;
}

void
muster_set_queue_limit(struct muster *muster, size_t bytes)
{
	muster->queue_limit = bytes > 0 ? bytes : 1;
}
