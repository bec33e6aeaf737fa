/*
 * config_word.h: configuration files that musterd can't read by itself: one on
 * standard input, and those that are JavaScript, as PM2 has them.
 */
#ifndef MUSTER_CONFIG_WORD_H
#define MUSTER_CONFIG_WORD_H

#include <stdbool.h>

enum {
	CONFIG_WORD_PATH = 256, /* bytes of a path with its NUL */
};

enum config_word_kind {
	CONFIG_WORD_PLAIN,  /* a JSON file, or no file at all */
	CONFIG_WORD_STDIN,  /* - */
	CONFIG_WORD_SCRIPT, /* NAME.config.js, .config.cjs or .config.mjs */
};

/* What a word is. `is_file`: it can't be a program, so that any .js, .cjs and
 * .mjs is a configuration. */
enum config_word_kind config_word_kind(const char *word, bool is_file);

/*
 * Writes what the word stands for, as JSON, to a file of its own, whose path
 * goes to `ret_path` of CONFIG_WORD_PATH; the caller has it unlinked. Nothing
 * is done for a plain word: `ret_path` is "" then. JavaScript is evaluated by
 * node, in 10 s at most; there may be 4 MiB. `verb` (a literal) begins
 * messages.
 * Returns CLI_DONE; CLI_FAILED after a message, and `ret_path` is "".
 */
int config_word_write(
	const char *verb, const char *word, bool is_file, char *ret_path);

/* How messages call it. */
char *config_word_name(char *word);

#endif
