/*
 * stamp.h: a moment in words, by a format as PM2's users write it.
 *
 * YYYY YY MM DD HH hh mm ss SSS A a Z ZZ X x stand for parts of it, in local
 * time (Z: +01:00, ZZ: +0100, X: seconds since 1970, x: milliseconds); what is
 * in [brackets], and everything else, for itself.
 */
#ifndef MUSTER_STAMP_H
#define MUSTER_STAMP_H

#include <stddef.h>
#include <time.h>

enum {
	STAMP_MAX = 128, /* bytes with the NUL; more is cut */
};

#define STAMP_ISO "YYYY-MM-DDTHH:mm:ss.SSSZ"

/* Writes the moment to `ret_text` of STAMP_MAX. Returns its length. */
size_t stamp_format(const char *format, struct timespec when, char *ret_text);

#endif
