/*
 * mend: advice for failed starts, by stage and errno.
 *
 * Apart from fleet/ending since it is a table of words. It doesn't look at the
 * file system, which may block: where one errno has several causes it names
 * them.
 */
#include "fleet/mend.h"

#include <errno.h>
#include <string.h>

static const char *
mend_exec(int error, const char *program)
{
	switch (error) {
	case ENOENT:
		if (!strchr(program, '/'))
			return "no folder of PATH has it: write its path";
		return "there is no such file, or its first line names an "
		       "interpreter that there isn't";
	case EACCES:
		return "it must be a file, not a folder, executable (chmod "
		       "+x), and in reach of the worker's user";
	case ENOEXEC:
		return "it is no program of this machine: a script needs a "
		       "first line like #!/bin/sh, or --interpreter";
	case ENOTDIR:
	case ELOOP:
		return "its path leads nowhere: correct it";
	case E2BIG:
		return "arguments and environment are too long: shorten them";
	case ETXTBSY:
		return "somebody still writes to it: wait for that";
	default:
		return NULL;
	}
}

const char *
mend_start(enum keeper_stage stage, int error, const char *program)
{
	switch (stage) {
	case KEEPER_STAGE_EXEC:
		return mend_exec(error, program);
	case KEEPER_STAGE_DIRECTORY:
		return error == EACCES ? "the worker's user may not enter it"
				       : "make it, or name another as cwd";
	case KEEPER_STAGE_LIMITS:
		return "only root may raise a hard limit or set a nice value "
		       "below the present one";
	case KEEPER_STAGE_GROUPS:
	case KEEPER_STAGE_GROUP:
	case KEEPER_STAGE_USER:
		return "only root may start workers as another user";
	case KEEPER_STAGE_FORK:
		return error == EAGAIN ? "the limit of processes is reached: "
					 "see ulimit -u, and pids.max of the "
					 "cgroup"
				       : NULL;
	default:
		return NULL;
	}
}
