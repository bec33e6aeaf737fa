/*
 * group.c: applications as the exchange knows them: a name, bounds, and the
 * queue of what waits for any of their workers.
 */
#include "state.h"

#include <stdlib.h>
#include <string.h>

/*
 * What a new brain finds a group's row by. Two names with the same mark are
 * harmless: the frames of one are then offered to the other's workers only when
 * the first is gone, and a mark has 64 bits.
 */
static uint64_t
group_mark(const char *name)
{
	uint64_t mark = UINT64_C(0xcbf29ce484222325);

	for (; *name != '\0'; name++)
		mark = (mark ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	return mark;
}

struct group *
group_new(struct exchange *exchange, const char *name,
	const struct group_limits *limits)
{
	struct group *group = calloc(1, sizeof *group);

	if (group == NULL)
		return NULL;
	group->name = strdup(name);
	if (group->name == NULL) {
		free(group);
		return NULL;
	}
	group->exchange = exchange;
	group->limits = *limits;
	group->is_running = true;
	list_init(&group->endpoints);
	list_append(&exchange->groups, &group->link);
	return group;
}

/* A group's queue keeps each frame apart, so that one can be taken out of the
 * middle. */
struct outbox *
group_waiting(struct group *group)
{
	struct exchange *exchange = group->exchange;
	struct outbox *outbox;

	if (group->waiting != NULL)
		return group->waiting;
	outbox = calloc(1, sizeof *outbox);
	if (outbox == NULL)
		return NULL;
	memory_begin(exchange->memory);
	if (outbox_init(outbox, exchange->memory, MEMORY_WAITING,
		    group->limits.queue_limit) < 0) {
		free(outbox);
		outbox = NULL;
	} else {
		outbox_row(outbox)->process = group_mark(group->name);
		outbox->keeps_single = true;
	}
	memory_commit(exchange->memory);
	group->waiting = outbox;
	return outbox;
}

bool
group_adopt_waiting(struct group *group, uint32_t channel)
{
	struct exchange *exchange = group->exchange;
	const struct memory_channel *row = &exchange->view->channels[channel];

	if (group->waiting != NULL || row->process != group_mark(group->name))
		return false;
	group->waiting = calloc(1, sizeof *group->waiting);
	if (group->waiting == NULL)
		return false;
	outbox_adopt(group->waiting, exchange->memory, channel,
		group->limits.queue_limit);
	group->waiting->keeps_single = true;
	group->must_dispatch = true;
	return true;
}

void
group_free(struct group **group_at)
{
	struct group *group = *group_at;

	*group_at = NULL;
	if (group == NULL)
		return;
	if (group->waiting != NULL)
		exchange_empty_outbox(group->exchange, group->waiting,
			"no-such-app", "the application is gone");
	exchange_drop_outbox(&group->waiting);
	list_remove(&group->link);
	free(group->name);
	free(group);
}

void
group_set_running(struct group *group, bool running)
{
	group->is_running = running;
	if (!running && group->waiting != NULL)
		exchange_empty_outbox(group->exchange, group->waiting,
			"not-running", "the application was stopped");
}

void
group_set_limits(struct group *group, const struct group_limits *limits)
{
	struct exchange *exchange = group->exchange;
	struct link *at;

	group->limits = *limits;
	if (group->waiting != NULL)
		group->waiting->limit = limits->queue_limit;
	for (at = group->endpoints.next; at != &group->endpoints;
		at = at->next) {
		struct endpoint *endpoint =
			list_member(at, struct endpoint, link);

		if (endpoint->outbox != NULL)
			endpoint->outbox->limit = limits->queue_limit;
	}
	/* Those too that a successor has taken the place of. */
	for (at = exchange->peers.next; at != &exchange->peers; at = at->next) {
		struct peer *peer = list_member(at, struct peer, link);

		if (peer->endpoint != NULL && peer->endpoint->group == group)
			peer->outbox->limit = limits->queue_limit;
	}
}
