/*
 * program.h: from what somebody wrote to the file that is executed.
 */
#ifndef MUSTER_PROGRAM_H
#define MUSTER_PROGRAM_H

#include <stdbool.h>

/*
 * Finds a program. With a slash in it: made absolute by `directory`, whether it
 * exists or not. Without: the first executable file of that name in the folders
 * of `search` (as PATH; NULL: none), else a file of that name in `directory`,
 * else the name as it is, for exec to report.
 * Returns new text to be freed, or NULL without memory.
 */
char *program_find(const char *name, const char *directory, const char *search);

/* `path` made absolute by `directory`, without "." and empty parts. New text,
 * or NULL without memory. */
char *program_absolute(const char *path, const char *directory);

/*
 * The interpreter for the script `path`, by its ending; static, or NULL: it
 * runs by itself. That is so for an ending that isn't known, for an executable
 * file that says what it is (#! or ELF), and for one that isn't there, so that
 * exec and not an interpreter reports that.
 */
const char *program_interpreter(const char *path);

/* The part behind the last slash; borrowed. */
const char *program_base(const char *path);

/* True when `program` is node, or is a script of its that runs by itself. */
bool program_is_node(const char *program);

#endif
