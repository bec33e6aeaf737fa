/*
 * verb_check: reads a configuration file and starts nothing. musterd has the
 * reader, so it is what judges here too.
 */
#include "config_js.h"
#include "daemon.h"
#include "verbs.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Its exit code is ours. */
static int
run_check(const char *file, const char *env)
{
	char musterd[PATH_MAX];
	int status;
	pid_t pid;

	if (daemon_find("check", musterd) != CLI_DONE)
		return CLI_FAILED;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		/* NULL ends the list before its last two. */
		execl(musterd, "musterd", "check", file,
			env != NULL ? "--env" : NULL, env, (char *)NULL);
		_exit(CLI_FAILED);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid) {
		fprintf(stderr, "muster: check: %s\n", strerror(errno));
		return CLI_FAILED;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : CLI_FAILED;
}

int
verb_check(const struct call *call)
{
	const char *env = call->values[OPTION_check_env];
	char path[CONFIG_JS_PATH];
	int code;

	if (!config_js_is(call->words[0]))
		return run_check(call->words[0], env);
	code = config_js_evaluate("check", call->words[0], path);
	if (code != CLI_DONE)
		return code;
	code = run_check(path, env);
	unlink(path);
	return code;
}
