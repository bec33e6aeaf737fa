/*
 * log_worker.c: writes so many MiB of lines of 100 bytes to stdout, in writes
 * of the given size, and then the nanoseconds that this took into a file.
 *
 *	log_worker MIB WRITE_SIZE FILE
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 100, WRITE_MAX = 1 << 20 };

static uint64_t
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* The file appears with its content, since somebody waits for it. */
static int
tell(const char *path, uint64_t ns)
{
	char text[32], part[512];
	int fd, size = snprintf(text, sizeof(text), "%ju\n", (uintmax_t)ns);

	snprintf(part, sizeof(part), "%s.part", path);
	fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, (size_t)size) != size)
		return 1;
	return rename(part, path) < 0;
}

int
main(int argc, char **argv)
{
	static char bytes[WRITE_MAX];
	uint64_t total, start, size;

	if (argc != 4)
		return 2;
	total = strtoull(argv[1], NULL, 10) << 20;
	size = strtoull(argv[2], NULL, 10);
	if (size == 0 || size > sizeof(bytes))
		return 2;
	memset(bytes, 'x', sizeof(bytes));
	for (size_t i = LINE - 1; i < sizeof(bytes); i += LINE)
		bytes[i] = '\n';
	start = now();
	for (uint64_t done = 0; done < total;) {
		ssize_t n = write(STDOUT_FILENO, bytes, size);

		if (n < 0)
			return 1;
		done += (uint64_t)n;
	}
	return tell(argv[3], now() - start);
}
