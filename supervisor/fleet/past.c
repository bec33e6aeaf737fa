/*
 * The past: the memory of events from the vault, and the death of the last
 * brain as an event. What became of an upgrade is fleet/upgrade's, why there
 * is a safe mode fleet/safe's.
 */
#include "fleet/past.h"

#include "base/log.h"
#include "base/sys.h"
#include "fleet/core.h"
#include "fleet/events.h"
#include "fleet/exits.h"
#include "fleet/keeper_client.h"
#include "mechanism/event_memory.h"

#include <errno.h>

/* An empty memory, in the vault in the place of what is there. */
static int
begin_anew(struct fleet *fleet)
{
	int fd = event_memory_make();
	int r;

	if (fd < 0)
		return fd;
	r = keeper_client_put(fleet->setup.keeper, STATE_EVENTS, fd, false);
	if (r < 0) {
		sys_close(fd);
		return r;
	}
	/* The borrowed file has left before it is given away. */
	(void)keeper_client_flush(fleet->setup.keeper);
	return events_keep(fleet->events, fd);
}

int
past_open(struct fleet *fleet)
{
	int fd = keeper_client_claim(fleet->setup.keeper, STATE_EVENTS);
	int r = fd < 0 ? fd : events_keep(fleet->events, fd);

	if (r == -EPROTO)
		log_error("the events that were kept can't be read, and are "
			  "begun anew");
	/* None: a first start, or those before us were too old for it. */
	if (r == -EPROTO || r == -ENOENT)
		r = begin_anew(fleet);
	return r;
}

void
past_tell(struct fleet *fleet)
{
	const struct keeper_record *hello =
		keeper_client_hello(fleet->setup.keeper);
	const struct keeper_brain_end *end = &hello->hello.ends[0];
	struct state_exit exit = {.code = end->code, .status = end->status};
	struct events_subject nobody = {0};
	char how[128];

	/* The very first, or one that another has handed over to. */
	if (!hello->hello.brains || !end->code ||
		hello->hello.trial != KEEPER_TRIAL_NONE)
		return;
	exits_describe(&exit, how, sizeof(how));
	events_raise(fleet->events, "took_over", &nobody,
		json_pack("{s:s+}", "reason", "the brain before ", how));
}
