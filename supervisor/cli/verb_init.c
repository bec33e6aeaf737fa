/* verb_init: a configuration file to begin with. */
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Its name says ./, so that the program is looked for beside the file. */
static const char sample[] =
	"// muster start muster.json    muster check muster.json\n"
	"// Every key: muster.json(5).\n"
	"{\n"
	"  \"apps\": [\n"
	"    {\n"
	"      \"name\": \"app\",\n"
	"      \"script\": \"./app.sh\", // or .js, .py, any program\n"
	"      \"args\": [],\n"
	"      \"instances\": 2, // \"max\": one for each processor\n"
	"      // \"listen\": [\"8080\"], // shared by all instances\n"
	"      // \"wait_ready\": true, // ready when it says so, READY=1\n"
	"      \"env\": { \"MODE\": \"development\" },\n"
	"      \"env_production\": { \"MODE\": \"production\" },\n"
	"    },\n"
	"  ],\n"
	"}\n";

int
verb_init(const struct call *call)
{
	const char *path = call->count > 0 ? call->words[0] : "muster.json";
	const size_t size = sizeof(sample) - 1;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	bool is_written;

	if (fd < 0) {
		fprintf(stderr, "muster: init: %s: %s%s\n", path,
			strerror(errno),
			errno == EEXIST ? "; it is left as it is" : "");
		return CLI_FAILED;
	}
	is_written = write(fd, sample, size) == (ssize_t)size;
	if (close(fd) < 0 || !is_written) {
		fprintf(stderr, "muster: init: %s: %s\n", path,
			strerror(errno));
		return CLI_FAILED;
	}
	printf("%s is written: edit it, then muster start %s\n", path, path);
	return CLI_DONE;
}
