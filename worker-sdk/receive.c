/*
 * receive.c: what a frame means, and who is called for it.
 *
 * The frames lie in the channel's buffer and are handed out in place. What the
 * supervisor tells about itself is events.c's; answers are requests.c's.
 */
#include "handle.h"

#include <unistd.h>

static void
refuse(struct muster *muster, const struct muster_ticket *ticket,
	const char *code, const char *message)
{
	/* The asker's time-out covers a queue that is full. */
	(void)muster_reply_error(muster, *ticket, code, message);
}

static void
take_request(struct muster *muster, const struct channel_frame *frame)
{
	struct muster_request request = {
		.ticket = {frame->header.id, frame->header.from},
		.to = frame->header.to,
		.timeout_ms = frame->header.timeout_ms,
		.text = frame->body,
		.size = frame->size,
	};
	json_t *body;

	if (muster->on_request) {
		muster->on_request(muster, &request, muster->on_request_data);
		return;
	}
	if (!muster->on_request_json) {
		refuse(muster, &request.ticket, "app-no-handler",
			"this worker answers no requests");
		return;
	}
	body = json_loadb(frame->body, frame->size, HANDLE_JSON_FLAGS, NULL);
	if (!body) {
		muster->counters.bad_bodies++;
		refuse(muster, &request.ticket, "app-bad-json",
			"the request's body is no JSON");
		return;
	}
	muster->on_request_json(
		muster, &request, body, muster->on_request_data);
	json_decref(body);
}

static void
take_message_json(struct muster *muster, const struct muster_message *message)
{
	json_t *body = json_loadb(
		message->text, message->size, HANDLE_JSON_FLAGS, NULL);

	if (!body) {
		muster->counters.bad_bodies++;
		return;
	}
	muster->on_message_json(muster, message, body, muster->on_message_data);
	json_decref(body);
}

static inline void
take_message(struct muster *muster, const struct channel_frame *frame)
{
	struct muster_message message = {
		.from = frame->header.from,
		.to = frame->header.to,
		.text = frame->body,
		.size = frame->size,
		.fd = frame->fd,
	};

	if (frame->header.from == MUSTER_TO_SUPERVISOR && !muster->is_guest &&
		events_take(muster, frame))
		return;
	if (muster->on_message)
		muster->on_message(muster, &message, muster->on_message_data);
	else if (muster->on_message_json)
		take_message_json(muster, &message);
	else
		muster->counters.dropped++;
}

/* An error that answers no request: of a message, or of the whole channel. */
static void
take_failure(struct muster *muster, const struct channel_frame *frame)
{
	const char *code;
	const char *message;
	json_t *body = requests_parse_error(frame, &code, &message);
	json_int_t to = json_integer_value(json_object_get(body, "to"));

	if (frame->header.id != 0) {
		if (muster->on_undelivered)
			muster->on_undelivered(muster, frame->header.id,
				(uint32_t)to, code, message,
				muster->on_undelivered_data);
	} else if (strcmp(code, "protocol") == 0 ||
		   strcmp(code, "denied") == 0) {
		/* The supervisor closes the channel behind this, and it won't
		 * be replaced. */
		muster->refused = true;
		snprintf(
			muster->refusal, sizeof muster->refusal, "%s", message);
	}
	json_decref(body);
}

/* What the program doesn't take out of a message with a descriptor. */
static void
close_fd(struct muster *muster, int fd)
{
	if (fd < 0)
		return;
	close(fd);
	muster->counters.descriptors_closed++;
}

static void
take_message_fd(struct muster *muster, const struct channel_frame *frame)
{
	if (frame->header.from == MUSTER_TO_SUPERVISOR && !muster->is_guest &&
		frame->header.kind == MUSTER_MESSAGE) {
		events_take_connection(muster, frame);
		return;
	}
	muster->message_fd = frame->fd;
	if (frame->header.kind == MUSTER_PUBLISH)
		topics_take(muster, frame);
	else
		take_message(muster, frame);
	close_fd(muster, muster->message_fd);
	muster->message_fd = -1;
}

int
muster_take_fd(struct muster *muster)
{
	int fd = muster->message_fd;

	if (fd < 0)
		return -ENOENT;
	muster->message_fd = -1;
	/* Its sender keeps it open until it hears that it came. */
	muster->ack_now = true;
	return fd;
}

static void
take_other(struct muster *muster, const struct channel_frame *frame)
{
	if (frame->fd >= 0 && (frame->header.kind == MUSTER_MESSAGE ||
				      frame->header.kind == MUSTER_PUBLISH)) {
		take_message_fd(muster, frame);
		return;
	}
	close_fd(muster, frame->fd);
	switch (frame->header.kind) {
	case MUSTER_MESSAGE:
		take_message(muster, frame);
		break;
	case MUSTER_REQUEST:
		take_request(muster, frame);
		break;
	case MUSTER_ERROR:
		if (frame->header.from == MUSTER_TO_SUPERVISOR &&
			(frame->header.id & 1) == 0) {
			take_failure(muster, frame);
			break;
		}
		requests_answer(muster, frame);
		break;
	case MUSTER_REPLY:
		requests_answer(muster, frame);
		break;
	default:
		topics_take(muster, frame);
		break;
	}
}

void
receive_frames(struct muster *muster)
{
	struct channel *channel = &muster->channel;
	struct channel_frame frame;
	int result = 0;

	while (!muster->detached && !muster->ended &&
		(result = channel_next(channel, &frame)) == 1) {
		if (frame.header.sequence != 0)
			muster->counters.frames_in++;
		if (frame.header.kind == MUSTER_MESSAGE && frame.fd < 0)
			take_message(muster, &frame);
		else
			take_other(muster, &frame);
	}
	if (result == -EMFILE)
		receive_end(muster, MUSTER_END_PROTOCOL,
			"the supervisor sent descriptors that nobody asked "
			"for");
	else if (result < 0)
		receive_end(muster, MUSTER_END_PROTOCOL,
			frame_fault_text(channel->fault));
}

void
receive_end(struct muster *muster, enum muster_end how, const char *reason)
{
	if (muster->ended)
		return;
	muster->ended = true;
	*muster->alive = 2; /* sending is over */
	loop_channel_closing(muster);
	loop_resume_closing(muster);
	channel_suspend(&muster->channel);
	while (muster->waiting_count > 0)
		close(muster->waiting[--muster->waiting_count]);
	if (muster->resume_fd >= 0)
		close(muster->resume_fd);
	muster->resume_fd = -1;
	requests_lose(muster);
	if (muster->on_end && !muster->detached)
		muster->on_end(muster, how, reason, muster->on_end_data);
}
