/*
 * log.h: what the supervisor says of itself, one line a call, on stderr.
 *
 * The levels have meanings: debug is for who mends muster; info is what was
 * asked for and done; warn is someone else's nonsense; error is our failure to
 * do what was asked; bug is our own inconsistency (aborts in a debug build,
 * is logged and counted in a release).
 *
 * A line is written by one write() without blocking: where stderr doesn't take
 * it, it is dropped and counted, and the next line that passes says how many.
 * Log once, where the error is handled. Control characters are escaped.
 */
#ifndef MUSTER_LOG_H
#define MUSTER_LOG_H

enum log_level {
	LOG_DEBUG,
	LOG_INFO,
	LOG_WARN,
	LOG_ERROR,
};

/*
 * Prepares logging: lines below `level` are dropped, each line starts with
 * `name` and ": ". `name` is borrowed for ever (a literal). Log level and
 * descriptor are the one process-wide state that the project allows itself.
 */
void log_open(const char *name, enum log_level level);

void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_bug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
