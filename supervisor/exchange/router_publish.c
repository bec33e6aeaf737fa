/*
 * router_publish.c: a publish goes to each subscriber once, however many of its
 * patterns match, and not back to who published. How one frame gets to many is
 * router_all.c's.
 */
#include "base/sys.h"
#include "protocol/topic.h"
#include "router.h"

struct router_publish {
	struct peer *from;
	bool has_fd; /* not everybody can have it */
	struct link receivers;
};

/*
 * Of a slot with two processes, as in a reload, one receives: the one that has
 * the slot's address if it subscribed, else the newer.
 */
static void
router_choose(struct router_publish *publish, struct peer *peer)
{
	struct endpoint *endpoint = peer->endpoint;
	struct peer *rival = endpoint->subscriber;

	if (rival == NULL) {
		endpoint->subscriber = peer;
	} else if (rival == endpoint->peer ||
		   (peer != endpoint->peer &&
			   rival->generation > peer->generation)) {
		return;
	} else {
		list_remove(&rival->receiving);
		endpoint->subscriber = peer;
	}
	list_append(&publish->receivers, &peer->receiving);
}

static void
router_found(void *context, struct topic_entry *entry)
{
	struct router_publish *publish = context;
	struct peer *peer =
		list_member(entry, struct subscription, entry)->peer;

	if (!list_is_empty(&peer->receiving) || peer == publish->from ||
		peer->has_ended || peer->doom_reason != NULL ||
		(publish->has_fd && !peer->takes_fds))
		return;
	if (peer->endpoint == NULL)
		list_append(&publish->receivers, &peer->receiving);
	else if (peer->endpoint != publish->from->endpoint &&
		 peer_has_joined(peer))
		router_choose(publish, peer);
}

/* The topic as it lies in the frame; NULL: it is none. */
static const char *
router_topic(const struct inbound *in)
{
	const char *topic = (const char *)in->bytes + MUSTER_HEADER_SIZE;

	/* A frame in pieces has more than any name in its first one. */
	if (in->pieces[0].length <
			MUSTER_HEADER_SIZE + (uint32_t)in->header.name_size ||
		!topic_is_name(topic, in->header.name_size))
		return NULL;
	return topic;
}

/* Its sender hears of it even where the frame has no id: it can't mend what it
 * isn't told. */
static bool
router_refuse_publish(
	struct peer *from, struct inbound *in, const char *message)
{
	if (from->role == PEER_WORKER && !router_has_room(from, from->outbox))
		return false;
	from->exchange->losses.returned++;
	peer_refuse(from, in->header.id, "bad-request", message, 0);
	if (in->fd >= 0)
		(void)sys_close(in->fd);
	return true;
}

bool
router_publish(struct peer *from, struct inbound *in)
{
	struct router_publish publish = {.from = from, .has_fd = in->fd >= 0};
	const char *topic = router_topic(in);
	bool was_taken;

	if (in->header.to != MUSTER_TO_SUPERVISOR)
		return router_refuse_publish(
			from, in, "to: a publish is addressed to 0");
	if (topic == NULL)
		return router_refuse_publish(from, in,
			"topic: tokens of letters, digits, _ and - with dots "
			"between them, at most 255 bytes");
	list_init(&publish.receivers);
	topic_trie_match(&from->exchange->topics, topic, in->header.name_size,
		router_found, &publish);
	for (struct link *l = publish.receivers.next; l != &publish.receivers;
		l = l->next) {
		struct peer *peer = list_member(l, struct peer, receiving);

		if (peer->endpoint != NULL)
			peer->endpoint->subscriber = NULL;
	}
	was_taken = router_to_receivers(from, &publish.receivers, in);
	router_forget_receivers(&publish.receivers);
	return was_taken;
}
