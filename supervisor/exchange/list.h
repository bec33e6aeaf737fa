/*
 * list.h: doubly linked lists whose links lie inside their members. A link
 * that is on no list points to itself, so leaving twice is harmless.
 */
#ifndef MUSTER_EXCHANGE_LIST_H
#define MUSTER_EXCHANGE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct link {
	struct link *previous, *next;
};

static inline void
list_init(struct link *link)
{
	link->previous = link->next = link;
}

static inline bool
list_is_empty(const struct link *link)
{
	return link->next == link;
}

static inline void
list_remove(struct link *link)
{
	link->previous->next = link->next;
	link->next->previous = link->previous;
	list_init(link);
}

/* Appends `link`, which is on no list, at the end of `list`. */
static inline void
list_append(struct link *list, struct link *link)
{
	link->previous = list->previous;
	link->next = list;
	list->previous->next = link;
	list->previous = link;
}

/* Moves all members of `from` to the end of `to`. */
static inline void
list_move_all(struct link *to, struct link *from)
{
	if (list_is_empty(from))
		return;
	from->next->previous = to->previous;
	from->previous->next = to;
	to->previous->next = from->next;
	to->previous = from->previous;
	list_init(from);
}

/* The member of type `type` whose `field` is `pointer`. */
#define list_member(pointer, type, field)                                      \
	((type *)(void *)((char *)(pointer)-offsetof(type, field)))

#endif
