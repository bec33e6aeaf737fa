/*
 * mend.h: what to do about a program that couldn't be started.
 */
#ifndef MUSTER_MEND_H
#define MUSTER_MEND_H

#include "fleet/keeper_client.h"

/*
 * A piece of advice for a start that failed at `stage` with `error` (a positive
 * errno), to stand behind what failed; NULL where there is none. `program` is
 * what was to be executed. The text is constant. Makes no system call.
 */
const char *mend_start(enum keeper_stage stage, int error, const char *program);

#endif
