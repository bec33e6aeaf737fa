/*
 * brain.h: the process that decides. main.c starts it when the keeper has
 * executed musterd with argv[0] "musterd: brain".
 */
#ifndef MUSTER_BRAIN_H
#define MUSTER_BRAIN_H

/*
 * Runs until nothing is left to do. `argv` from 1 on and the environment are
 * the keeper's; descriptor KEEPER_PAIR_FD is the brain's end of the pair.
 * Returns the exit status of the process.
 */
int brain_main(int argc, char **argv);

/*
 * Whether this program could take over: looks at the memory files that
 * fleet/upgrade hands in, changes nothing, and answers in one line on stdout.
 * Returns the exit status of the process.
 */
int brain_check(void);

/* `musterd check WORDS`: whether the command line of a `run` is right; says
 * which applications it describes. Returns the exit status of the process. */
int brain_check_words(int argc, char **argv);

#endif
