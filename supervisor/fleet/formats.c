/*
 * A way is known by its path and its format. Its memory's name in the vault is
 * made of both, so that the next brain finds what this one has left in it.
 */
#include "fleet/formats.h"

#include "base/sys.h"
#include "config/config.h"
#include "fleet/core.h"
#include "fleet/keeper_client.h"
#include "mechanism/logfile.h"
#include "mechanism/output.h"
#include "mechanism/output_memory.h"
#include "mechanism/stamp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct format {
	struct format *next; /* fleet.formats */
	uint64_t key;
	struct output *output;
	char *time; /* borrowed by the output */
};

bool
formats_is_for(const struct app_config *config)
{
	return config->log_type == LOG_TYPE_JSON || config->time ||
	       config->log_date_format;
}

/* FNV-1a. */
static uint64_t
add(uint64_t key, const char *text)
{
	do
		key = (key ^ (unsigned char)*text) * UINT64_C(1099511628211);
	while (*text++);
	return key;
}

static int
claim_memory(struct fleet *fleet, uint64_t key)
{
	char name[KEEPER_NAME_SIZE];
	int fd, r;

	state_name(name, STATE_FORMAT, key);
	fd = keeper_client_claim(fleet->setup.keeper, name);
	if (fd != -ENOENT)
		return fd;
	fd = output_memory_make();
	if (fd < 0)
		return fd;
	r = keeper_client_keep(fleet->setup.keeper, name, fd);
	return r < 0 ? r : keeper_client_claim(fleet->setup.keeper, name);
}

static int
make(struct fleet *fleet, uint64_t key, enum line_style style, const char *time,
	struct logfile *file, struct format **ret_format)
{
	struct format *format = calloc(1, sizeof(*format));
	int r = -ENOMEM;

	if (format)
		format->time = strdup(time);
	if (format && format->time)
		r = claim_memory(fleet, key);
	if (r < 0) {
		logfile_release(&file);
	} else {
		r = output_new_file(fleet->setup.loop, file, style,
			format->time, r, &format->output);
	}
	if (r < 0) {
		if (format)
			free(format->time);
		free(format);
		return r;
	}
	format->key = key;
	format->next = fleet->formats;
	fleet->formats = *ret_format = format;
	return 0;
}

int
formats_get(struct fleet *fleet, const struct app_config *config,
	const char *path, struct logfile *file, struct output **ret_output)
{
	bool is_json = config->log_type == LOG_TYPE_JSON;
	const char *time =
		config->log_date_format ? config->log_date_format : STAMP_ISO;
	uint64_t key = add(add(add(UINT64_C(14695981039346656037), path), time),
		is_json ? "json" : "text");
	struct format *at = fleet->formats;
	int r = 0;

	while (at && at->key != key)
		at = at->next;
	if (at)
		logfile_release(&file);
	else
		r = make(fleet, key, is_json ? LINE_JSON : LINE_TIMED, time,
			file, &at);
	if (r >= 0)
		*ret_output = at->output;
	return r;
}

void
formats_free(struct fleet *fleet)
{
	while (fleet->formats) {
		struct format *at = fleet->formats;

		fleet->formats = at->next;
		output_free(&at->output);
		free(at->time);
		free(at);
	}
}
