/*
 * run_options.h: what the command itself has to know of the options of `run`,
 * which are otherwise musterd's.
 */
#ifndef MUSTER_RUN_OPTIONS_H
#define MUSTER_RUN_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct listed_option;

/* The option at index `at`, from 0 on; false: there are no more. */
bool run_options_at(size_t at, struct listed_option *ret_option);

/* Prints the options with their help, from the table of keys. */
void run_options_print(FILE *out);

/*
 * The value of the last --home among the options that `words` (borrowed,
 * NULL-terminated) begin with, borrowed, or NULL. It ends where musterd would
 * see the program, or an option that nobody knows.
 */
const char *run_options_home(char *const *words);

/* The first of `words` that is neither an option nor the value of one, nor
 * behind --; NULL: there is none. */
char **run_options_first(char **words);

#endif
