/*
 * dump.h: the file that keeps the applications across a reboot: dump.json in
 * the state folder, and the one before it beside it.
 */
#ifndef MUSTER_DUMP_H
#define MUSTER_DUMP_H

#include <jansson.h>

/*
 * Writes `dump` (borrowed), readable by the owner only, such that a cut at any
 * moment leaves the old file or the new one whole. `verb` begins messages.
 * Returns CLI_DONE; CLI_FAILED after a message.
 */
int dump_write(const char *verb, const json_t *dump);

/*
 * Reads it; where it is missing or damaged, the one before, with a word. Gives
 * a new reference. Returns CLI_DONE; CLI_FAILED after a message.
 */
int dump_read(const char *verb, json_t **ret_dump);

#endif
