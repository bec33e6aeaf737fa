/*
 * topics.c: who subscribed to what. A subscription has a row in the exchange
 * memory, so that it outlives the brain, and an entry in the trie of this life.
 * It belongs to a process or a client and goes with it. Who is sent a publish
 * is router_publish.c's.
 */
#include "protocol/topic.h"
#include "state.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t
topics_max(const struct peer *peer)
{
	return peer->role == PEER_WORKER ? EXCHANGE_SUBSCRIPTIONS_WORKER
					 : EXCHANGE_SUBSCRIPTIONS_CLIENT;
}

static uint32_t
topics_count_tokens(const char *pattern, size_t size)
{
	uint32_t count = 1;

	for (size_t i = 0; i < size; i++)
		count += pattern[i] == '.';
	return count;
}

/* Whether the peer may have one more, of so many tokens. */
static bool
topics_may_add(const struct peer *peer, uint32_t tokens)
{
	uint32_t max = topics_max(peer);

	if (peer->subscription_count >= max ||
		tokens > max * EXCHANGE_SUBSCRIPTION_TOKENS -
				 peer->subscription_tokens)
		return false;
	return peer->role == PEER_WORKER ||
	       peer->exchange->client_subscriptions <
		       EXCHANGE_SUBSCRIPTIONS_CLIENTS;
}

static struct subscription *
topics_find(struct peer *peer, const char *pattern, size_t size)
{
	struct topic_entry *entry =
		topic_trie_find(&peer->exchange->topics, pattern, size);

	for (; entry != NULL; entry = entry->next) {
		struct subscription *subscription =
			list_member(entry, struct subscription, entry);

		if (subscription->peer == peer)
			return subscription;
	}
	return NULL;
}

/* Makes what this life needs of a subscription. */
static int
topics_make(struct peer *peer, const char *pattern, size_t size,
	struct subscription **ret_subscription)
{
	struct subscription *made = calloc(1, sizeof(*made));
	int r = -ENOMEM;

	if (made == NULL)
		return r;
	r = topic_trie_add(
		&peer->exchange->topics, pattern, size, &made->entry);
	if (r < 0) {
		free(made);
		return r;
	}
	made->peer = peer;
	made->row = MEMORY_NONE;
	made->tokens = topics_count_tokens(pattern, size);
	list_append(&peer->subscriptions, &made->of_peer);
	peer->subscription_count++;
	peer->subscription_tokens += made->tokens;
	peer->exchange->client_subscriptions += peer->role != PEER_WORKER;
	*ret_subscription = made;
	return 0;
}

static void
topics_drop(struct subscription *subscription)
{
	struct peer *peer = subscription->peer;
	struct exchange *exchange = peer->exchange;

	if (subscription->row != MEMORY_NONE)
		memory_free_subscription(exchange->memory, subscription->row);
	topic_trie_remove(&exchange->topics, &subscription->entry);
	list_remove(&subscription->of_peer);
	peer->subscription_count--;
	peer->subscription_tokens -= subscription->tokens;
	exchange->client_subscriptions -= peer->role != PEER_WORKER;
	free(subscription);
}

/* Returns 0; -ENOSPC: the peer, all clients or everybody have too many; or
 * -ENOMEM. */
static int
topics_add(struct peer *peer, const char *pattern, size_t size)
{
	struct memory *memory = peer->exchange->memory;
	struct subscription *subscription;
	int r;

	if (topics_find(peer, pattern, size) != NULL)
		return 0;
	if (!topics_may_add(peer, topics_count_tokens(pattern, size)))
		return -ENOSPC;
	r = topics_make(peer, pattern, size, &subscription);
	if (r < 0)
		return r;
	memory_begin(memory);
	subscription->row =
		memory_take_subscription(memory, peer->outbox->channel,
			peer_mark(peer), pattern, (uint32_t)size);
	if (subscription->row == MEMORY_NONE) {
		topics_drop(subscription);
		r = -ENOSPC;
	}
	memory_commit(memory);
	return r;
}

static void
topics_remove(struct peer *peer, const char *pattern, size_t size)
{
	struct memory *memory = peer->exchange->memory;
	struct subscription *subscription = topics_find(peer, pattern, size);

	if (subscription == NULL)
		return;
	memory_begin(memory);
	topics_drop(subscription);
	memory_commit(memory);
}

/* The pattern that `params` name; NULL: they don't, and that was answered. */
static const char *
topics_read(struct peer *peer, uint64_t id, json_t *params, size_t *ret_size)
{
	json_t *topic = json_object_get(params, "topic");
	const char *pattern = json_string_value(topic);

	*ret_size = json_string_length(topic);
	if (pattern != NULL && topic_is_pattern(pattern, *ret_size))
		return pattern;
	peer_error(peer, id, "bad-request",
		"topic: tokens of letters, digits, _ and - with dots between "
		"them, * for any one, > at the end for one or more; at most "
		"255 bytes");
	return NULL;
}

void
peer_subscribe(struct peer *peer, uint64_t id, json_t *params)
{
	size_t size;
	const char *pattern = topics_read(peer, id, params, &size);
	int r;

	if (pattern == NULL)
		return;
	r = topics_add(peer, pattern, size);
	if (r == 0)
		peer_reply(peer, id, NULL);
	else if (r == -ENOSPC)
		peer_error(peer, id, "bad-request",
			"topic: there are too many subscriptions");
	else
		peer_error(peer, id, "lost", "there is no memory");
}

void
peer_unsubscribe(struct peer *peer, uint64_t id, json_t *params)
{
	size_t size;
	const char *pattern = topics_read(peer, id, params, &size);

	if (pattern == NULL)
		return;
	topics_remove(peer, pattern, size);
	peer_reply(peer, id, NULL);
}

void
topics_forget(struct peer *peer)
{
	struct memory *memory = peer->exchange->memory;

	memory_begin(memory);
	for (struct link *at = peer->subscriptions.next, *next;
		at != &peer->subscriptions; at = next) {
		next = at->next;
		topics_drop(list_member(at, struct subscription, of_peer));
	}
	memory_commit(memory);
}

/* Whether the process whose row says so goes on with its subscription. */
static bool
topics_adopt(struct peer *peer, uint32_t row,
	const struct memory_subscription *found)
{
	struct subscription *subscription;

	if (peer == NULL || peer->fd < 0 || peer_mark(peer) != found->mark ||
		!topic_is_pattern(found->pattern, found->size) ||
		topics_find(peer, found->pattern, found->size) != NULL ||
		topics_make(peer, found->pattern, found->size, &subscription) <
			0)
		return false;
	subscription->row = row;
	return true;
}

void
topics_recover(struct exchange *exchange, struct peer *const *by_row)
{
	struct memory *memory = exchange->memory;

	for (uint32_t row = 0; row < memory_subscriptions_used(memory); row++) {
		const struct memory_subscription *found =
			memory_subscription_at(memory, row);
		struct peer *peer = found->channel < MEMORY_CHANNELS_MAX
					    ? by_row[found->channel]
					    : NULL;

		if (found->size > 0 && !topics_adopt(peer, row, found))
			memory_free_subscription(memory, row);
	}
}
