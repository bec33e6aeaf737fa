/*
 * topics.c: publishing, and whom a publication that came is for.
 *
 * The supervisor sends a publication once, so which of the program's patterns
 * it matches is found out here again, by the same trie. Subscriptions outlive a
 * channel: the supervisor remembers them, too.
 */
#include "protocol/topic.h"

#include "handle.h"

#include <stdlib.h>

struct subscription {
	struct topic_entry entry;	 /* without a node: it is over */
	struct subscription *next, **at; /* topics::all */
	struct subscription *next_match;
	muster_topic_fn *fn; /* or */
	muster_topic_json_fn *json_fn;
	void *data;
	bool is_asked; /* the supervisor has not answered yet */
	bool is_matched;
	char pattern[];
};

/* Frees one that is over, when nobody needs it any more. */
static void
release(struct subscription *it)
{
	if (it->entry.node || it->is_asked || it->is_matched)
		return;
	*it->at = it->next;
	if (it->next)
		it->next->at = it->at;
	free(it);
}

static struct subscription *
find(const struct muster *muster, const char *pattern)
{
	if (!muster->topics.trie.root)
		return NULL;
	return (struct subscription *)(void *)topic_trie_find(
		&muster->topics.trie, pattern, strlen(pattern));
}

static void
forget(struct muster *muster, struct subscription *it)
{
	if (!it->entry.node)
		return;
	topic_trie_remove(&muster->topics.trie, &it->entry);
	muster->topics.count--;
}

/* The supervisor refuses only for what others have, too. */
static void
on_subscribed(
	struct muster *muster, const struct muster_answer *answer, void *data)
{
	struct subscription *it = data;

	it->is_asked = false;
	if (answer->code && it->entry.node) {
		forget(muster, it);
		if (muster->on_undelivered && !muster->ended)
			muster->on_undelivered(muster, 0, MUSTER_MASTER,
				answer->code, answer->message,
				muster->on_undelivered_data);
	}
	release(it);
}

static int
make(struct muster *muster, const char *pattern, struct subscription **ret)
{
	struct topics *topics = &muster->topics;
	size_t size = strlen(pattern);
	struct subscription *it;
	int result = 0;

	if (topics->count >= HANDLE_SUBSCRIPTIONS_MAX)
		return -ENOSPC;
	if (!topics->trie.root)
		result = topic_trie_init(
			&topics->trie, HANDLE_SUBSCRIPTIONS_MAX * 4);
	if (result < 0)
		return result;
	it = calloc(1, sizeof *it + size + 1);
	if (!it)
		return -ENOMEM;
	memcpy(it->pattern, pattern, size);
	result = topic_trie_add(&topics->trie, pattern, size, &it->entry);
	if (result < 0) {
		free(it);
		return result;
	}
	it->next = topics->all;
	it->at = &topics->all;
	if (it->next)
		it->next->at = &it->next;
	topics->all = it;
	topics->count++;
	*ret = it;
	return 0;
}

static int
call(struct muster *muster, const char *method, const char *pattern,
	muster_answer_fn *fn, void *data)
{
	json_t *params = json_pack("{s:s}", "topic", pattern);
	int result = -ENOMEM;

	if (params)
		result = muster_call(muster, method, params, fn, data);
	json_decref(params);
	return result;
}

/* The subscription of the pattern, made and asked for where there is none. */
static int
get(struct muster *muster, const char *pattern, struct subscription **ret)
{
	struct subscription *it;
	int result;

	if (*muster->alive != 1)
		return attach_refusal(muster);
	if (!topic_is_pattern(pattern, strlen(pattern)))
		return -EINVAL;
	it = find(muster, pattern);
	if (!it) {
		result = make(muster, pattern, &it);
		if (result < 0)
			return result;
		result = call(muster, "subscribe", pattern, on_subscribed, it);
		if (result < 0) {
			forget(muster, it);
			release(it);
			return result;
		}
		it->is_asked = true;
	}
	*ret = it;
	return 0;
}

int
muster_subscribe(struct muster *muster, const char *pattern,
	muster_topic_fn *fn, void *data)
{
	struct subscription *it = NULL;
	int result = get(muster, pattern, &it);

	if (!it)
		return result;
	it->fn = fn;
	it->json_fn = NULL;
	it->data = data;
	return 0;
}

int
muster_subscribe_json(struct muster *muster, const char *pattern,
	muster_topic_json_fn *fn, void *data)
{
	struct subscription *it = NULL;
	int result = get(muster, pattern, &it);

	if (!it)
		return result;
	it->fn = NULL;
	it->json_fn = fn;
	it->data = data;
	return 0;
}

int
muster_unsubscribe(struct muster *muster, const char *pattern)
{
	struct subscription *it;
	int result;

	if (*muster->alive != 1)
		return attach_refusal(muster);
	it = find(muster, pattern);
	if (!it)
		return -ENOENT;
	result = call(muster, "unsubscribe", pattern, NULL, NULL);
	if (result < 0)
		return result;
	forget(muster, it);
	release(it);
	return 0;
}

/* Receiving --------------------------------------------------------------- */

static void
add_match(void *context, struct topic_entry *entry)
{
	struct subscription **last = context;
	struct subscription *it = (struct subscription *)(void *)entry;

	it->is_matched = true;
	it->next_match = *last;
	*last = it;
}

/* Calls one; the body is parsed for the first who wants it. */
static void
call_one(struct muster *muster, const struct subscription *it,
	const struct muster_publication *publication, json_t **body)
{
	if (it->fn)
		it->fn(muster, publication, it->data);
	if (!it->json_fn)
		return;
	if (!*body)
		*body = json_loadb(publication->text, publication->size,
			HANDLE_JSON_FLAGS, NULL);
	if (*body)
		it->json_fn(muster, publication, *body, it->data);
	else
		muster->counters.bad_bodies++;
}

void
topics_take(struct muster *muster, const struct channel_frame *frame)
{
	char topic[MUSTER_NAME_MAX + 1] = "";
	size_t size = frame->header.name_size;
	struct muster_publication publication = {
		.from = frame->header.from,
		.topic = topic,
		.text = frame->body,
		.size = frame->size,
		.fd = frame->fd,
		.bridged = frame->header.flags & MUSTER_FLAG_BRIDGED,
	};
	struct subscription *matched = NULL, *next;
	json_t *body = NULL;

	if (size <= MUSTER_NAME_MAX && muster->topics.trie.root &&
		topic_is_name(frame->name, size)) {
		memcpy(topic, frame->name, size);
		topic_trie_match(
			&muster->topics.trie, topic, size, add_match, &matched);
	}
	/* What was still on its way when it was unsubscribed, too. */
	if (!matched)
		muster->counters.dropped++;
	/* A callback may end any of them, or the handle. */
	for (; matched; matched = next) {
		next = matched->next_match;
		if (matched->entry.node && !muster->detached)
			call_one(muster, matched, &publication, &body);
		matched->is_matched = false;
		release(matched);
	}
	json_decref(body);
}

/* Publishing -------------------------------------------------------------- */

static int
publish_text(struct muster *muster, uint8_t flags, const char *topic,
	const char *text, size_t size)
{
	struct frame_header header = {.kind = MUSTER_PUBLISH, .flags = flags};

	if (!topic_is_name(topic, strlen(topic)))
		return -EINVAL;
	return send_text(muster, &header, topic, text, size);
}

int
muster_publish_text(
	struct muster *muster, const char *topic, const char *text, size_t size)
{
	return publish_text(muster, 0, topic, text, size);
}

int
muster_publish_bridged(
	struct muster *muster, const char *topic, const char *text, size_t size)
{
	return publish_text(muster, MUSTER_FLAG_BRIDGED, topic, text, size);
}

int
muster_publish(struct muster *muster, const char *topic, json_t *body)
{
	struct frame_header header = {.kind = MUSTER_PUBLISH};

	if (!topic_is_name(topic, strlen(topic)))
		return -EINVAL;
	return send_json(muster, &header, topic, body);
}

void
topics_fini(struct muster *muster)
{
	struct subscription *it = muster->topics.all, *next;

	for (; it; it = next) {
		next = it->next;
		free(it);
	}
	topic_trie_fini(&muster->topics.trie);
}
