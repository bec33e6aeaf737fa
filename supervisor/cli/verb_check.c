/*
 * verb_check: reads a configuration file and starts nothing. musterd has the
 * reader, so it is what judges here too.
 */
#include "config_word.h"
#include "daemon.h"
#include "verbs.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Its exit code is ours. */
static int
run_check(char *word, const char *file, const char *env)
{
	const char *arguments[8] = {"musterd", "check"};
	int count = 2;

	char musterd[PATH_MAX];
	int status;
	pid_t pid;

	if (daemon_find("check", musterd) != CLI_DONE)
		return CLI_FAILED;
	if (file != NULL) {
		arguments[count++] = "--temporary-file";
		arguments[count++] = config_word_name(word);
	}
	arguments[count++] = file != NULL ? file : word;
	if (env != NULL) {
		arguments[count++] = "--env";
		arguments[count++] = env;
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		execv(musterd, (char *const *)arguments);
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
	char path[CONFIG_WORD_PATH];
	int code = config_word_write("check", call->words[0], true, path);

	if (code != CLI_DONE)
		return code;
	return run_check(call->words[0], *path != '\0' ? path : NULL, env);
}
