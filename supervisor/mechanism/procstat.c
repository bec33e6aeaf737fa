/*
 * procstat.c: one line of /proc. The program's name in it may hold anything,
 * spaces and brackets too, so the fields are counted from its last bracket.
 */
#include "procstat.h"

#include "base/clock.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int
procstat_line(pid_t pid, char *ret_line, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = sys_open(path, O_RDONLY, 0);
	if (fd < 0)
		return fd == -ENOENT ? -ESRCH : fd;
	n = sys_read(fd, ret_line, size - 1);
	(void)sys_close(fd);
	if (n < 0)
		return (int)n;
	ret_line[n] = '\0';
	return 0;
}

int
procstat_read(pid_t pid, struct procstat *ret_stat)
{
	unsigned long long user, system, started, resident;
	long ticks = sysconf(_SC_CLK_TCK);
	char line[1024];
	char state, *fields;
	int64_t age;
	int r = procstat_line(pid, line, sizeof line);

	if (r < 0)
		return r;
	fields = strrchr(line, ')');
	if (fields == NULL ||
		sscanf(fields + 1,
			" %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu "
			"%*d %*d %*d %*d %*d %*d %llu %*u %llu",
			&state, &user, &system, &started, &resident) != 5)
		return -ESRCH;
	if (ticks <= 0)
		ticks = 100;
	age = clock_now().ns / 1000000 -
	      (int64_t)(started * 1000 / (unsigned long long)ticks);
	*ret_stat = (struct procstat){
		.memory_bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE),
		.cpu_ms = (user + system) * 1000 / (uint64_t)ticks,
		.age_ms = age > 0 ? (uint64_t)age : 0,
		.is_stopped = state == 'T' || state == 't',
	};
	return 0;
}
