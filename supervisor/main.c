/*
 * main.c: one executable, two processes. The keeper executes the same file
 * again as the brain and tells it so by the name it gives it.
 */
#include "base/sys.h"
#include "brain.h"
#include "keeper/keeper.h"

#include <string.h>
#include <sys/prctl.h>

int
main(int argc, char **argv)
{
	static const char brain[] = "musterd: brain";

	if (argc > 0 && strcmp(argv[0], brain) == 0) {
		/* For ps and top: executed by a link, its name would be exe. */
		sys_prctl(PR_SET_NAME, (unsigned long)(uintptr_t)brain);
		return brain_main(argc, argv);
	}
	if (argc > 0 && strcmp(argv[0], "musterd: check") == 0)
		return brain_check();
	if (argc > 1 && strcmp(argv[1], "check") == 0)
		return brain_check_words(argc - 2, argv + 2);
	return keeper_main(argc, argv, "/proc/self/exe");
}
