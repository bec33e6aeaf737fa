/*
 * verb_upgrade: another musterd takes over. The old brain answers when it has
 * asked the new program and is about to end; how it went then is told by
 * whichever brain comes next. The socket is the keeper's, so a new connection
 * waits for that one.
 */
#include "base/json.h"
#include "client.h"
#include "escape.h"
#include "verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The next brain's answer: {"version","upgrade","reason",…}. */
static int
ask_next(json_t **ret_brain)
{
	struct client *client;
	int code = client_open_within("upgrade", CLIENT_TAKE_OVER_MS, &client);

	if (code != CLI_DONE)
		return code;
	code = client_call(
		client, "brain", NULL, CLIENT_TAKE_OVER_MS, ret_brain);
	client_free(&client);
	return code;
}

static int
tell(json_t *brain)
{
	const char *outcome = json_text(brain, "upgrade");
	const char *version = json_text(brain, "version");
	const char *reason = json_text(brain, "reason");

	if (outcome != NULL && strcmp(outcome, "done") == 0) {
		fputs("musterd ", stdout);
		if (version != NULL)
			escape_print(stdout, version, strlen(version));
		puts(" has taken over");
		return CLI_DONE;
	}
	fputs("muster: upgrade: ", stderr);
	if (reason == NULL)
		reason = "the brain that answers doesn't come from it; see "
			 "'muster events'";
	escape_print(stderr, reason, strlen(reason));
	fputc('\n', stderr);
	return CLI_FAILED;
}

/* The question's parameters; NULL: the file isn't there, and that was said. */
static json_t *
make_params(const char *program)
{
	char *path;
	json_t *params;

	if (program == NULL)
		return json_object();
	path = realpath(program, NULL);
	if (path == NULL) {
		fprintf(stderr, "muster: upgrade: %s: %s\n", program,
			strerror(errno));
		return NULL;
	}
	params = json_pack("{s:s}", "program", path);
	if (params == NULL)
		fputs("muster: upgrade: the path is no UTF-8\n", stderr);
	free(path);
	return params;
}

int
verb_upgrade(const struct call *call)
{
	json_t *answer, *brain;
	struct client *client;
	int code = client_open("upgrade", &client);

	if (code != CLI_DONE)
		return code;
	json_t *params = make_params(call->values[OPTION_upgrade_program]);
	if (params == NULL)
		code = CLI_FAILED;
	else
		code = client_call(
			client, "upgrade", params, CLIENT_FOR_EVER, &answer);
	client_free(&client);
	if (code != CLI_DONE)
		return code;
	json_decref(answer);
	code = ask_next(&brain);
	if (code != CLI_DONE)
		return code;
	code = tell(brain);
	json_decref(brain);
	return code;
}
