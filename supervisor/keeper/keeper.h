/*
 * keeper.h: the process that is the parent of everything and decides nothing.
 */
#ifndef MUSTER_KEEPER_H
#define MUSTER_KEEPER_H

/*
 * Is the keeper until a brain sends KEEPER_END or the start fails. `argv` is
 * `musterd run …` or `musterd daemon …`; its first entry is changed. `brain`
 * is the path of the executable that is started as the brain, with argv[0]
 * "musterd: brain" and the rest of `argv`. Called once, as the first thing in
 * a process: it blocks signals, closes descriptors and reaps every child.
 * Returns the exit status of the process.
 */
int keeper_main(int argc, char **argv, const char *brain);

#endif
