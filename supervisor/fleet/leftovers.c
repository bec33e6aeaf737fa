/*
 * What no row of the ledger tells of. Whoever adds a kind of entry to the vault
 * names it here.
 */
#include "fleet/leftovers.h"

#include "fleet/core.h"
#include "fleet/keeper_client.h"
#include "fleet/state.h"

#include <stdlib.h>
#include <string.h>

/* What an earlier brain put into the vault and then had no use for. */
void
leftovers_drop(struct fleet *fleet)
{
	static const char *const starts[] = {STATE_CONFIG, STATE_LISTENER,
		STATE_FORMAT, STATE_OUT, STATE_OUT_WORKER, STATE_ERR,
		STATE_ERR_WORKER, STATE_CHANNEL_WORKER, STATE_RESUME_WORKER,
		STATE_RESUME, STATE_PARKED, STATE_NOTIFY_PIPE,
		STATE_NOTIFY_WORKER, KEEPER_VAULT_GIVEN, "upgrade"};
	const char *name;
	size_t at = 0;

	while ((name = keeper_client_unclaimed(fleet->setup.keeper, &at))) {
		for (size_t i = 0; i < sizeof(starts) / sizeof(*starts); i++) {
			size_t size = strlen(starts[i]);

			if (strncmp(name, starts[i], size))
				continue;
			if ((!strcmp(starts[i], STATE_RESUME) ||
				    !strcmp(starts[i], STATE_PARKED)) &&
				core_find_process(
					fleet, strtoull(name + size, NULL, 10)))
				continue;
			keeper_client_drop(fleet->setup.keeper, name);
			break;
		}
	}
}
