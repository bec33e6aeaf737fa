/*
 * verb_flush: empties log files. The supervisor sees that a file has become
 * shorter than what it wrote, and goes on at its new end.
 */
#include "ask_target.h"
#include "verbs.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int
verb_flush(const struct call *call)
{
	const char *target = call->count > 0 ? call->words[0] : "all";
	json_t *answer, *file;
	struct stat status;
	size_t i;
	int code = ask_method(
		"logs", json_pack("{s:s}", "target", target), false, &answer);

	if (code != CLI_DONE)
		return code;
	json_array_foreach(json_object_get(answer, "files"), i, file)
	{
		const char *path =
			json_string_value(json_object_get(file, "path"));

		if (path == NULL || stat(path, &status) < 0 ||
			!S_ISREG(status.st_mode))
			continue;
		if (truncate(path, 0) < 0) {
			fprintf(stderr, "muster: flush: %s: %s\n", path,
				strerror(errno));
			code = CLI_FAILED;
		}
	}
	json_decref(answer);
	return code;
}
