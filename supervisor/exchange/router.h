/*
 * router.h: what the files of the router tell each other. Those outside call
 * router_route, and what is declared in state.h.
 */
#ifndef MUSTER_EXCHANGE_ROUTER_H
#define MUSTER_EXCHANGE_ROUTER_H

#include "state.h"

/* All that route return true: the frame was taken (also when it was refused);
 * false: the sender was paused, the frame is to be offered again. */

/* router.c -------------------------------------------------------------- */

/*
 * Nobody can have the frame: its sender gets an error with the frame's id; one
 * without is counted. Closes its descriptor. Always true.
 */
bool router_refuse(struct peer *from, const struct inbound *in,
	const char *code, const char *message);

/* Puts a stamped frame, whose descriptor it takes over, into an outbox that has
 * room. */
void router_append(
	struct outbox *outbox, struct inbound *in, struct outbox_source source);

/* Whose frame it is, for the ring's entry. */
struct outbox_source router_source(
	const struct peer *from, const struct inbound *in);

/* Whether the outbox takes a frame of `from` now; if not, `from` waits for it.
 * Who is being drained isn't held back by a limit. */
bool router_has_room(struct peer *from, struct outbox *outbox);

/* The frame that fills a queue pauses its sender. */
void router_check_limit(struct peer *from, struct outbox *outbox);

/* Clients are never waited for: one that has no room is closed. */
bool router_client_has_room(struct peer *client);

/* A message or request to one endpoint. */
bool router_to_endpoint(
	struct peer *from, struct endpoint *endpoint, struct inbound *in);

/* The sender's address as receivers see it. */
static inline uint32_t
router_stamp(const struct peer *from)
{
	return from->role == PEER_OPERATOR ? MUSTER_TO_SUPERVISOR : from->id;
}

/* Whether the frame's descriptor died with an earlier brain. */
static inline bool
router_lacks_fd(const struct outbox_taken *taken)
{
	return taken->fd < 0 &&
	       (taken->frame->header.flags & MUSTER_FLAG_FD) != 0;
}

/* Before a frame that stands in a ring is stamped for another: it stands there
 * as it was, should the change not come to its end. */
static inline void
router_keep_header(struct exchange *exchange, const uint8_t *bytes)
{
	journal_save(exchange->view->journal, bytes, MUSTER_HEADER_SIZE);
}

static inline uint32_t
router_size(const struct inbound *in)
{
	return MUSTER_HEADER_SIZE + in->header.size;
}

/* router_any.c, router_all.c, router_zero.c ------------------------------ */

/* `group` NULL: of all applications. */
bool router_to_any(struct peer *from, struct group *group, struct inbound *in);
bool router_to_all(struct peer *from, struct group *group, struct inbound *in);
bool router_to_zero(struct peer *from, struct inbound *in);

/* router_all.c: the frame goes to all on the list (peer::receiving). */
bool router_to_receivers(
	struct peer *from, struct link *receivers, struct inbound *in);
void router_forget_receivers(struct link *receivers);

/* router_publish.c */
bool router_publish(struct peer *from, struct inbound *in);

/* router_answer.c -------------------------------------------------------- */

/* Whether the frame is a request that breaks a rule; then it was refused. */
bool router_is_bad_request(struct peer *from, struct inbound *in);

/* Opens the record of a request. NULL: no row is free, the asker waits. */
struct request *router_open_request(struct peer *from, struct inbound *in);

/* Hands it to the endpoint's process, or to the endpoint that waits for one,
 * and stamps its number. */
void router_assign(
	struct request *request, struct endpoint *endpoint, struct inbound *in);

/* A reply or an error. */
bool router_answer(struct peer *from, struct inbound *in);

#endif
