/*
 * sdk_fuzz.c: any conversation into the SDK.
 *
 * The input is a list of records: kind, sender, id, length, body; the harness
 * makes right frames of them, so that what is tried is what the SDK makes of
 * bodies, answers and events. A record of kind 0 ends the channel and passes
 * the next; of a publish the sender's upper bits say how much of the body is
 * the topic.
 */
#include "fake_supervisor.h"
#include "muster.h"

#include <errno.h>
#include <stdlib.h>

static void
on_request(struct muster *m, const struct muster_request *request, json_t *body,
	void *data)
{
	(void)data;
	muster_reply(m, request->ticket, body);
}

static void
on_message(struct muster *m, const struct muster_message *message, json_t *body,
	void *data)
{
	(void)data;
	if (message->from != 7)
		muster_send(m, message->from, NULL, body);
	else
		muster_detach(&m);
}

static void
on_answer(struct muster *m, const struct muster_answer *answer, void *data)
{
	(void)data;
	if (answer->size == 5)
		(void)muster_ready(m);
}

static void
on_workers(struct muster *m, const char *code,
	const struct muster_worker *workers, size_t count, void *data)
{
	(void)m;
	(void)data;
	if (!code && count > 0 && !workers[0].app)
		abort();
}

static void
on_topic(struct muster *m, const struct muster_publication *publication,
	void *data)
{
	(void)data;
	if (publication->size == 4)
		(void)muster_unsubscribe(m, "a.>");
	if (publication->size == 5)
		(void)muster_subscribe(m, publication->topic, on_topic, NULL);
	if (publication->size == 6)
		muster_detach(&m);
}

/* The ids that the first requests of a handle get. */
static uint64_t
pick_id(uint8_t choice)
{
	return (uint64_t)(choice >> 4) << 16 | (choice & 15);
}

static int
write_record(struct fake *fake, const uint8_t *record, const char *body)
{
	struct frame_header header = {
		.size = (uint32_t)strlen(body),
		.kind = record[0] % 6,
		.from = record[1] & 15,
		.to = 3,
		.id = pick_id(record[2]),
	};

	if (!(record[1] & 128))
		header.sequence = fake->next++;
	if (header.kind == MUSTER_PUBLISH) {
		header.name_size = record[1] >> 4 & 7;
		if (header.name_size >= header.size)
			header.name_size = (uint16_t)(header.size - 1);
	}
	return fake_write(fake, &header, body, body + header.name_size, -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct fake fake;
	struct muster *m;
	char body[256];
	int result = 0;

	if (fake_start(&fake) < 0 || muster_attach(&m) < 0)
		abort();
	muster_on_message_json(m, on_message, NULL);
	muster_on_request_json(m, on_request, NULL);
	(void)muster_ready(m);
	(void)muster_subscribe(m, "a.*", on_topic, NULL);
	(void)muster_subscribe(m, "a.>", on_topic, NULL);
	(void)muster_subscribe(m, "*.b", on_topic, NULL);
	(void)muster_call(m, "load", NULL, on_answer, NULL);
	(void)muster_workers(m, NULL, on_workers, NULL);
	while (size >= 4 && result != -EPIPE && result != -ECANCELED) {
		size_t length = bytes[3];

		if (length > size - 4)
			length = size - 4;
		memcpy(body, bytes + 4, length);
		body[length] = '\0';
		if (bytes[0] % 6 == 0)
			result = fake_replace(&fake);
		else if (*body)
			result = write_record(&fake, bytes, body);
		if (result < 0)
			break;
		bytes += 4 + length;
		size -= 4 + length;
		result = muster_wait(m, 0);
	}
	if (result != -ECANCELED)
		muster_detach(&m);
	fake_stop(&fake);
	return 0;
}
