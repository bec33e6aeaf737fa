/*
 * router_zero.c: frames to the supervisor itself. It parses only what belongs
 * to the channel (`ack`, `resume`); all else goes to the peer's owner as it is.
 */
#include "base/json.h"
#include "router.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The frame's name and body in one piece; `*ret_copy` is to be freed. */
static const char *
router_body(
	struct exchange *exchange, const struct inbound *in, char **ret_copy)
{
	uint32_t done = 0;
	char *copy;

	*ret_copy = NULL;
	if (in->count == 1)
		return (const char *)in->bytes + MUSTER_HEADER_SIZE;
	copy = malloc(router_size(in));
	if (copy == NULL)
		return NULL;
	for (uint32_t i = 0; i < in->count; i++) {
		memcpy(copy + done,
			memory_at(exchange->view, in->pieces[i].block,
				in->pieces[i].offset),
			in->pieces[i].length);
		done += in->pieces[i].length;
	}
	*ret_copy = copy;
	return copy + MUSTER_HEADER_SIZE;
}

/* A number of the circle 0 … 2^32 - 1 in a member of an object. */
static bool
router_number(json_t *object, const char *key, uint32_t *ret_number)
{
	json_t *value = json_object_get(object, key);
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value) || number < 0 || number > UINT32_MAX)
		return false;
	*ret_number = (uint32_t)number;
	return true;
}

static void
router_take_ack(struct peer *from, uint32_t sequence)
{
	if (outbox_ack(from->outbox, sequence) < 0) {
		peer_break(from, "it acknowledged what it was never sent");
		return;
	}
	exchange_mark_dirty(from);
}

/* An `ack` as the SDK writes it: it comes so often that it takes no memory. */
static bool
router_read_ack(const char *body, uint32_t size, uint32_t *ret_sequence)
{
	static const char head[] = "{\"event\":\"ack\",\"sequence\":";
	const char *at, *end;
	uint64_t number = 0;

	if (size < sizeof(head) + 1 || size > sizeof(head) + 10 ||
		memcmp(body, head, sizeof(head) - 1) != 0 ||
		body[size - 1] != '}')
		return false;
	at = body + sizeof(head) - 1;
	end = body + size - 1;
	/* JSON knows no number that begins with 0 and goes on. The analyzer
	 * doesn't see that all of the body was copied. */
	if (*at == '0' && end - at > 1) /* NOLINT */
		return false;
	for (; at < end; at++) {
		if (*at < '0' || *at > '9')
			return false;
		number = number * 10 + (uint64_t)(*at - '0');
	}
	if (number > UINT32_MAX)
		return false;
	*ret_sequence = (uint32_t)number;
	return true;
}

/* An `ack` of one that takes no part means nothing, and is nobody's word. */
static bool
router_is_idle_ack(const char *body, uint32_t size)
{
	json_t *parsed;
	const char *event;
	bool is_ack;

	if (size > 128 || memmem(body, size, "\"ack\"", 5) == NULL)
		return false;
	parsed = json_read(body, size);
	event = json_text(parsed, "event");
	is_ack = event != NULL && strcmp(event, "ack") == 0;
	json_decref(parsed);
	return is_ack;
}

static void
router_take_parsed(struct peer *from, const struct inbound *in, json_t *body)
{
	const char *event = json_text(body, "event");
	json_t *params = NULL;
	const char *method = json_method(body, &params);
	uint32_t received, sequence;

	/* The parameters alone, as the protocol's page shows them, will do. */
	if (method == NULL && json_object_get(body, "received") != NULL) {
		method = "resume";
		params = body;
	}
	if (from->awaits_resume) {
		if (in->header.kind != MUSTER_REQUEST || method == NULL ||
			strcmp(method, "resume") != 0 ||
			!router_number(params, "received", &received) ||
			peer_accept_resume(from, in->header.id, received) < 0)
			peer_refuse_resume(from, in->header.id);
		return;
	}
	if (in->header.kind == MUSTER_MESSAGE && event != NULL &&
		strcmp(event, "ack") == 0 &&
		router_number(body, "sequence", &sequence))
		router_take_ack(from, sequence);
	else
		peer_break(from, frame_fault_text(FRAME_BAD_SEQUENCE));
}

/* What has no number though its sender counts: an `ack` or a `resume`. */
static void
router_take_numberless(
	struct peer *from, const struct inbound *in, const char *body)
{
	uint32_t sequence;
	json_t *parsed;

	if (in->header.kind == MUSTER_MESSAGE && !from->awaits_resume &&
		router_read_ack(body, in->header.size, &sequence)) {
		router_take_ack(from, sequence);
		return;
	}
	/* That there was no memory, only errno tells of the parser. */
	errno = 0;
	parsed = json_read(body, in->header.size);
	/* An `ack` in other words, as far as is known: the next says as much.
	 */
	if (parsed == NULL && errno == ENOMEM && !from->awaits_resume)
		return;
	router_take_parsed(from, in, parsed);
	json_decref(parsed);
}

static bool
router_is_numberless(const struct peer *from, const struct inbound *in)
{
	return from->role == PEER_WORKER && in->header.sequence == 0 &&
	       (from->awaits_resume ||
		       (outbox_row(from->outbox)->flags & MEMORY_TAKES_PART));
}

bool
router_to_zero(struct peer *from, struct inbound *in)
{
	char *copy;
	const char *body;

	if (in->header.size > MUSTER_MAX_TO_SUPERVISOR)
		return router_refuse(from, in, "too-large",
			"a frame to the master has at most 1 MiB");
	if (in->fd >= 0)
		return router_refuse(from, in, "bad-request",
			"the master takes no descriptors");
	body = router_body(from->exchange, in, &copy);
	if (body == NULL)
		return router_refuse(
			from, in, "lost", "the master has no memory for it");
	if (router_is_numberless(from, in)) {
		router_take_numberless(from, in, body);
	} else if (from->awaits_resume) {
		peer_refuse_resume(from, in->header.id);
	} else if (in->header.kind == MUSTER_MESSAGE) {
		if (!router_is_idle_ack(body, in->header.size))
			from->hooks->message(from, body, in->header.size);
	} else if (in->header.id == 0) {
		(void)router_refuse(
			from, in, "bad-request", "a request needs an id");
	} else {
		from->hooks->request(
			from, in->header.id, body, in->header.size);
	}
	free(copy);
	return true;
}
