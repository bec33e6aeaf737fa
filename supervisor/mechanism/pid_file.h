/*
 * pid_file.h: a file with one number, for those who signal by hand.
 */
#ifndef MUSTER_PID_FILE_H
#define MUSTER_PID_FILE_H

#include <sys/types.h>

/*
 * Writes `pid` and a newline to the file `path`, whatever stood there. Returns
 * 0 or what a call said.
 */
int pid_file_write(const char *path, pid_t pid);

/* Removes it if it holds `pid`; another's is left alone. */
void pid_file_remove(const char *path, pid_t pid);

#endif
