/*
 * render.h: how listings look: columns, sizes, times, colours.
 *
 * Whatever a worker had a hand in is escaped here; nobody else in the command
 * prints such text. Colours appear only on a terminal, and never when
 * NO_COLOR is set to anything.
 */
#ifndef MUSTER_RENDER_H
#define MUSTER_RENDER_H

#include <jansson.h>

/*
 * Prints the table of workers; `workers` (borrowed) is the array of `ls`.
 * Returns 0 or -ENOMEM.
 */
int render_workers(json_t *workers);

/* Prints one event (borrowed object) as a line for people. */
void render_event(json_t *event);

/*
 * Prints a value (borrowed) as one line of JSON, pure ASCII, so that it can't
 * drive a terminal either. Returns 0 or -ENOMEM.
 */
int render_json(json_t *value);

#endif
