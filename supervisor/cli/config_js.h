/*
 * config_js.h: configuration files that are JavaScript, as PM2 has them.
 */
#ifndef MUSTER_CONFIG_JS_H
#define MUSTER_CONFIG_JS_H

#include <stdbool.h>

enum {
	CONFIG_JS_PATH = 64, /* bytes of a path with its NUL */
};

/* Whether it is one by its name: NAME.config.js, .config.cjs or .config.mjs. */
bool config_js_is(const char *word);

/*
 * Has node evaluate the file and writes what it exports, as JSON, to a file of
 * its own, whose path goes to `ret_path` of CONFIG_JS_PATH; the caller unlinks
 * it. `verb` (a literal) begins messages. An evaluation of more than 10 s is
 * ended.
 * Returns CLI_DONE; CLI_FAILED after a message.
 */
int config_js_evaluate(const char *verb, const char *word, char *ret_path);

#endif
