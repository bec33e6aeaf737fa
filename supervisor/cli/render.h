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
#include <stdint.h>

/*
 * Prints the table of workers; `workers` (borrowed) is the array of `ls`.
 * Returns 0 or -ENOMEM.
 */
int render_workers(json_t *workers);

/* Prints one event (borrowed object) as a line for people. */
void render_event(json_t *event);

/*
 * Prints how a worker's last processes ended (borrowed, one object of `why`),
 * a paragraph each.
 */
void render_ends(json_t *worker);

/* Numbers for people, into RENDER_TEXT_SIZE bytes: "3m05s", "12.5M". */
enum { RENDER_TEXT_SIZE = 32 };
void render_since(char *ret_text, int64_t ms);
void render_bytes(char *ret_text, double bytes);

/*
 * Prints a value (borrowed) as one line of JSON, pure ASCII, so that it can't
 * drive a terminal either. Returns 0 or -ENOMEM.
 */
int render_json(json_t *value);

#endif
