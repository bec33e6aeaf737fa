/*
 * idle_worker.c: a worker on the SDK that joins and then waits: what
 * bench/memory lets the supervisor look after.
 */
#include <muster.h>

int
main(void)
{
	struct muster *muster;

	if (muster_attach(&muster) < 0 || muster_ready(muster) < 0 ||
		muster_run(muster) < 0)
		return 1;
	muster_detach(&muster);
	return 0;
}
