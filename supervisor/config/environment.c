/*
 * environment: what of the caller's environment a worker gets. muster's own
 * variables are added later by fleet, which knows the process; here they are
 * only taken out, so that a worker never believes in the channel or the sockets
 * of the supervisor that started its supervisor.
 */
#include "config/config.h"
#include "config/words.h"

#include <stdbool.h>
#include <string.h>

/* With '=' at the end the whole name, else its beginning. */
static const char *const removed[] = {"MUSTER_", "LISTEN_",
	"NOTIFY_SOCKET=", "WATCHDOG_", "NODE_CHANNEL_", "NODE_UNIQUE_ID="};

static bool
is_removed(const char *variable)
{
	for (size_t i = 0; i < sizeof(removed) / sizeof(removed[0]); i++)
		if (strncmp(removed[i], variable, strlen(removed[i])) == 0)
			return true;
	return false;
}

static bool
has_name_of(char *const *list, const char *variable)
{
	size_t size = strcspn(variable, "=") + 1;

	for (; *list != NULL; list++)
		if (strncmp(*list, variable, size) == 0)
			return true;
	return false;
}

static bool
is_filtered(const struct app_config *config, const char *variable)
{
	for (char *const *at = config->filter_env; *at != NULL; at++)
		if (strncmp(*at, variable, strlen(*at)) == 0)
			return true;
	return false;
}

char **
config_environment(const struct app_config *config, char *const *base)
{
	struct words result = {0};
	int error = 0;

	if (config->environment != NULL)
		base = config->environment;
	for (; *base != NULL && error == 0; base++)
		if (strchr(*base, '=') != NULL && !is_removed(*base) &&
			!is_filtered(config, *base) &&
			!has_name_of(config->env, *base))
			error = words_add(&result, *base, strlen(*base));
	for (char *const *own = config->env; *own != NULL && error == 0; own++)
		if (!is_removed(*own))
			error = words_add(&result, *own, strlen(*own));
	if (error < 0) {
		words_fini(&result);
		return NULL;
	}
	return words_take(&result);
}
